// The built-in actions checkout and deploy.
#include <fmt/format.h>

#include "base/encoding.h"
#include "base/strings.h"
#include "capabilities/pipelines/runner_job.h"

namespace mainstay::pipelines {
namespace fs = std::filesystem;
namespace {

constexpr int kFetchTries = 6;
// A connection that hangs is given up sooner than a clone that takes its time.
constexpr std::chrono::seconds kFirstFetch{8}, kSecondFetch{30};

std::string text_of(const json::object& with, std::string_view key, std::string_view fallback = "") {
  const json::value* value = with.if_contains(key);
  return value != nullptr && value->is_string() && !value->as_string().empty() ? std::string(value->as_string())
                                                                               : std::string(fallback);
}

// A path below the workspace, whatever the user wrote.
base::Result<fs::path> inside(const fs::path& workspace, const std::string& relative) {
  const fs::path path = (workspace / relative).lexically_normal();
  const std::string text = path.lexically_relative(workspace);
  if (text.starts_with(".."))
    return base::fail(base::ErrorCode::kInvalid, fmt::format("\"{}\" leads out of the workspace", relative));
  return path;
}

// Whether the other side itself said no, as git reports it (http.c, fetch-pack.c). All else, however the TLS library of
// the day words it, is a connection that broke: the platform restarts, or the network does.
bool refused_by_remote(const std::string& output) {
  for (std::string_view mark :
       {"returned error: 4", "remote error", "remote:", "couldn't find remote ref", "not our ref", "not found",
        "Authentication failed", "could not read Username", "is not a valid", "invalid refspec", "No space left"})
    if (output.contains(mark)) return true;
  return false;
}

// Git's own settings by environment: credentials stay out of arguments and out of .git/config.
std::map<std::string, std::string> git_environment(std::map<std::string, std::string> env, const std::string& token,
                                                   const fs::path& ca_file) {
  const std::pair<std::string, std::string> settings[] = {{"http.extraHeader", "Authorization: Bearer " + token},
                                                          {"http.sslCAInfo", ca_file.string()},
                                                          {"safe.directory", "*"},
                                                          {"advice.detachedHead", "false"},
                                                          {"gc.auto", "0"}};
  env["GIT_CONFIG_COUNT"] = std::to_string(std::size(settings));
  for (std::size_t i = 0; i < std::size(settings); ++i) {
    env[fmt::format("GIT_CONFIG_KEY_{}", i)] = settings[i].first;
    env[fmt::format("GIT_CONFIG_VALUE_{}", i)] = settings[i].second;
  }
  env["GIT_TERMINAL_PROMPT"] = "0";
  return env;
}

}  // namespace

async::Task<base::Result<JobRunner::StepResult>> JobRunner::checkout(Current current) {
  const std::string ns = base::get_string(job_, "namespace");
  std::string repository = text_of(current.with, "repository", ns + "/" + base::get_string(job_, "repository"));
  const bool own = repository == ns + "/" + base::get_string(job_, "repository");
  if (text_of(current.with, "submodules", "false") != "false" || text_of(current.with, "lfs", "false") != "false")
    co_return base::fail(base::ErrorCode::kInvalid, "checkout: submodules and lfs are not in this version");
  const std::string ref = base::get_string(job_, "ref"), commit = base::get_string(job_, "commit");
  std::string wanted = text_of(current.with, "ref", own ? commit : "HEAD");
  if (wanted.starts_with("-") || wanted.contains("..") || wanted.contains(' '))
    co_return base::fail(base::ErrorCode::kInvalid, fmt::format("checkout: \"{}\" is not a ref", wanted));
  MAINSTAY_CO_TRY(const fs::path where, inside(places_.workspace, text_of(current.with, "path", ".")));
  const std::string depth = text_of(current.with, "fetch-depth", "1");
  if (depth.find_first_not_of("0123456789") != std::string::npos)
    co_return base::fail(base::ErrorCode::kInvalid, "checkout: fetch-depth must be a number");
  std::error_code ignored;
  fs::create_directories(where, ignored);

  const auto env = git_environment(base_env(), session_->token(), session_->ca_file());
  const std::string url = fmt::format("{}/git/{}.git", session_->server(), repository);
  std::vector<std::string> fetch{"git", "fetch", "--quiet", "--no-tags", "--no-write-fetch-head"};
  if (depth != "0") fetch.push_back("--depth=" + depth);
  fetch.push_back(url);
  fetch.push_back(fmt::format("+{}:refs/mainstay/checkout", wanted));
  if (depth == "0") {
    fetch.emplace_back("+refs/heads/*:refs/remotes/origin/*");
    fetch.emplace_back("+refs/tags/*:refs/tags/*");
  }
  // On a branch as the developer's own clone is, where the run is of one.
  std::vector<std::string> checkout{"git", "checkout", "--quiet", "--force"};
  const bool branch = own && wanted == commit && ref.starts_with("refs/heads/");
  if (branch) checkout.insert(checkout.end(), {"-B", ref.substr(11)});
  checkout.emplace_back("refs/mainstay/checkout");
  const std::vector<std::vector<std::string>> commands{{"git", "init", "--quiet", "--template="}, fetch, checkout};
  for (const auto& argv : commands) {
    for (int attempt = 1;; ++attempt) {
      Tail tail(20, 4096);
      Command command{argv, env, where, false, nullptr};
      const bool fetching = argv[1] == "fetch";
      const std::chrono::nanoseconds patience = !fetching || attempt > 2 ? current.limit
                                                : attempt == 1           ? kFirstFetch
                                                                         : kSecondFetch;
      const auto ended = co_await run_command(std::move(command), std::min(patience, current.limit), &tail, nullptr);
      if (!ended && fetching && ended.error().code == base::ErrorCode::kTimeout && patience < current.limit) {
        fs::remove(where / ".git/shallow.lock", ignored);
        continue;
      }
      if (!ended) co_return std::unexpected(ended.error());
      const async::ExitStatus status = *ended;
      if (status.ok()) break;
      StepResult failed;
      failed.ok = false;
      failed.exit_code = status.code;
      failed.message = fmt::format("{}\n{} failed", tail.text(), base::join({argv[0], argv[1]}, " "));
      if (!fetching || attempt == kFetchTries || cancelled_ || refused_by_remote(tail.text())) co_return failed;
      MAINSTAY_CO_TRY_VOID(co_await session_->wait_until_up());
    }
  }
  StepResult result;
  result.outputs = {{"commit", commit}, {"ref", ref}};
  co_return result;
}

async::Task<base::Result<JobRunner::StepResult>> JobRunner::deploy(Current current) {
  // The platform must know of the image before it is asked to deploy it.
  co_await reporter_->flush();
  const std::string target = fmt::format("/apis/mainstay.dev/v1/namespaces/{}/workflowruns/{}/deploy",
                                         base::get_string(job_, "namespace"), base::get_string(job_, "run"));
  json::object wish{{"environment", text_of(current.with, "environment", base::get_string(job_, "environment"))},
                    {"score", text_of(current.with, "score", text_of(current.with, "file"))},
                    {"image", text_of(current.with, "image")}};
  for (int attempt = 1;; ++attempt) {
    net::ClientRequest request;
    request.method = "POST";
    request.target = target;
    request.headers.set("Content-Type", "application/json");
    request.body = base::to_json(json::value(wish));
    json::value last;
    std::string other;
    const auto status = co_await session_->stream_lines(std::move(request), [&](std::string_view line) {
      if (base::trim(line).empty()) return;
      auto parsed = base::parse_json(line, 8);
      if (!parsed || !parsed->is_object()) {
        other += line;
      } else if (const std::string text = base::get_string(*parsed, "line"); !text.empty()) {
        print(text);
      } else {
        last = std::move(*parsed);
      }
    });
    const std::string outcome = base::get_string(last, "result");
    if (outcome.empty()) {
      if (status && *status >= 400)
        co_return base::fail(
            base::ErrorCode::kInvalid,
            base::get_string(last, "message", other.empty() ? "the platform refused to deploy" : other));
      // The answer broke off: the platform was restarted. Asking again carries on where it was.
      if (attempt == 10 || cancelled_)
        co_return base::fail(base::ErrorCode::kUnavailable, "the platform did not say how the deployment ended");
      MAINSTAY_CO_TRY_VOID(co_await session_->wait_until_up());
      continue;
    }
    StepResult result;
    result.ok = outcome != "Failed";
    result.exit_code = result.ok ? 0 : 1;
    const std::string message = base::get_string(last, "message"), url = base::get_string(last, "url");
    if (!result.ok) {
      result.message = message;
      for (std::string_view line : base::split(message, '\n')) print(line);
      co_return result;
    }
    result.detail = outcome == "Superseded"
                        ? message
                        : fmt::format("{}/{}", base::get_string(last, "namespace"), base::get_string(last, "name"));
    result.outputs = {
        {"url", url}, {"namespace", base::get_string(last, "namespace")}, {"name", base::get_string(last, "name")}};
    print(result.detail);
    if (!url.empty()) print(url);
    co_return result;
  }
}

}  // namespace mainstay::pipelines
