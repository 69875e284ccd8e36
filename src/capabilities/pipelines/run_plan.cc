#include "capabilities/pipelines/run_plan.h"

#include "base/clock.h"
#include "base/strings.h"
#include "capabilities/pipelines/expression.h"
#include "capabilities/pipelines/run_store.h"

namespace mainstay::pipelines {
namespace {

std::string phase_of(const json::value& entry) { return base::get_string(entry, "phase"); }

json::object new_entry(const Job& job) {
  json::array steps;
  for (const Step& step : job.steps) {
    std::string name = step.name;
    if (name.empty())
      name = !step.uses.empty()
                 ? builtin_action(step.uses)
                 : std::string(base::trim(std::string_view(step.run).substr(0, step.run.find('\n')))).substr(0, 50);
    steps.push_back(json::object{{"name", name}, {"phase", "Pending"}});
  }
  return {{"id", job.id},
          {"name", job.name.contains("${{") ? job.id : job.name},
          {"needs", json::value_from(job.needs)},
          {"phase", "Pending"},
          {"steps", std::move(steps)}};
}

// A job's part in the context of those that need it: the result of all of its matrix together.
json::object needed(const json::array& entries, const std::string& id) {
  std::string result = "success";
  json::object outputs;
  for (const json::value& entry : entries) {
    if (base::get_string(entry, "id") != id) continue;
    const std::string phase = phase_of(entry);
    if (phase == "Failed" && !base::get_bool(entry, "ignoreFailure")) result = "failure";
    if (phase == "Cancelled" && result != "failure") result = "cancelled";
    if (phase == "Skipped" && result == "success") result = "skipped";
    for (const auto& output : base::get_object(entry, "outputs")) outputs[output.key()] = output.value();
  }
  return {{"result", result}, {"outputs", std::move(outputs)}};
}

EvaluationContext context_of(const json::value& run, const Job& job, const json::object& github) {
  EvaluationContext context;
  json::object needs;
  const json::array& entries = base::get_array(run, "status.jobs");
  for (const std::string& id : job.needs) {
    needs[id] = needed(entries, id);
    const std::string result = base::get_string(needs[id], "result");
    if (result == "failure") context.standing = Standing::kFailure;
    if (result == "cancelled" && context.standing != Standing::kFailure) context.standing = Standing::kCancelled;
    if (result == "skipped" && context.standing == Standing::kSuccess) context.standing = Standing::kSkipped;
  }
  context.values = {{"github", github},
                    {"needs", std::move(needs)},
                    {"vars", json::object()},
                    {"strategy", json::object()},
                    {"matrix", json::object()}};
  if (const json::value* inputs = base::find(run, "spec.inputs")) context.values["inputs"] = *inputs;
  return context;
}

// An error says of which key it is.
template <class T>
base::Result<T> named(std::string_view key, base::Result<T> value) {
  if (value) return value;
  return base::fail(value.error().code, fmt::format("{}: {}", key, value.error().message));
}

class Planner {
 public:
  Planner(json::value& run, const Workflow& workflow, const json::object& github, base::SystemTime now)
      : run_(run), workflow_(workflow), github_(github), now_(base::rfc3339_micro(now)) {}

  std::vector<std::string> run() {
    if (jobs_of(run_).empty()) {
      for (const Job& job : workflow_.jobs) {
        json::object entry = new_entry(job);
        entry["name"] = free_name(text_in(entry, "name"));
        jobs_of(run_).push_back(std::move(entry));
      }
      if (!workflow_.notes.empty()) base::set(run_, "status.notes", json::value_from(workflow_.notes));
    }
    const bool cancelled = base::get_bool(run_, "spec.cancel");
    if (!cancelled) fail_fast();
    // Settling one job may free the next: until nothing moves.
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t i = 0; i < jobs_of(run_).size(); ++i)
        if (phase_of(jobs_of(run_)[i]) == "Pending" && base::get_string(jobs_of(run_)[i], "pod").empty())
          moved = settle(i, cancelled) || moved;
    }
    if (cancelled) {
      for (json::value& entry : jobs_of(run_)) stop(entry, "the run was cancelled");
    } else {
      choose();
    }
    return std::move(stop_);
  }

 private:
  EvaluationContext context(const Job& job) const { return context_of(run_, job, github_); }

  bool needs_met(const Job& job) const {
    for (const json::value& entry : base::get_array(run_, "status.jobs"))
      if (std::ranges::find(job.needs, base::get_string(entry, "id")) != job.needs.end() && !is_final(phase_of(entry)))
        return false;
    return true;
  }
  void end(json::value& entry, std::string_view phase, std::string_view message) {
    finish_job(entry.as_object(), phase, message, now_);
  }

  // Jobs report by name, and nothing keeps people from giving two the same: the later ones are counted.
  std::string free_name(const std::string& wanted) {
    std::string name = wanted;
    for (int n = 2; find_entry(jobs_of(run_), "name", name) != nullptr; ++n) name = fmt::format("{} #{}", wanted, n);
    return name;
  }

  // Decides what can be decided without a pod. True where the entry changed so that others may follow.
  bool settle(std::size_t at, bool cancelled) {
    json::value& entry = jobs_of(run_)[at];
    if (cancelled) {
      end(entry, "Cancelled", "");
      return true;
    }
    const Job* job = workflow_.job(base::get_string(entry, "id"));
    if (job == nullptr) {
      end(entry, "Failed", "the workflow at this commit has no such job");
      return true;
    }
    if (!needs_met(*job)) return false;
    EvaluationContext values = context(*job);
    auto wanted = evaluate_condition(job->condition, values);
    if (!wanted) {
      end(entry, "Failed", fmt::format("if: {}", wanted.error().message));
      return true;
    }
    if (!*wanted) {
      end(entry, "Skipped", "");
      return true;
    }
    if (job->matrix.is_null() || entry.as_object().contains("matrix")) return false;
    return split(at, *job, values);
  }
  bool split(std::size_t at, const Job& job, const EvaluationContext& values) {
    auto evaluated = evaluate_all(job.matrix, values);
    auto combinations = evaluated ? expand_matrix(*evaluated) : std::unexpected(evaluated.error());
    if (!combinations) {
      end(jobs_of(run_)[at], "Failed", combinations.error().message);
      return true;
    }
    // The first takes this place and the others follow at the end: places, and with them pods' names, never shift.
    json::array& all = jobs_of(run_);
    const std::string name = base::get_string(all[at], "name");
    bool first = true;
    for (json::object& combination : *combinations) {
      json::object entry = new_entry(job);
      std::vector<std::string> texts;
      for (const auto& value : combination) texts.push_back(to_text(value.value()));
      entry["name"] = free_name(fmt::format("{} ({})", name, base::join(texts, ", ")));
      entry["matrix"] = std::move(combination);
      if (first) {
        all[at] = std::move(entry);
      } else {
        all.push_back(std::move(entry));
      }
      first = false;
    }
    return true;
  }
  void stop(json::value& entry, std::string_view why) {
    if (is_final(phase_of(entry))) return;
    if (std::string pod = base::get_string(entry, "pod"); !pod.empty()) stop_.push_back(std::move(pod));
    end(entry, "Cancelled", why);
  }
  void fail_fast() {
    for (const Job& job : workflow_.jobs) {
      if (job.matrix.is_null() || !job.fail_fast) continue;
      bool failed = false;
      for (const json::value& entry : jobs_of(run_))
        failed = failed || (base::get_string(entry, "id") == job.id && phase_of(entry) == "Failed" &&
                            !base::get_bool(entry, "ignoreFailure"));
      if (!failed) continue;
      for (json::value& entry : jobs_of(run_))
        if (base::get_string(entry, "id") == job.id) stop(entry, "another job of the matrix failed");
    }
  }
  // Which of the jobs that may start do so now.
  void choose() {
    int running = 0;
    std::map<std::string, std::int64_t> of_job;
    for (const json::value& entry : jobs_of(run_)) {
      if (base::get_string(entry, "pod").empty() || is_final(phase_of(entry))) continue;
      ++running;
      ++of_job[base::get_string(entry, "id")];
    }
    json::array& entries = jobs_of(run_);
    for (std::size_t i = 0; i < entries.size() && running < kMaxJobsAtOnce; ++i) {
      json::value& entry = entries[i];
      if (phase_of(entry) != "Pending" || !base::get_string(entry, "pod").empty()) continue;
      const Job* job = workflow_.job(base::get_string(entry, "id"));
      if (job == nullptr || !needs_met(*job)) continue;
      if (job->max_parallel > 0 && of_job[job->id] >= job->max_parallel) continue;
      EvaluationContext values = context(*job);
      if (const json::value* matrix = entry.as_object().if_contains("matrix")) values.values["matrix"] = *matrix;
      auto ignored = evaluate_all(job->continue_on_error, values);
      if (ignored && truthy(*ignored)) entry.as_object()["ignoreFailure"] = true;
      entry.as_object()["pod"] = job_pod_name(run_, static_cast<std::int64_t>(i));
      ++running;
      ++of_job[job->id];
    }
  }

  json::value& run_;
  const Workflow& workflow_;
  const json::object& github_;
  std::string now_;
  std::vector<std::string> stop_;
};

}  // namespace

std::vector<std::string> plan_next(json::value& run, const Workflow& workflow, const json::object& github,
                                   base::SystemTime now) {
  return Planner(run, workflow, github, now).run();
}

base::Result<JobToRun> job_to_run(const json::value& run, const Workflow& workflow, const json::object& github,
                                  std::size_t at) {
  const json::array& entries = base::get_array(run, "status.jobs");
  if (at >= entries.size()) return base::fail(base::ErrorCode::kNotFound, "the run has no such job");
  JobToRun out;
  out.workflow = &workflow;
  out.job = workflow.job(base::get_string(entries[at], "id"));
  if (out.job == nullptr) return base::fail(base::ErrorCode::kNotFound, "the workflow at this commit has no such job");
  out.key = base::get_string(entries[at], "name");
  out.number = static_cast<std::int64_t>(at);
  out.matrix = base::get_object(entries[at], "matrix");
  EvaluationContext values = context_of(run, *out.job, github);
  values.values["matrix"] = out.matrix;
  out.needs = values.values["needs"].as_object();
  MAINSTAY_TRY(out.timeout_minutes, named("timeout-minutes", evaluate_all(out.job->timeout_minutes, values)));
  MAINSTAY_TRY(out.environment, named("environment", evaluate_text(out.job->environment, values)));
  out.matrix_size = std::ranges::count_if(
      entries, [&](const json::value& other) { return base::get_string(other, "id") == out.job->id; });
  return out;
}

std::string verdict(const json::value& run, std::string* message) {
  bool failed = false, cancelled = false;
  for (const json::value& entry : base::get_array(run, "status.jobs")) {
    const std::string phase = phase_of(entry);
    if (!is_final(phase)) return "";
    if (phase == "Cancelled") cancelled = true;
    if (phase != "Failed" || base::get_bool(entry, "ignoreFailure")) continue;
    if (!failed && message != nullptr) {
      const std::string why = base::get_string(entry, "message");
      *message = fmt::format("job {} failed{}{}", base::get_string(entry, "name"), why.empty() ? "" : ": ", why);
    }
    failed = true;
  }
  return failed ? "Failed" : cancelled ? "Cancelled" : "Succeeded";
}

}  // namespace mainstay::pipelines
