// Asymmetric keys and X.509 certificates over OpenSSL. P-256 throughout. Immutable, shareable between threads.
#pragma once
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace mainstay::crypto {

class PrivateKey {
 public:
  static PrivateKey generate();
  static base::Result<PrivateKey> from_pem(std::string_view pem);
  std::string to_pem() const;  // PKCS #8, unencrypted: for 0600 files and memory only
  std::string public_pem() const;
  std::string sign(std::string_view bytes) const;  // ECDSA over SHA-256, ASN.1 DER
  std::string key_id() const;                      // RFC 7638 thumbprint, base64url
  bool has_id(std::string_view id) const;
  std::string public_jwk() const;              // {"kty":"EC","crv":"P-256",…,"kid":…,"use":"sig","alg":"ES256"}
  void* native() const { return key_.get(); }  // EVP_PKEY*

 private:
  friend struct KeyAccess;
  struct Derived;  // what follows from the key, worked out once
  std::shared_ptr<void> key_;
  std::shared_ptr<const Derived> derived_;
};

// True where `signature` (DER) is by the key over the bytes.
bool verify_signature(std::string_view public_pem, std::string_view bytes, std::string_view signature_der);

struct CertificateRequest {
  std::string common_name;
  std::vector<std::string> organizations;
  std::vector<std::string> dns_names, ip_addresses, uris;
  bool server = false, client = false, code_signing = false;
  bool time_stamping = false;  // an RFC 3161 authority's: no other usage beside it
  std::vector<std::pair<std::string, std::string>> text_extensions;  // object identifier and UTF8String, not critical
  std::chrono::seconds lifetime{std::chrono::hours(24 * 365)};
};
struct CertificateInfo {
  std::string subject_common_name;
  std::vector<std::string> organizations, dns_names, ip_addresses, uris;
  base::SystemTime not_before, not_after;
  std::string public_pem, serial_hex;
  // What it may be used for (extended key usage), and whether it may issue others.
  bool server = false, client = false, code_signing = false, time_stamping = false, authority = false;
};
base::Result<CertificateInfo> inspect_certificate(std::string_view pem);

// A certificate authority: the platform's own, kept in DIR/ca.crt and DIR/pki/ca.key (0600).
class Authority {
 public:
  static Authority create(std::string common_name, const base::Clock& clock);
  static base::Result<Authority> load(std::string certificate_pem, std::string key_pem);
  // Loads the pair, or makes and keeps a new one. A key without its certificate (a crash in between, or a lost file)
  // gets a new certificate: what the key signed stays valid. A certificate without its key is an error that says what
  // to do.
  static base::Result<Authority> open(const std::filesystem::path& certificate_path,
                                      const std::filesystem::path& key_path, const base::Clock& clock);
  const std::string& certificate_pem() const { return certificate_pem_; }
  // A leaf (PEM), back-dated by five minutes for clocks that are behind, ending no later than the authority itself.
  base::Result<std::string> issue(const CertificateRequest& request, std::string_view public_pem,
                                  const base::Clock& clock) const;
  // Checks chain and validity of a leaf; kUnauthenticated says what is wrong. The caller checks its usage.
  base::Result<CertificateInfo> verify(std::string_view leaf_pem, base::SystemTime at) const;

 private:
  std::string certificate_pem_;
  std::shared_ptr<void> certificate_;  // X509
  PrivateKey key_;
};

}  // namespace mainstay::crypto
