// What a client needs to check our attestations by itself: Sigstore's trusted root.
#pragma once
#include <string>

#include "base/json.h"

namespace mainstay::provenance {

// https://github.com/sigstore/protobuf-specs, TrustedRoot v0.1: the certificate authority and the timestamp authority.
base::json::object trusted_root(const std::string& issuer, const std::string& authority_pem,
                                const std::string& timestamp_pem);

}  // namespace mainstay::provenance
