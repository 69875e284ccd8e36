// Whether a bundle is provenance made by this platform, for these bytes, from whose repository.
#pragma once
#include <string>
#include <string_view>

#include "base/result.h"
#include "capabilities/provenance/statement.h"
#include "crypto/keys.h"

namespace mainstay::provenance {

// Checks the timestamp, the certificate's chain and use at that time, the signature, that the signer is the repository
// the statement names, and that `digest` is a subject. kUnauthenticated or kInvalid says what does not hold.
base::Result<Claims> verify_provenance(std::string_view bundle, const std::string& digest,
                                       const crypto::Authority& authority);

}  // namespace mainstay::provenance
