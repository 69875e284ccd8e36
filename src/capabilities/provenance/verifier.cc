#include "capabilities/provenance/verifier.h"

#include "capabilities/provenance/bundle.h"
#include "capabilities/provenance/timestamp.h"

namespace mainstay::provenance {

using base::ErrorCode;
using base::fail;

base::Result<Claims> verify_provenance(std::string_view text, const std::string& digest,
                                       const crypto::Authority& authority) {
  const auto refused = [](std::string why) { return fail(ErrorCode::kUnauthenticated, std::move(why)); };
  MAINSTAY_TRY(const auto bundle, read_bundle(text));
  if (bundle.payload_type != kPayloadType) return refused("the envelope does not hold an in-toto statement");
  if (bundle.timestamp.empty()) return refused("the bundle has no signed timestamp");
  MAINSTAY_TRY(const auto signed_at, verify_timestamp(bundle.timestamp, bundle.signature, authority.certificate_pem()));
  MAINSTAY_TRY(const auto signer, authority.verify(bundle.certificate_pem, signed_at));
  // The authority also issues certificates to users and endpoints: those sign nothing here.
  if (!signer.code_signing || signer.uris.size() != 1)
    return refused("the signer's certificate is not one for signing builds");
  if (!crypto::verify_signature(signer.public_pem, pre_authentication_encoding(bundle.payload_type, bundle.payload),
                                bundle.signature)) {
    return refused("the signature does not belong to the statement");
  }
  MAINSTAY_TRY(auto claims, read_statement(bundle.payload));
  if (signer.uris.front() !=
      signer_identity(claims.builder, claims.team, claims.repository, claims.workflow, claims.ref)) {
    return refused("the statement speaks of another repository than its signer's");
  }
  if (claims.build_type != kBuildType) return refused("the build was not made by a workflow of this platform");
  if (std::ranges::find(claims.subjects, digest) == claims.subjects.end())
    return refused("the statement is about another image");
  return claims;
}

}  // namespace mainstay::provenance
