// Score workloads (score.dev/v1b1) to Kubernetes objects, and what a repository without score.yaml gets.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace mainstay::pipelines {
namespace json = boost::json;

struct DeployTarget {
  std::string team, environment;  // namespace <team>-<environment>
  std::string repository;         // "web"
  std::string commit, run;
  std::string image;              // by digest, for containers with image "."
  std::int64_t exposed_port = 0;  // of the image's configuration; 0: none
  std::string host;  // "<workload>.<environment>.<team>.<domain>", with the workload still to be put in front:
                     // ".dev.shop.localhost"
};

struct RenderedWorkload {
  std::string name, ns;
  json::value deployment, service;  // service: null where the workload has no port
  std::int64_t port = 0;            // what readiness asks for; for hints
};

// The error names file, line, column and field, and says what is not in this version.
base::Result<RenderedWorkload> render_score(std::string_view file, std::string_view text, const DeployTarget& target);
RenderedWorkload render_default(const DeployTarget& target);

}  // namespace mainstay::pipelines
