// Attesting what a workflow run built, provided by provenance/ to pipelines/.
#pragma once
#include <string>

#include "async/task.h"
#include "base/json.h"
#include "base/result.h"

namespace mainstay::platform {

struct BuildRecord {
  std::string team, repository, ref, commit, workflow, run_name, run_uid, actor;
  std::string image_repository, image_digest;  // "demo/hello", "sha256:…"
  std::string dockerfile;
  std::string started, finished;  // RFC 3339
};
struct AttestResult {
  std::string sbom_digest, provenance_digest;  // of the referrers
  int packages = 0;
};
// Somebody's yes to a release in an environment.
struct ApprovalRecord {
  std::string team, release, environment, workload, repository, commit;
  std::string configuration;                   // digest of what is deployed beside the image
  std::string image_repository, image_digest;  // "demo/hello", "sha256:…"
  std::string approver, comment, approved_at;
};
class Attester {
 public:
  virtual ~Attester() = default;
  // SBOM of the image, attached; "scan" in the push output.
  virtual async::Task<base::Result<AttestResult>> scan(BuildRecord build) = 0;
  // Signed SLSA provenance, attached.
  virtual async::Task<base::Result<AttestResult>> attest(BuildRecord build) = 0;
  // The approval as a signed statement, attached to the image; its digest.
  virtual async::Task<base::Result<std::string>> approve(ApprovalRecord approval) = 0;
};

}  // namespace mainstay::platform
