// The verb `mainstay runner`: carries one job of a workflow run to its end, inside the job's pod.
#pragma once

namespace mainstay::pipelines {

// Reads the job from MAINSTAY_JOB and the API's address from MAINSTAY_SERVER, credentials from the service account's
// mount. Exit status: 0 the job succeeded, 1 it failed, 2 it was not a job's pod.
int runner_main(int argc, char** argv);

}  // namespace mainstay::pipelines
