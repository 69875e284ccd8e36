// The program's entrance: dispatches its verb. The verbs that run inside a push or a job come first, before anything
// heavy is set up: they are started for every step and must take milliseconds.
#include <cstdio>
#include <cstring>
#include <string_view>

#include "capabilities/pipelines/runner.h"
#include "capabilities/routing/mesh/proxy.h"
#include "capabilities/source/hook.h"
#include "cli/cli.h"
#include "daemon/up.h"

int main(int argc, char** argv) {
  const std::string_view verb = argc > 1 ? argv[1] : "";
  if (verb == "hook") return mainstay::source::hook_main(argc - 1, argv + 1);
  if (verb == "runner") return mainstay::pipelines::runner_main(argc - 1, argv + 1);
  if (verb == "mesh-proxy") return mainstay::mesh::proxy_main(argc - 1, argv + 1);
  if (verb == "up") return mainstay::daemon::up_main(argc - 1, argv + 1);
  return mainstay::cli::cli_main(argc, argv);
}
