// Score workloads (score.dev/v1b1) to Kubernetes objects, and what a repository without score.yaml gets.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace mainstay::pipelines {
namespace json = boost::json;

// One output of a resource: a text, or a reference to a key of a Secret or ConfigMap that only the pod follows.
struct ResourceValue {
  std::string text;
  std::string reference;  // "" for a text; "secretKeyRef" or "configMapKeyRef"
  std::string object, key;
};
// By the resource's name in the file, then by output.
using ResourceValues = std::map<std::string, std::map<std::string, ResourceValue>>;

// What score.yaml asks for and the workload does not have by itself.
struct ResourceRequest {
  std::string name, type, cls;
  json::object params;
};

// On pods of promotions and rollbacks: when it was asked for.
inline constexpr std::string_view kRequestedAt = "mainstay.dev/requested-at";

struct DeployTarget {
  std::string team, environment;  // namespace <team>-<environment>
  std::string repository;         // "web"
  std::string commit, run;
  std::string image;              // by digest, for containers with image "."
  std::int64_t exposed_port = 0;  // of the image's configuration; 0: none
  std::string host;  // "<workload>.<environment>.<team>.<domain>", with the workload still to be put in front:
                     // ".dev.shop.localhost"
  // Null: nothing is known yet, and placeholders of resources stand for an empty text (to see what is asked for).
  std::shared_ptr<const ResourceValues> resources;
  std::string requested_at;  // of a promotion or rollback: each asking gives new pods; "" for a run's own deploy
};

struct RenderedWorkload {
  std::string name, ns;
  json::value deployment, service;  // service: null where the workload has no port
  std::int64_t port = 0;            // what readiness asks for; for hints
  std::vector<ResourceRequest> resources;
};

// The error names file, line, column and field, and says what is not in this version.
base::Result<RenderedWorkload> render_score(std::string_view file, std::string_view text, const DeployTarget& target);
RenderedWorkload render_default(const DeployTarget& target);

}  // namespace mainstay::pipelines
