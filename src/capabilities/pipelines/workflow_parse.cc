#include <set>

#include "base/strings.h"
#include "base/yaml.h"
#include "capabilities/pipelines/expression.h"
#include "capabilities/pipelines/workflow.h"

namespace mainstay::pipelines {
namespace {

constexpr std::size_t kMaxErrors = 10;
constexpr std::size_t kMaxJobs = 100, kMaxSteps = 200;
using Keys = std::set<std::string_view>;

bool is_identifier(std::string_view text) {
  return !text.empty() && text.size() <= 100 && (std::isalpha(static_cast<unsigned char>(text[0])) || text[0] == '_') &&
         std::ranges::all_of(text, [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-'; });
}

class Reader {
 public:
  Reader(std::string file, std::string_view text) : file_(std::move(file)), positions_(Positions::of(text)) {}

  base::Result<Workflow> run(const json::value& document) {
    Workflow out;
    out.file = file_;
    if (!document.is_object()) {
      error("", "a workflow is a mapping with `on` and `jobs`");
      return finish(std::move(out));
    }
    known("", document, {"name", "run-name", "on", "env", "defaults", "jobs", "permissions", "concurrency"});
    out.name = text("", document, "name", file_);
    out.env = environment("", document);
    triggers(document, out);
    for (std::string_view ignored : {"permissions", "concurrency", "run-name"}) without_effect("", document, ignored);
    std::string shell, directory;
    defaults("", document, shell, directory);
    const json::value* jobs = document.as_object().if_contains("jobs");
    if (jobs == nullptr || !jobs->is_object() || jobs->as_object().empty()) {
      error("jobs", "`jobs` must have at least one job");
      return finish(std::move(out));
    }
    if (jobs->as_object().size() > kMaxJobs) error("jobs", fmt::format("a workflow has at most {} jobs", kMaxJobs));
    for (const auto& entry : jobs->as_object()) {
      Job job = read_job(std::string(entry.key()), entry.value());
      if (job.shell.empty()) job.shell = shell;
      if (job.working_directory.empty()) job.working_directory = directory;
      out.jobs.push_back(std::move(job));
      if (errors_.size() >= kMaxErrors) break;
    }
    check_needs(out);
    return finish(std::move(out));
  }

 private:
  void error(const std::string& path, std::string what) {
    const Position at = positions_.find(path);
    if (errors_.size() < kMaxErrors) errors_.push_back(fmt::format("{}:{}:{}: {}", file_, at.line, at.column, what));
  }
  void note(const std::string& path, std::string what) {
    if (notes_.size() < kMaxErrors) notes_.push_back(fmt::format("{}:{}: {}", file_, positions_.find(path).line, what));
  }
  void without_effect(const std::string& path, const json::value& object, std::string_view key) {
    if (object.as_object().contains(key)) note(below(path, key), fmt::format("`{}` has no effect here", key));
  }
  base::Result<Workflow> finish(Workflow out) {
    out.notes = std::move(notes_);
    if (errors_.empty()) return out;
    return base::fail(base::ErrorCode::kInvalid, base::join(errors_, "\n"));
  }
  static std::string below(const std::string& path, std::string_view key) {
    return path.empty() ? std::string(key) : path + "." + std::string(key);
  }

  void known(const std::string& path, const json::value& object, const Keys& keys) {
    for (const auto& entry : object.as_object()) {
      if (keys.contains(entry.key())) continue;
      std::vector<std::string> all(keys.begin(), keys.end());
      error(below(path, entry.key()),
            fmt::format("`{}` is not known here (there are {})", std::string_view(entry.key()), base::join(all, ", ")));
    }
  }
  // A scalar as text; an expression in it is checked.
  std::string text(const std::string& path, const json::value& object, std::string_view key, std::string fallback = "",
                   bool templated = true) {
    const json::value* value = object.as_object().if_contains(key);
    if (value == nullptr || value->is_null()) return fallback;
    const std::string where = below(path, key);
    if (value->is_object() || value->is_array()) {
      error(where, fmt::format("`{}` must be a text", key));
      return fallback;
    }
    std::string out = to_text(*value);
    if (templated) expressions(where, *value);
    return out;
  }
  json::value scalar(const std::string& path, const json::value& object, std::string_view key) {
    const json::value* value = object.as_object().if_contains(key);
    if (value == nullptr) return nullptr;
    if (value->is_object() || value->is_array()) error(below(path, key), fmt::format("`{}` must be one value", key));
    expressions(below(path, key), *value);
    return *value;
  }
  void expressions(const std::string& path, const json::value& value) {
    if (value.is_string()) {
      if (auto ok = check_template(value.as_string(), nullptr, nullptr); !ok) error(path, ok.error().message);
    } else if (const auto* array = value.if_array()) {
      for (std::size_t i = 0; i < array->size(); ++i) expressions(below(path, std::to_string(i)), (*array)[i]);
    } else if (const auto* object = value.if_object()) {
      for (const auto& entry : *object) expressions(below(path, entry.key()), entry.value());
    }
  }
  std::string condition(const std::string& path, const json::value& object) {
    const json::value* value = object.as_object().if_contains("if");
    if (value == nullptr || value->is_null()) return "";
    if (value->is_object() || value->is_array()) {
      error(below(path, "if"), "`if` must be an expression");
      return "";
    }
    std::string out = to_text(*value);
    if (out.contains("${{")) {
      expressions(below(path, "if"), *value);
    } else if (auto parsed = Expression::parse(out); !parsed) {
      error(below(path, "if"), parsed.error().message);
    }
    return out;
  }
  json::object environment(const std::string& path, const json::value& object, std::string_view key = "env") {
    const json::value* value = object.as_object().if_contains(key);
    if (value == nullptr || value->is_null()) return {};
    if (!value->is_object()) {
      error(below(path, key), fmt::format("`{}` must be a mapping of names to texts", key));
      return {};
    }
    json::object out;
    for (const auto& entry : value->as_object()) {
      if (entry.value().is_object() || entry.value().is_array()) {
        error(below(below(path, key), entry.key()), fmt::format("`{}` must be a text", std::string_view(entry.key())));
        continue;
      }
      expressions(below(below(path, key), entry.key()), entry.value());
      out[entry.key()] = json::string(to_text(entry.value()));
    }
    return out;
  }
  std::vector<std::string> texts(const std::string& path, const json::value& value) {
    std::vector<std::string> out;
    if (value.is_string()) {
      out.emplace_back(value.as_string());
    } else if (value.is_array()) {
      for (const json::value& item : value.as_array()) {
        if (item.is_object() || item.is_array()) error(path, "must be a list of texts");
        out.push_back(to_text(item));
      }
    } else if (!value.is_null()) {
      error(path, "must be a text or a list of texts");
    }
    return out;
  }
  void defaults(const std::string& path, const json::value& object, std::string& shell, std::string& directory) {
    const json::value* run = base::find(object, "defaults.run");
    if (run == nullptr || !run->is_object()) return;
    known(below(path, "defaults.run"), *run, {"shell", "working-directory"});
    shell = shell_of(below(path, "defaults.run"), *run);
    directory = text(below(path, "defaults.run"), *run, "working-directory");
  }

  std::string shell_of(const std::string& path, const json::value& object) {
    std::string shell = text(path, object, "shell");
    if (!known_shell(shell))
      error(below(path, "shell"),
            fmt::format("the shell \"{}\" is not in this version: there are bash, sh, python, or a command line with "
                        "{{0}} for the script",
                        shell));
    return shell;
  }

  void triggers(const json::value& document, Workflow& out) {
    const json::value* on = document.as_object().if_contains("on");
    if (on == nullptr) {
      error("", "`on` is missing: it says what starts the workflow, for example `on: push`");
      return;
    }
    if (!on->is_object()) {
      for (const std::string& event : texts("on", *on)) trigger(event, nullptr, out);
      return;
    }
    for (const auto& entry : on->as_object()) trigger(std::string(entry.key()), &entry.value(), out);
  }
  void trigger(const std::string& event, const json::value* detail, Workflow& out) {
    static const Keys kElsewhere = {
        "pull_request",  "pull_request_target", "schedule", "release", "workflow_call", "workflow_run", "issues",
        "issue_comment", "repository_dispatch", "create",   "delete",  "merge_group",   "deployment"};
    if (event == "push") {
      out.push = PushFilter();
      if (detail != nullptr && !detail->is_null()) push_filter(*detail, *out.push);
    } else if (event == "workflow_dispatch") {
      out.dispatch = true;
    } else if (kElsewhere.contains(event)) {
      note(detail == nullptr ? "on" : "on." + event, fmt::format("`on: {}` never happens here", event));
    } else {
      error("on." + event, fmt::format("there is no event \"{}\" (there are push and workflow_dispatch)", event));
    }
  }
  void push_filter(const json::value& detail, PushFilter& filter) {
    if (!detail.is_object()) {
      error("on.push", "`push` must be a mapping");
      return;
    }
    known("on.push", detail, {"branches", "branches-ignore", "tags", "tags-ignore", "paths", "paths-ignore"});
    const auto read = [&](std::string_view key, std::optional<std::vector<std::string>>& into) {
      if (const json::value* value = detail.as_object().if_contains(key)) into = texts(below("on.push", key), *value);
    };
    read("branches", filter.branches);
    read("branches-ignore", filter.branches_ignore);
    read("tags", filter.tags);
    read("tags-ignore", filter.tags_ignore);
    read("paths", filter.paths);
    read("paths-ignore", filter.paths_ignore);
    if (filter.branches && filter.branches_ignore)
      error("on.push", "`branches` and `branches-ignore` exclude each other; use ! in branches");
    if (filter.tags && filter.tags_ignore)
      error("on.push", "`tags` and `tags-ignore` exclude each other; use ! in tags");
    if (filter.paths && filter.paths_ignore)
      error("on.push", "`paths` and `paths-ignore` exclude each other; use ! in paths");
  }

  Job read_job(std::string id, const json::value& value) {
    const std::string path = "jobs." + id;
    Job job;
    job.id = id;
    if (!is_identifier(id))
      error(path, fmt::format("\"{}\" is not a job's name: letters, digits, - and _, not beginning with a digit", id));
    if (!value.is_object()) {
      error(path, "a job is a mapping with `steps`");
      return job;
    }
    const json::object& object = value.as_object();
    for (const auto& [key, why] :
         {std::pair{"uses", "reusable workflows are not in this version: write the steps here"},
          std::pair{"services",
                    "service containers are not in this version: start what you need in a `run` step, or ask for it in "
                    "score.yaml and test against the environment"},
          std::pair{"container",
                    "`container` is not in this version: jobs run in the platform's own image, with what is installed "
                    "on its machine; what else a job needs it installs in a `run` step"}})
      if (object.contains(key)) error(below(path, key), why);
    known(path, value,
          {"name", "needs", "if", "runs-on", "environment", "env", "defaults", "strategy", "outputs", "timeout-minutes",
           "continue-on-error", "steps", "permissions", "concurrency", "uses", "services", "container", "with",
           "secrets"});
    job.name = text(path, value, "name", id);
    if (const json::value* needs = object.if_contains("needs")) job.needs = texts(below(path, "needs"), *needs);
    job.condition = condition(path, value);
    for (std::string_view ignored : {"permissions", "concurrency"}) without_effect(path, value, ignored);
    if (const json::value* runs_on = object.if_contains("runs-on"))
      machine(below(path, "runs-on"), path, value, *runs_on);
    if (const json::value* where = object.if_contains("environment"))
      job.environment = where->is_object() ? base::get_string(*where, "name") : text(path, value, "environment");
    job.env = environment(path, value);
    job.outputs = environment(path, value, "outputs");
    defaults(path, value, job.shell, job.working_directory);
    strategy(path, value, job);
    job.continue_on_error = scalar(path, value, "continue-on-error");
    job.timeout_minutes = scalar(path, value, "timeout-minutes");
    if (object.contains("uses")) return job;
    const json::value* steps = object.if_contains("steps");
    if (steps == nullptr || !steps->is_array() || steps->as_array().empty()) {
      error(path, fmt::format("job {} has no steps", id));
      return job;
    }
    if (steps->as_array().size() > kMaxSteps)
      error(below(path, "steps"), fmt::format("a job has at most {} steps", kMaxSteps));
    std::set<std::string> ids;
    for (std::size_t i = 0; i < steps->as_array().size(); ++i)
      job.steps.push_back(read_step(fmt::format("{}.steps.{}", path, i), steps->as_array()[i], ids));
    return job;
  }
  // Refuses machines that there are not: named as a text, in a list, as `group` and `labels`, or by way of the matrix.
  void machine(const std::string& where, const std::string& job, const json::value& value, const json::value& runs_on) {
    if (const auto* array = runs_on.if_array()) {
      for (const json::value& label : *array) machine(where, job, value, label);
    } else if (const auto* object = runs_on.if_object()) {
      for (const auto& entry : *object) machine(where, job, value, entry.value());
    } else if (runs_on.is_string()) {
      expressions(where, runs_on);
      const std::string wanted = base::lower(runs_on.as_string());
      for (std::string_view other : {"windows", "macos"})
        if (wanted.contains(other)) error(where, fmt::format("there are no {} machines: jobs run on Linux", wanted));
      const json::value* matrix = base::find(value, "strategy.matrix");
      if (!wanted.contains("matrix.") || matrix == nullptr || !matrix->is_object()) return;
      for (const auto& entry : matrix->as_object())
        if (entry.key() == "include" || wanted.contains(fmt::format("matrix.{}", base::lower(entry.key()))))
          machines_of_matrix(fmt::format("{}.strategy.matrix.{}", job, std::string_view(entry.key())), entry.value());
    }
  }
  void machines_of_matrix(const std::string& where, const json::value& value) {
    if (const auto* array = value.if_array()) {
      for (std::size_t i = 0; i < array->size(); ++i) machines_of_matrix(below(where, std::to_string(i)), (*array)[i]);
    } else if (const auto* object = value.if_object()) {
      for (const auto& entry : *object) machines_of_matrix(below(where, entry.key()), entry.value());
    } else if (value.is_string()) {
      const std::string wanted = base::lower(value.as_string());
      if (wanted.starts_with("windows") || wanted.starts_with("macos"))
        error(where, fmt::format("there are no {} machines: take it out of the matrix", wanted));
    }
  }
  void strategy(const std::string& path, const json::value& value, Job& job) {
    const json::value* strategy = value.as_object().if_contains("strategy");
    if (strategy == nullptr || strategy->is_null()) return;
    const std::string where = below(path, "strategy");
    if (!strategy->is_object()) {
      error(where, "`strategy` must be a mapping with `matrix`");
      return;
    }
    known(where, *strategy, {"matrix", "fail-fast", "max-parallel"});
    if (const json::value* matrix = strategy->as_object().if_contains("matrix")) {
      if (!matrix->is_object() && !(matrix->is_string() && matrix->as_string().starts_with("${{")))
        error(below(where, "matrix"), "`matrix` must be a mapping or an expression");
      expressions(below(where, "matrix"), *matrix);
      job.matrix = *matrix;
    }
    if (const json::value* fast = strategy->as_object().if_contains("fail-fast")) {
      if (!fast->is_bool()) error(below(where, "fail-fast"), "`fail-fast` must be true or false here");
      job.fail_fast = base::get_bool(*strategy, "fail-fast", true);
    }
    if (const json::value* most = strategy->as_object().if_contains("max-parallel")) {
      if (!most->is_int64() || most->as_int64() < 1)
        error(below(where, "max-parallel"), "`max-parallel` must be a number from 1 here");
      job.max_parallel = base::get_int(*strategy, "max-parallel", 0);
    }
  }
  Step read_step(const std::string& path, const json::value& value, std::set<std::string>& ids) {
    Step step;
    if (!value.is_object()) {
      error(path, "a step is a mapping with `run` or `uses`");
      return step;
    }
    known(path, value,
          {"id", "name", "if", "uses", "run", "with", "env", "shell", "working-directory", "continue-on-error",
           "timeout-minutes"});
    step.id = text(path, value, "id", "", false);
    if (!step.id.empty() && !is_identifier(step.id))
      error(below(path, "id"), fmt::format("\"{}\" is not an identifier", step.id));
    if (!step.id.empty() && !ids.insert(base::lower(step.id)).second)
      error(below(path, "id"), fmt::format("another step has the id \"{}\"", step.id));
    step.name = text(path, value, "name");
    step.uses = text(path, value, "uses", "", false);
    step.run = text(path, value, "run");
    step.shell = shell_of(path, value);
    step.working_directory = text(path, value, "working-directory");
    step.condition = condition(path, value);
    step.env = environment(path, value);
    step.with = environment(path, value, "with");
    step.continue_on_error = scalar(path, value, "continue-on-error");
    step.timeout_minutes = scalar(path, value, "timeout-minutes");
    if (step.uses.empty() == step.run.empty()) {
      error(path, step.run.empty() ? "a step needs `run` or `uses`" : "a step has `run` or `uses`, not both");
    } else if (std::string why = step.uses.empty() ? "" : why_not_action(step.uses); !why.empty()) {
      error(below(path, "uses"), why);
    }
    for (const auto& input : step.with)
      if (std::string why = why_not_input(step.uses, input.key(), input.value().as_string()); !why.empty())
        error(below(below(path, "with"), input.key()), why);
    return step;
  }
  void check_needs(const Workflow& out) {
    for (const Job& job : out.jobs)
      for (const std::string& need : job.needs)
        if (out.job(need) == nullptr)
          error("jobs." + job.id + ".needs",
                fmt::format("job {} needs \"{}\", and there is no such job", job.id, need));
    if (!errors_.empty()) return;
    // Takes away jobs whose needs are met until none is left: those that stay wait for each other.
    std::set<std::string> met;
    for (bool moved = true; moved;) {
      moved = false;
      for (const Job& job : out.jobs)
        if (!met.contains(job.id) &&
            std::ranges::all_of(job.needs, [&](const std::string& need) { return met.contains(need); }))
          moved = met.insert(job.id).second;
    }
    for (const Job& job : out.jobs)
      if (!met.contains(job.id))
        return error("jobs." + job.id + ".needs", fmt::format("job {} waits for itself through its needs", job.id));
  }

  std::string file_;
  Positions positions_;
  std::vector<std::string> errors_, notes_;
};

}  // namespace

const Job* Workflow::job(std::string_view id) const {
  const auto at = std::ranges::find(jobs, id, &Job::id);
  return at == jobs.end() ? nullptr : &*at;
}

base::Result<Workflow> parse_workflow(std::string file, std::string_view text) {
  auto document = base::parse_yaml(text, {.max_bytes = 512u << 10, .max_depth = 32, .max_nodes = 20'000});
  if (!document) return base::fail(base::ErrorCode::kInvalid, fmt::format("{}: {}", file, document.error().message));
  return Reader(std::move(file), text).run(*document);
}

}  // namespace mainstay::pipelines
