// What this folder's .cc files share of OpenSSL, beside crypto/openssl.h.
#pragma once
#include <openssl/ts.h>

#include <string>
#include <string_view>

#include "base/result.h"
#include "crypto/openssl.h"

namespace mainstay::provenance {

using crypto::BioPtr;
using crypto::CertificatePtr;
using crypto::Freer;
using crypto::openssl_error;
using crypto::reader;

inline CertificatePtr certificate_of(std::string_view pem) {
  return CertificatePtr(PEM_read_bio_X509(reader(pem).get(), nullptr, nullptr, nullptr));
}

// A certificate between its encodings; "" or an error where it is none.
std::string pem_to_der(std::string_view pem);
base::Result<std::string> der_to_pem(std::string_view der);

}  // namespace mainstay::provenance
