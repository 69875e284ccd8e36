// What is said about a build: an in-toto Statement v1 with a SLSA Provenance v1 predicate, and who says it.
#pragma once
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"
#include "platform/interfaces/provenance.h"

namespace mainstay::provenance {

inline constexpr std::string_view kStatementType = "https://in-toto.io/Statement/v1";
inline constexpr std::string_view kSlsaPredicate = "https://slsa.dev/provenance/v1";
inline constexpr std::string_view kApprovalPredicate = "https://mainstay.dev/attestations/approval/v1";
inline constexpr std::string_view kPayloadType = "application/vnd.in-toto+json";
inline constexpr std::string_view kBuildType = "https://mainstay.dev/build-types/workflow/v1";

// `issuer`: the platform's URL, which is also the builder's id. `sbom_digest`: of the SBOM made beside, or "".
base::json::object provenance_statement(const platform::BuildRecord& build, const std::string& issuer,
                                        const std::string& registry_host, const std::string& sbom_digest);

std::string repository_url(std::string_view issuer, std::string_view team, std::string_view repository);
// The signer's name, as the certificate's URI: <issuer>/git/<team>/<repo>.git//<workflow>@<ref>
std::string signer_identity(std::string_view issuer, std::string_view team, std::string_view repository,
                            std::string_view workflow, std::string_view ref);

// Somebody approved a release: an in-toto Statement about its image, with what else the approval is bound to.
base::json::object approval_statement(const platform::ApprovalRecord& approval, const std::string& issuer,
                                      const std::string& registry_host);
// Its signer: <issuer>/apis/mainstay.dev/v1/namespaces/<team>/releases/<name>//approve@<user>
std::string approval_identity(std::string_view issuer, const platform::ApprovalRecord& approval);

// What a statement claims, read strictly.
struct Claims {
  std::string builder, team, repository, ref, workflow, commit, run_uid, build_type;
  std::vector<std::string> subjects;  // digests, "sha256:…"
};
base::Result<Claims> read_statement(std::string_view payload);

}  // namespace mainstay::provenance
