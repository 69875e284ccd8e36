// What comes next in a run: a pure function from its status to the jobs that start, are skipped or are cancelled now.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "capabilities/pipelines/job_pod.h"
#include "capabilities/pipelines/workflow.h"

namespace mainstay::pipelines {

// Jobs of one run that run at once.
inline constexpr int kMaxJobsAtOnce = 8;

// Fills status.jobs where it is empty, settles every job that needs no pod (skipped, cancelled, faulty), splits matrix
// jobs, and gives those that start now the name of their pod. Returns the pods to stop: of cancelled jobs.
std::vector<std::string> plan_next(json::value& run, const Workflow& workflow, const json::object& github,
                                   base::SystemTime now);

// The job of an entry of status.jobs, as its pod is told it. An error is for the user: the workflow has no such job, or
// an expression of the job's own cannot be evaluated.
base::Result<JobToRun> job_to_run(const json::value& run, const Workflow& workflow, const json::object& github,
                                  std::size_t entry);

// Succeeded, Failed or Cancelled where every job has ended, else "". A message goes with a failure.
std::string verdict(const json::value& run, std::string* message);

}  // namespace mainstay::pipelines
