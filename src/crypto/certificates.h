// Internal to crypto/: reading and building X.509 (RFC 5280).
#pragma once
#include <string>
#include <string_view>

#include "base/result.h"
#include "crypto/keys.h"
#include "crypto/openssl.h"

namespace mainstay::crypto {

base::Result<CertificatePtr> read_certificate(std::string_view pem);
CertificateInfo describe(X509* certificate);
base::SystemTime time_of(const ASN1_TIME* time);
std::string write_certificate(X509* certificate);

// A certificate over `subject_key`, signed by `issuer_key`. `issuer` null: by itself, an authority.
struct Blueprint {
  const CertificateRequest& request;
  EVP_PKEY* subject_key;
  X509* issuer;
  EVP_PKEY* issuer_key;
  base::SystemTime not_before, not_after;
};
base::Result<CertificatePtr> build_certificate(const Blueprint& plan);

}  // namespace mainstay::crypto
