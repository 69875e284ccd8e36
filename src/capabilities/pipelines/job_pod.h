// The pod that runs one job, and the job as its runner is told it.
#pragma once
#include <optional>
#include <string>

#include "base/config.h"
#include "base/json.h"
#include "base/result.h"
#include "capabilities/pipelines/workflow.h"

namespace mainstay::pipelines {

inline constexpr std::string_view kRunLabel = "mainstay.dev/workflow-run";
inline constexpr std::string_view kJobLabel = "mainstay.dev/job";
inline constexpr std::string_view kWorkspace = "/workspace";
// One environment variable holds the job; the kernel takes 128 KiB for one.
inline constexpr std::size_t kMaxJobText = 120u << 10;
inline constexpr std::int64_t kDefaultJobMinutes = 60, kMaxJobMinutes = 360;

// The `github` context of a run. `repository` and `commit message` as far as they are known.
json::object github_context(const json::value& run, const base::Config& config, std::string_view default_branch,
                            std::string_view workflow_name);

struct JobToRun {
  const Workflow* workflow = nullptr;
  const Job* job = nullptr;
  std::string key;          // of the entry in status.jobs
  std::int64_t number = 0;  // its place there
  json::object matrix, needs;
  std::int64_t matrix_size = 1;
  json::value timeout_minutes;  // evaluated
  std::string environment;      // evaluated; "" where the job names none
};

// What MAINSTAY_JOB holds. Steps keep their expressions: the runner evaluates them.
json::value job_text(const json::value& run, const JobToRun& job, const json::object& github,
                     const base::Config& config);
// kTooLarge where the job does not fit.
base::Result<json::value> job_pod(const json::value& run, const JobToRun& job, const json::object& github,
                                  const base::Config& config);
std::string job_pod_name(const json::value& run, std::int64_t number);
// From an evaluated `timeout-minutes`.
std::int64_t job_minutes(const json::value& timeout);

// How a pod stands, as far as its job is concerned.
struct PodOutcome {
  bool over = false;   // it will not report any more
  std::string reason;  // why, for people
};
PodOutcome pod_outcome(const json::value& pod);

}  // namespace mainstay::pipelines
