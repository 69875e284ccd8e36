#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>

#include "base/encoding.h"
#include "capabilities/routing/gateway/compile.h"

namespace mainstay::routing {
namespace {

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* p) const {
    Free(p);
  }
};
using Bio = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using Certificate = std::unique_ptr<X509, Deleter<X509_free>>;
using Key = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using Context = std::unique_ptr<SSL_CTX, Deleter<SSL_CTX_free>>;

constexpr std::size_t kMostBytes = 64u << 10;
constexpr std::size_t kLongestChain = 8;

Bio reading(const std::string& text) { return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

// No passphrase is ever asked for.
int no_passphrase(char*, int, int, void*) { return 0; }

// Whether a TLS server of this machine serves with it: keys that are too short and digests that are too weak are
// refused. HAProxy would not start with such a certificate, nor serve anybody's other hosts.
bool can_serve(const std::vector<Certificate>& chain, const Key& key) {
  const Context context(SSL_CTX_new(TLS_server_method()));
  bool good = context && SSL_CTX_use_certificate(context.get(), chain.front().get()) == 1 &&
              SSL_CTX_use_PrivateKey(context.get(), key.get()) == 1;
  for (std::size_t i = 1; good && i < chain.size(); ++i)
    good = SSL_CTX_add1_chain_cert(context.get(), chain[i].get()) == 1;
  ERR_clear_error();
  return good;
}

base::Result<std::string> decoded(const json::value& secret, const char* field) {
  const auto* found = base::find(secret, {"data", field});
  auto text = base::base64_decode(found != nullptr && found->is_string() ? std::string_view(found->as_string()) : "");
  if (!text || text->empty() || text->size() > kMostBytes)
    return base::fail(base::ErrorCode::kInvalid, std::string("the Secret's ") + field + " is missing or no PEM text");
  return text;
}

}  // namespace

base::Result<std::string> tls_pem(const json::value& secret, base::SystemTime now) {
  const auto wrong = [](const char* what) { return base::fail(base::ErrorCode::kInvalid, what); };
  MAINSTAY_TRY(const std::string certificates, decoded(secret, "tls.crt"));
  MAINSTAY_TRY(const std::string key_text, decoded(secret, "tls.key"));
  Bio in = reading(certificates);
  std::vector<Certificate> chain;
  while (chain.size() < kLongestChain) {
    Certificate next(PEM_read_bio_X509(in.get(), nullptr, no_passphrase, nullptr));
    if (!next) break;
    chain.push_back(std::move(next));
  }
  if (chain.empty()) return wrong("the Secret's tls.crt holds no certificate");
  in = reading(key_text);
  const Key key(PEM_read_bio_PrivateKey(in.get(), nullptr, no_passphrase, nullptr));
  if (!key) return wrong("the Secret's tls.key holds no private key without a passphrase");
  if (X509_check_private_key(chain.front().get(), key.get()) != 1)
    return wrong("the Secret's tls.key is not the key of its tls.crt");
  std::time_t at = std::chrono::system_clock::to_time_t(now);
  if (X509_cmp_time(X509_get0_notAfter(chain.front().get()), &at) <= 0)
    return wrong("the Secret's certificate has expired");
  if (!can_serve(chain, key))
    return wrong("the Secret's key is too short or its certificates' signatures are too weak: RSA needs 2048 bits");
  const Bio out(BIO_new(BIO_s_mem()));
  for (const Certificate& certificate : chain) PEM_write_bio_X509(out.get(), certificate.get());
  PEM_write_bio_PrivateKey(out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

}  // namespace mainstay::routing
