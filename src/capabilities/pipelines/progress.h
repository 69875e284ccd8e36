// What a job's runner reports: POST workflowruns/{name}/progress.
#pragma once
#include <memory>

#include "api/route.h"
#include "base/json.h"
#include "capabilities/pipelines/run_store.h"

namespace mainstay::pipelines {

inline constexpr std::size_t kMaxReport = 512u << 10;

// Throws StatusError 403 unless the user is a job of exactly this run, or an administrator.
void check_speaks_for_run(const api::UserInfo& user, const reconcile::Name& run);

// {job, phase, message, outputs, steps: [{index, phase, startedAt, finishedAt, exitCode, detail, message}], images:
// […]}, applied to the run. False where the run or the job has ended already: the runner is to stop. Unknown parts are
// ignored.
bool apply_report(json::value& run, const json::value& report, std::string_view now);

async::Task<net::Response> handle_progress(std::shared_ptr<RunStore> store,
                                           std::shared_ptr<api::RequestContext> context);

}  // namespace mainstay::pipelines
