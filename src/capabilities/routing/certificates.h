// The edge's certificates: one an environment (*.dev.shop.localhost) and a default one, from the platform's authority,
// kept in DIR/edge/certificates/<name>.pem (0600: certificate, authority and private key, as HAProxy reads them).
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "crypto/keys.h"

namespace mainstay::routing {

inline constexpr std::string_view kDefaultCertificate = "default";
inline constexpr std::chrono::hours kCertificateLifetime{24 * 90};
inline constexpr std::chrono::hours kRenewBefore{24 * 30};

class Certificates {
 public:
  Certificates(std::filesystem::path dir, const crypto::Authority& authority, const base::Clock& clock)
      : dir_(std::move(dir)), authority_(authority), clock_(clock) {}
  struct Made {
    std::string pem;
    bool fresh = false;  // made now, where it was missing, near its end, or by another authority
  };
  // Blocking (a signature, two fsyncs): on the pool.
  base::Result<Made> ensure(const std::string& name, const std::vector<std::string>& dns_names,
                            const std::vector<std::string>& addresses = {}) const;

 private:
  std::filesystem::path dir_;
  const crypto::Authority& authority_;
  const base::Clock& clock_;
};

}  // namespace mainstay::routing
