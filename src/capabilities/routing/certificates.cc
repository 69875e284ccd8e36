#include "capabilities/routing/certificates.h"

#include "base/files.h"

namespace mainstay::routing {

base::Result<Certificates::Made> Certificates::ensure(const std::string& name,
                                                      const std::vector<std::string>& dns_names,
                                                      const std::vector<std::string>& addresses) const {
  const std::filesystem::path path = dir_ / (name + ".pem");
  if (auto kept = base::read_file(path, 64u << 10)) {
    // Also checks that it is by the authority of now, which a restored data directory may have replaced.
    auto info = authority_.verify(*kept, clock_.now() + kRenewBefore);
    if (info && info->dns_names == dns_names && info->ip_addresses == addresses) return Made{std::move(*kept), false};
  }
  MAINSTAY_TRY_VOID(base::make_directories(dir_, 0700));
  const crypto::PrivateKey key = crypto::PrivateKey::generate();
  crypto::CertificateRequest request;
  request.common_name = dns_names.empty() ? name : dns_names.front();
  if (request.common_name.size() > 64) request.common_name = name.substr(0, 64);  // X.520's bound; names are in the SAN
  request.dns_names = dns_names;
  request.ip_addresses = addresses;
  request.server = true;
  request.lifetime = kCertificateLifetime;
  MAINSTAY_TRY(std::string leaf, authority_.issue(request, key.public_pem(), clock_));
  Made made{leaf + authority_.certificate_pem() + key.to_pem(), true};
  MAINSTAY_TRY_VOID(base::write_file(path, made.pem, 0600));
  return made;
}

}  // namespace mainstay::routing
