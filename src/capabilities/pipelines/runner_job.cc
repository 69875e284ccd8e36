#include "capabilities/pipelines/runner_job.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "base/clock.h"
#include "base/files.h"
#include "base/strings.h"
#include "capabilities/pipelines/workflow.h"
#include "crypto/digest.h"

namespace mainstay::pipelines {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kMaxStepFile = 1u << 20;
constexpr std::size_t kMaxHashedFiles = 20'000;

}  // namespace

std::string now_text() { return base::rfc3339_micro(base::real_clock().now()); }

JobRunner::JobRunner(async::Runtime& runtime, std::shared_ptr<Session> session, std::shared_ptr<Reporter> reporter,
                     json::value job, Places places)
    : runtime_(runtime),
      session_(std::move(session)),
      reporter_(std::move(reporter)),
      job_(std::move(job)),
      places_(std::move(places)) {}

void JobRunner::print(std::string_view line) {
  const std::string text = mask_.apply(std::string(line));
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fputc('\n', stdout);
  std::fflush(stdout);
}

void JobRunner::report_step(std::size_t index, json::object fields) {
  for (std::string_view key : {"message", "detail"})
    if (json::value* text = fields.if_contains(key); text != nullptr && text->is_string())
      *text = json::string(mask_.apply(std::string(text->as_string())));
  fields["index"] = static_cast<std::int64_t>(index);
  reporter_->report({{"steps", json::array{std::move(fields)}}});
}

void JobRunner::load_secrets() {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(places_.secrets, ignored)) {
    const std::string name = entry.path().filename();
    if (name.starts_with(".")) continue;
    if (auto text = base::read_file(entry.path(), kMaxStepFile)) {
      mask_.add(*text);
      secrets_[name] = *text;
    }
  }
  const std::string token = session_->token();
  mask_.add(token);
  secrets_["GITHUB_TOKEN"] = token;
}

void JobRunner::prepare() {
  std::error_code ignored;
  fs::create_directories(places_.temp, ignored);
  load_secrets();
}

EvaluationContext JobRunner::context(const Current* current) const {
  EvaluationContext out;
  out.standing = standing_;
  out.values = base::get_object(job_, "contexts");
  json::object env;
  for (const auto& [name, value] : env_) env[name] = value;
  if (current != nullptr)
    for (const auto& [name, value] : current->env) env[name] = value;
  out.values["env"] = std::move(env);
  out.values["steps"] = steps_;
  out.values["secrets"] = secrets_;
  out.values["vars"] = json::object();
  out.values["job"] = json::object{{"status", standing_ == Standing::kSuccess     ? "success"
                                              : standing_ == Standing::kCancelled ? "cancelled"
                                                                                  : "failure"}};
  out.values["runner"] = json::object{{"os", "Linux"},
                                      {"arch", "X64"},
                                      {"name", "mainstay"},
                                      {"environment", "self-hosted"},
                                      {"temp", places_.temp.string()},
                                      {"tool_cache", "/opt/hostedtoolcache"}};
  if (json::value* github = out.values.if_contains("github"); github != nullptr && github->is_object()) {
    const json::value* token = secrets_.if_contains("GITHUB_TOKEN");
    github->as_object()["token"] = token != nullptr ? *token : json::value("");
  }
  out.hash_files = [this](const std::vector<std::string>& patterns) { return hash_files(patterns); };
  return out;
}

base::Result<std::string> JobRunner::hash_files(const std::vector<std::string>& patterns) const {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::recursive_directory_iterator it(places_.workspace, fs::directory_options::skip_permission_denied, error),
       end;
       !error && it != end; it.increment(error)) {
    if (it->path().filename() == ".git") {
      it.disable_recursion_pending();
      continue;
    }
    std::error_code bad;
    if (!it->is_regular_file(bad)) continue;
    const std::string relative = it->path().lexically_relative(places_.workspace);
    if (filter_matches(patterns, relative)) files.push_back(it->path());
    if (files.size() > kMaxHashedFiles)
      return base::fail(base::ErrorCode::kTooLarge, "hashFiles: more than 20,000 files match");
  }
  if (files.empty()) return std::string();
  std::ranges::sort(files);
  crypto::Sha256 all;
  for (const fs::path& file : files) {
    auto content = base::read_file(file, 256u << 20);
    if (!content) return std::unexpected(content.error());
    all.update(crypto::sha256_raw(*content));
  }
  return all.finish_hex();
}

base::Result<> JobRunner::add_env(const json::value* from, std::map<std::string, std::string>& to,
                                  const Current* current) const {
  if (from == nullptr || !from->is_object()) return {};
  const EvaluationContext values = context(current);
  for (const auto& entry : from->as_object()) {
    auto text = evaluate_text(to_text(entry.value()), values);
    if (!text)
      return base::fail(base::ErrorCode::kInvalid,
                        fmt::format("env.{}: {}", std::string_view(entry.key()), text.error().message));
    to[std::string(entry.key())] = std::move(*text);
  }
  return {};
}

async::Task<bool> JobRunner::run() {
  prepare();
  reporter_->report({{"phase", "Running"}});
  std::string fault;
  for (const char* level : {"workflowEnv", "env"})
    if (auto ok = add_env(job_.as_object().if_contains(level), env_, nullptr); !ok && fault.empty())
      fault = ok.error().message;
  const std::size_t count = base::get_array(job_, "steps").size();
  bool good = fault.empty();
  for (std::size_t i = 0; i < count && fault.empty(); ++i) good = co_await step(i) && good;
  json::object outputs;
  if (const json::value* wanted = job_.as_object().if_contains("outputs"); wanted != nullptr && fault.empty()) {
    auto evaluated = evaluate_all(*wanted, context(nullptr));
    if (evaluated && evaluated->is_object()) {
      for (const auto& entry : evaluated->as_object()) {
        const std::string text = to_text(entry.value());
        // A secret does not leave the job through its outputs.
        if (mask_.apply(text) == text) outputs[entry.key()] = text;
      }
    } else if (!evaluated) {
      fault = "outputs: " + evaluated.error().message;
    }
  }
  json::object report{{"phase", cancelled_ ? "Cancelled" : good && fault.empty() ? "Succeeded" : "Failed"}};
  if (!outputs.empty()) report["outputs"] = std::move(outputs);
  if (!fault.empty()) report["message"] = fault;
  reporter_->report(report);
  co_await reporter_->flush();
  co_return good&& fault.empty() && !cancelled_;
}

void JobRunner::cancel() {
  cancelled_ = true;
  if (running_ != nullptr) running_->kill(SIGTERM);
}

async::Task<bool> JobRunner::step(std::size_t index) {
  const json::value spec = base::get_array(job_, "steps")[index];
  if (cancelled_) standing_ = Standing::kCancelled;
  Current current;
  current.index = index;
  const auto record = [&](std::string_view outcome, std::string_view conclusion, json::object outputs) {
    if (const std::string id = base::get_string(spec, "id"); !id.empty())
      steps_[id] = json::object{{"outputs", std::move(outputs)}, {"outcome", outcome}, {"conclusion", conclusion}};
  };
  base::Result<> env_ok = add_env(spec.as_object().if_contains("env"), current.env, &current);
  auto wanted = evaluate_condition(base::get_string(spec, "if"), context(&current));
  if (wanted && !*wanted) {
    record("skipped", "skipped", {});
    report_step(index, {{"phase", "Skipped"}});
    co_return true;
  }
  report_step(index, {{"phase", "Running"}, {"startedAt", now_text()}});
  base::Result<StepResult> result = base::fail(base::ErrorCode::kInvalid, "");
  if (!wanted) {
    result = base::fail(base::ErrorCode::kInvalid, "if: " + wanted.error().message);
  } else if (!env_ok) {
    result = std::unexpected(env_ok.error());
  } else {
    result = co_await execute(spec, current);
  }
  StepResult done;
  if (result) {
    done = std::move(*result);
  } else {
    done.ok = false;
    done.exit_code = -1;
    done.message = result.error().message;
  }
  auto continues = evaluate_all(
      spec.as_object().contains("continueOnError") ? spec.at("continueOnError") : json::value(), context(&current));
  const bool ignored = !done.ok && continues && truthy(*continues);
  record(done.ok ? "success" : "failure", done.ok || ignored ? "success" : "failure", std::move(done.outputs));
  json::object report{{"phase", done.ok      ? "Succeeded"
                                : cancelled_ ? "Cancelled"
                                             : "Failed"},
                      {"finishedAt", now_text()}};
  if (done.exit_code >= 0) report["exitCode"] = done.exit_code;
  if (!done.detail.empty()) report["detail"] = done.detail;
  if (!done.message.empty()) report["message"] = done.message;
  if (ignored) report["ignored"] = true;
  if (!done.ok && !done.message.empty() && !result) print("error: " + done.message);
  report_step(index, std::move(report));
  if (!done.ok && !ignored && standing_ == Standing::kSuccess) standing_ = Standing::kFailure;
  co_return done.ok || ignored;
}

async::Task<base::Result<JobRunner::StepResult>> JobRunner::execute(const json::value& spec, Current current) {
  const EvaluationContext values = context(&current);
  current.limit = std::chrono::minutes(base::get_int(job_, "timeoutMinutes", 60));
  if (const json::value* minutes = spec.as_object().if_contains("timeoutMinutes")) {
    MAINSTAY_CO_TRY(const json::value evaluated, evaluate_all(*minutes, values));
    const double number = evaluated.is_number() ? evaluated.to_number<double>() : std::atof(to_text(evaluated).c_str());
    if (number > 0)
      current.limit = std::chrono::milliseconds(static_cast<std::int64_t>(std::min(number, 360.0) * 60'000));
  }
  std::string directory = base::get_string(spec, "workingDirectory");
  if (directory.empty()) directory = base::get_string(job_, "workingDirectory");
  MAINSTAY_CO_TRY(directory, evaluate_text(directory, values));
  current.working_directory = working_directory(directory);
  if (const json::value* with = spec.as_object().if_contains("with"); with != nullptr && with->is_object()) {
    for (const auto& entry : with->as_object()) {
      MAINSTAY_CO_TRY(std::string text, evaluate_text(to_text(entry.value()), values));
      current.with[base::lower(entry.key())] = text;
    }
  }
  const std::string uses = base::get_string(spec, "uses");
  std::string name = base::get_string(spec, "name");
  if (auto evaluated = evaluate_text(name, values); evaluated && *evaluated != name) {
    name = *evaluated;
    report_step(current.index, {{"name", name}});
  }
  print(fmt::format("##[group]{}", !name.empty()   ? name
                                   : !uses.empty() ? uses
                                                   : "Run " + base::get_string(spec, "run").substr(0, 80)));
  base::Result<StepResult> result = base::fail(base::ErrorCode::kInternal, fmt::format("there is no action {}", uses));
  if (uses.empty()) {
    result = co_await run_script(spec, current);
  } else if (uses == "checkout") {
    result = co_await checkout(current);
  } else if (uses == "build-image") {
    result = co_await build_image(current);
  } else if (uses == "deploy") {
    result = co_await deploy(current);
  }
  print("##[endgroup]");
  co_return result;
}

std::string JobRunner::working_directory(std::string_view text) const {
  if (text.empty()) return places_.workspace;
  return (places_.workspace / fs::path(text)).lexically_normal();
}

std::map<std::string, std::string> JobRunner::base_env() const {
  std::map<std::string, std::string> out;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text = *variable;
    const auto equals = text.find('=');
    // The job's own text is the runner's, not the steps'.
    if (equals == std::string_view::npos || text.starts_with("MAINSTAY_JOB=")) continue;
    out[std::string(text.substr(0, equals))] = text.substr(equals + 1);
  }
  const json::object& github = base::get_object(job_, "contexts.github");
  for (const auto& entry : github) {
    if (entry.value().is_object() || entry.key() == "token") continue;
    std::string name = "GITHUB_" + std::string(entry.key());
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::toupper(c); });
    out[name] = to_text(entry.value());
  }
  out["CI"] = "true";
  out["GITHUB_ACTIONS"] = "true";
  out["RUNNER_OS"] = "Linux";
  out["RUNNER_ARCH"] = "X64";
  out["RUNNER_TEMP"] = places_.temp;
  out["GITHUB_WORKSPACE"] = places_.workspace;
  if (!out.contains("HOME")) out["HOME"] = "/root";
  for (const auto& [name, value] : env_) out[name] = value;
  if (!path_.empty()) out["PATH"] = path_ + ":" + out["PATH"];
  return out;
}

async::Task<base::Result<JobRunner::StepResult>> JobRunner::run_script(const json::value& spec, Current current) {
  const EvaluationContext values = context(&current);
  MAINSTAY_CO_TRY(const std::string script, evaluate_text(base::get_string(spec, "run"), values));
  std::string shell = base::get_string(spec, "shell");
  if (shell.empty()) shell = base::get_string(job_, "shell");
  MAINSTAY_CO_TRY(shell, evaluate_text(shell, values));
  const fs::path file = places_.temp / fmt::format("step-{}{}", current.index + 1, shell_suffix(shell));
  MAINSTAY_CO_TRY_VOID(base::write_file(file, script + "\n", 0700));
  Command command;
  MAINSTAY_CO_TRY(command.argv, shell_command(shell, file));
  command.env = base_env();
  for (const auto& [name, value] : current.env) command.env[name] = value;
  for (const auto& [name, path] : {std::pair{"GITHUB_OUTPUT", "output"},
                                   {"GITHUB_ENV", "env"},
                                   {"GITHUB_PATH", "path"},
                                   {"GITHUB_STEP_SUMMARY", "summary"},
                                   {"GITHUB_STATE", "state"}}) {
    command.env[name] = places_.temp / path;
    MAINSTAY_CO_TRY_VOID(base::write_file(places_.temp / path, "", 0644));
  }
  command.directory = current.working_directory;
  command.obeys_commands = true;
  std::error_code ignored;
  if (!fs::is_directory(command.directory, ignored))
    co_return base::fail(base::ErrorCode::kNotFound,
                         fmt::format("working-directory {} does not exist; is a checkout step missing before this one?",
                                     current.working_directory));
  StepResult result;
  Tail tail(30, 8u << 10);
  auto status = co_await run_command(std::move(command), current.limit, &tail, &result.outputs);
  if (!status) co_return std::unexpected(status.error());
  result.exit_code = status->code;
  result.ok = status->ok();
  if (auto files = read_files(result); !files && result.ok) co_return std::unexpected(files.error());
  if (!result.ok)
    result.message = fmt::format("{}{}exit code {}", tail.text(), tail.text().empty() ? "" : "\n", status->code);
  co_return result;
}

base::Result<> JobRunner::read_files(StepResult& result) {
  for (const char* name : {"output", "env"}) {
    MAINSTAY_TRY(const std::string text, base::read_file(places_.temp / name, kMaxStepFile));
    auto pairs = parse_assignments(text);
    if (!pairs)
      return base::fail(
          base::ErrorCode::kInvalid,
          fmt::format("$GITHUB_{}: {}", std::string_view(name) == "env" ? "ENV" : "OUTPUT", pairs.error().message));
    for (auto& [key, value] : *pairs) {
      if (std::string_view(name) == "output") {
        result.outputs[key] = value;
      } else if (!key.starts_with("GITHUB_") && !key.starts_with("RUNNER_") && key != "NODE_OPTIONS") {
        env_[key] = std::move(value);
      }
    }
  }
  MAINSTAY_TRY(const std::string paths, base::read_file(places_.temp / "path", kMaxStepFile));
  for (std::string_view line : base::split(paths, '\n')) {
    line = base::trim(line);
    if (!line.empty()) path_ = path_.empty() ? std::string(line) : std::string(line) + ":" + path_;
  }
  MAINSTAY_TRY(const std::string summary, base::read_file(places_.temp / "summary", kMaxStepFile));
  if (!base::trim(summary).empty()) {
    print("##[group]Summary");
    for (std::string_view line : base::split(base::trim(summary), '\n')) print(line);
    print("##[endgroup]");
  }
  return {};
}

void JobRunner::obey(const WorkflowCommand& command, json::object* outputs) {
  if (!stopped_commands_.empty()) {
    if (command.name == stopped_commands_) stopped_commands_.clear();
    return;
  }
  if (command.name == "add-mask") {
    mask_.add(command.data);
  } else if (command.name == "set-output" && outputs != nullptr && command.properties.contains("name")) {
    (*outputs)[command.properties.at("name")] = command.data;
  } else if (command.name == "stop-commands") {
    stopped_commands_ = base::lower(command.data);
  } else if (command.name == "group" || command.name == "endgroup") {
    print(command.name == "group" ? "##[group]" + command.data : "##[endgroup]");
  } else if (command.name == "error" || command.name == "warning" || command.name == "notice") {
    const auto file = command.properties.find("file"), line = command.properties.find("line");
    print(fmt::format("##[{}]{}{}{}", command.name, file == command.properties.end() ? "" : file->second + ":",
                      line == command.properties.end() ? "" : line->second + ": ", command.data));
  }
}

async::Task<base::Result<async::ExitStatus>> JobRunner::run_command(Command command, std::chrono::nanoseconds limit,
                                                                    Tail* tail, json::object* outputs) {
  async::ProcessOptions options;
  options.argv = command.argv;
  options.env = std::move(command.env);
  options.working_directory = command.directory;
  options.merge_stderr = true;
  MAINSTAY_CO_TRY(auto process, async::Process::start(runtime_.executor(), std::move(options)));
  struct Running {
    async::Process*& slot;
    ~Running() { slot = nullptr; }
  } running{running_};
  running_ = process.get();
  if (cancelled_ && standing_ != Standing::kCancelled) process->kill(SIGTERM);
  const auto take = [&](std::string_view line) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (command.obeys_commands && line.starts_with("::")) {
      if (const auto parsed = parse_command(line)) {
        obey(*parsed, outputs);
        // An error told this way belongs to what the user is shown of a failure.
        if (tail != nullptr && (parsed->name == "error" || parsed->name == "warning"))
          tail->add(mask_.apply(parsed->data));
        return;
      }
    }
    print(line);
    if (tail != nullptr) tail->add(mask_.apply(std::string(line)));
    if (command.on_line) command.on_line(line);
  };
  struct Read {
    static async::Task<async::ExitStatus> all(async::Process* process, std::function<void(std::string_view)> take) {
      std::vector<char> buffer(16384);
      std::string pending;
      while (const std::size_t got = co_await process->read_stdout(buffer)) {
        pending.append(buffer.data(), got);
        std::size_t start = 0;
        for (std::size_t end = pending.find('\n'); end != std::string::npos; end = pending.find('\n', start)) {
          take(std::string_view(pending).substr(start, end - start));
          start = end + 1;
        }
        pending.erase(0, start);
        if (pending.size() > (64u << 10)) {
          take(pending);
          pending.clear();
        }
      }
      if (!pending.empty()) take(pending);
      co_return co_await process->wait();
    }
  };
  auto status = co_await async::with_timeout(Read::all(process.get(), take), limit);
  if (status) co_return *status;
  process->kill(SIGTERM);
  if (!co_await async::with_timeout(process->wait(), std::chrono::seconds(5))) process->kill(SIGKILL);
  co_return base::fail(base::ErrorCode::kTimeout,
                       fmt::format("stopped: it ran longer than {} minutes (timeout-minutes)",
                                   std::chrono::duration_cast<std::chrono::minutes>(limit).count()));
}

}  // namespace mainstay::pipelines
