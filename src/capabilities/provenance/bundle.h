// DSSE envelopes and Sigstore bundles v0.3, as text and back. No trust is decided here: see verifier.h.
#pragma once
#include <string>
#include <string_view>

#include "base/result.h"

namespace mainstay::provenance {

inline constexpr std::string_view kBundleType = "application/vnd.dev.sigstore.bundle.v0.3+json";

struct Bundle {
  std::string certificate_pem;
  std::string payload_type, payload;
  std::string signature;  // ASN.1 DER
  std::string timestamp;  // RFC 3161 TimeStampResp, DER; "" where there is none
};

// DSSE's pre-authentication encoding: what is signed.
std::string pre_authentication_encoding(std::string_view payload_type, std::string_view payload);
std::string write_bundle(const Bundle& bundle);
// Bounded; kInvalid says which part is malformed. One signature and one certificate, as v0.3 has it.
base::Result<Bundle> read_bundle(std::string_view text);

}  // namespace mainstay::provenance
