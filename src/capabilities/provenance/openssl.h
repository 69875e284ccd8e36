// Ownership of the OpenSSL objects this folder uses.
#pragma once
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ts.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mainstay::provenance {

template <auto Free>
struct Freer {
  template <class T>
  void operator()(T* p) const {
    Free(p);
  }
};
using BioPtr = std::unique_ptr<BIO, Freer<BIO_free_all>>;
using CertificatePtr = std::unique_ptr<X509, Freer<X509_free>>;

inline std::string openssl_error() {
  const unsigned long code = ERR_peek_last_error();
  char text[256] = "no reason given";
  if (code != 0) ERR_error_string_n(code, text, sizeof text);
  ERR_clear_error();
  return text;
}

inline BioPtr reader(std::string_view bytes) {
  return BioPtr(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
}

inline CertificatePtr certificate_of(std::string_view pem) {
  return CertificatePtr(PEM_read_bio_X509(reader(pem).get(), nullptr, nullptr, nullptr));
}

// A certificate between its encodings; "" or an error where it is none.
std::string pem_to_der(std::string_view pem);
base::Result<std::string> der_to_pem(std::string_view der);

}  // namespace mainstay::provenance
