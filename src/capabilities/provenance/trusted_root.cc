#include "capabilities/provenance/trusted_root.h"

#include "base/clock.h"
#include "base/encoding.h"
#include "capabilities/provenance/openssl.h"
#include "crypto/keys.h"

namespace mainstay::provenance {

namespace json = base::json;

namespace {

json::object authority_entry(const std::string& issuer, const std::string& common_name,
                             const std::vector<std::string>& chain) {
  json::array certificates;
  for (const auto& pem : chain) certificates.push_back(json::object{{"rawBytes", base::base64(pem_to_der(pem))}});
  json::object out{{"subject", json::object{{"organization", "mainstay"}, {"commonName", common_name}}},
                   {"uri", issuer}};
  out["certChain"] = json::object{{"certificates", std::move(certificates)}};
  if (const auto info = crypto::inspect_certificate(chain.front())) {
    out["validFor"] = json::object{{"start", base::rfc3339(info->not_before)}, {"end", base::rfc3339(info->not_after)}};
  }
  return out;
}

}  // namespace

json::object trusted_root(const std::string& issuer, const std::string& authority_pem,
                          const std::string& timestamp_pem) {
  json::object out{{"mediaType", "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}};
  out["tlogs"] = json::array{};
  out["ctlogs"] = json::array{};
  out["certificateAuthorities"] = json::array{authority_entry(issuer, "Mainstay CA", {authority_pem})};
  out["timestampAuthorities"] =
      json::array{authority_entry(issuer, "Mainstay timestamp authority", {timestamp_pem, authority_pem})};
  return out;
}

}  // namespace mainstay::provenance
