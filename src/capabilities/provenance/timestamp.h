// Signed time (RFC 3161). A signing certificate lives for minutes; what proves later that it was valid when it signed
// is a timestamp over the signature by the platform's own timestamp authority. See docs/adr/provenance-signing.md.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "crypto/keys.h"

namespace mainstay::provenance {

// Immutable after open(); sign() may be called from any thread.
class TimestampAuthority {
 public:
  // Loads key and certificate from the folder (0600), or makes them, the certificate from the platform's authority.
  // A certificate that no longer verifies there is replaced. Blocking.
  static base::Result<TimestampAuthority> open(const std::filesystem::path& folder, const crypto::Authority& authority,
                                               const base::Clock& clock);
  // A TimeStampResp (DER) over the bytes, at the clock's time, the certificate included.
  base::Result<std::string> sign(std::string_view bytes, const base::Clock& clock) const;
  const std::string& certificate_pem() const { return certificate_pem_; }

 private:
  TimestampAuthority(crypto::PrivateKey key, std::string pem)
      : key_(std::move(key)), certificate_pem_(std::move(pem)) {}
  crypto::PrivateKey key_;
  std::string certificate_pem_;
};

// The time at which the response says the bytes were there; kUnauthenticated where response, imprint or signer's chain
// to `authority_pem` do not hold.
base::Result<base::SystemTime> verify_timestamp(std::string_view response_der, std::string_view bytes,
                                                const std::string& authority_pem);

}  // namespace mainstay::provenance
