#include <algorithm>

#include "base/files.h"
#include "crypto/certificates.h"
#include "crypto/key_access.h"
#include "crypto/keys.h"

namespace mainstay::crypto {
namespace {

using base::ErrorCode;
using base::fail;

constexpr auto kAuthorityLifetime = std::chrono::hours(24 * 3652);  // ten years
constexpr auto kBackdate = std::chrono::minutes(5);                 // machines whose clock is behind ours

using StorePtr = std::unique_ptr<X509_STORE, Freer<X509_STORE_free>>;
using StoreContextPtr = std::unique_ptr<X509_STORE_CTX, Freer<X509_STORE_CTX_free>>;

CertificatePtr self_signed(const PrivateKey& key, std::string common_name, base::SystemTime now) {
  CertificateRequest request{.common_name = std::move(common_name)};
  EVP_PKEY* pkey = KeyAccess::pkey(key);
  auto built = build_certificate({request, pkey, nullptr, pkey, now - kBackdate, now + kAuthorityLifetime});
  if (!built) throw std::invalid_argument("the authority's name: " + built.error().message);
  return *std::move(built);
}

base::Result<bool> present(const std::filesystem::path& path) {
  std::error_code error;
  const bool there = std::filesystem::exists(path, error);
  if (error) return fail(ErrorCode::kUnavailable, fmt::format("{}: {}", path.string(), error.message()));
  return there;
}

}  // namespace

Authority Authority::create(std::string common_name, const base::Clock& clock) {
  Authority out;
  out.key_ = PrivateKey::generate();
  CertificatePtr certificate = self_signed(out.key_, std::move(common_name), clock.now());
  out.certificate_pem_ = write_certificate(certificate.get());
  out.certificate_ = std::shared_ptr<X509>(std::move(certificate));
  return out;
}

base::Result<Authority> Authority::load(std::string certificate_pem, std::string key_pem) {
  MAINSTAY_TRY(CertificatePtr certificate, read_certificate(certificate_pem));
  auto key = PrivateKey::from_pem(key_pem);
  OPENSSL_cleanse(key_pem.data(), key_pem.size());
  if (!key) return std::unexpected(std::move(key).error());
  if (X509_check_private_key(certificate.get(), KeyAccess::pkey(*key)) != 1) {
    ERR_clear_error();
    return fail(ErrorCode::kInvalid, "the authority's certificate and key do not belong together");
  }
  if (X509_check_ca(certificate.get()) == 0)
    return fail(ErrorCode::kInvalid, "the certificate is not an authority's (basic constraints lack CA:TRUE)");
  Authority out;
  out.certificate_pem_ = std::move(certificate_pem);
  out.certificate_ = std::shared_ptr<X509>(std::move(certificate));
  out.key_ = *std::move(key);
  return out;
}

base::Result<Authority> Authority::open(const std::filesystem::path& certificate_path,
                                        const std::filesystem::path& key_path, const base::Clock& clock) {
  MAINSTAY_TRY(const bool has_certificate, present(certificate_path));
  MAINSTAY_TRY(const bool has_key, present(key_path));
  if (has_certificate && !has_key)
    return fail(ErrorCode::kInvalid,
                fmt::format("{} is there, but its key {} is not: put the key back from a backup, or remove the "
                            "certificate to start a new authority (every certificate issued so far becomes invalid)",
                            certificate_path.string(), key_path.string()));
  if (has_certificate) {
    MAINSTAY_TRY(std::string certificate, base::read_file(certificate_path, 64u << 10));
    MAINSTAY_TRY(std::string key, base::read_file(key_path, 64u << 10));
    auto loaded = load(std::move(certificate), std::move(key));
    if (loaded) return loaded;
    return fail(loaded.error().code,
                fmt::format("{} and {}: {}", certificate_path.string(), key_path.string(), loaded.error().message));
  }
  // The key goes first, so that a crash in between leaves what this function completes at the next start.
  Authority out;
  if (has_key) {
    MAINSTAY_TRY(std::string pem, base::read_file(key_path, 64u << 10));
    auto key = PrivateKey::from_pem(pem);
    OPENSSL_cleanse(pem.data(), pem.size());
    if (!key) return fail(key.error().code, fmt::format("{}: {}", key_path.string(), key.error().message));
    out.key_ = *std::move(key);
  } else {
    out.key_ = PrivateKey::generate();
    MAINSTAY_TRY_VOID(base::write_file(key_path, out.key_.to_pem(), 0600));
  }
  CertificatePtr certificate = self_signed(out.key_, "Mainstay CA", clock.now());
  out.certificate_pem_ = write_certificate(certificate.get());
  out.certificate_ = std::shared_ptr<X509>(std::move(certificate));
  MAINSTAY_TRY_VOID(base::write_file(certificate_path, out.certificate_pem_, 0644));
  return out;
}

base::Result<std::string> Authority::issue(const CertificateRequest& request, std::string_view public_pem,
                                           const base::Clock& clock) const {
  if (request.lifetime <= std::chrono::seconds(0)) return fail(ErrorCode::kInvalid, "lifetime: must be positive");
  MAINSTAY_TRY(KeyPtr key, read_public_pem(public_pem));
  auto* issuer = static_cast<X509*>(certificate_.get());
  const auto now = clock.now();
  const auto own_begin = time_of(X509_get0_notBefore(issuer)), own_end = time_of(X509_get0_notAfter(issuer));
  if (now >= own_end)
    return fail(ErrorCode::kInvalid, "the authority's own certificate has expired; replace it to issue others");
  // A leaf that outlives its issuer would look valid and not be.
  const auto end = own_end - now < request.lifetime ? own_end : now + request.lifetime;
  const auto begin = std::max<base::SystemTime>(own_begin, now - kBackdate);
  MAINSTAY_TRY(CertificatePtr leaf, build_certificate({request, key.get(), issuer, KeyAccess::pkey(key_), begin, end}));
  return write_certificate(leaf.get());
}

base::Result<CertificateInfo> Authority::verify(std::string_view leaf_pem, base::SystemTime at) const {
  auto leaf = read_certificate(leaf_pem);
  if (!leaf) return fail(ErrorCode::kUnauthenticated, leaf.error().message);
  if (X509_check_ca(leaf->get()) != 0)
    return fail(ErrorCode::kUnauthenticated, "the certificate is an authority's, not a leaf");
  StorePtr store(X509_STORE_new());
  StoreContextPtr context(X509_STORE_CTX_new());
  must(store && context && X509_STORE_add_cert(store.get(), static_cast<X509*>(certificate_.get())) == 1 &&
           X509_STORE_CTX_init(context.get(), store.get(), leaf->get(), nullptr) == 1,
       "X509_STORE_CTX_init");
  X509_VERIFY_PARAM* parameters = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_X509_STRICT);
  X509_VERIFY_PARAM_set_time(parameters, std::chrono::system_clock::to_time_t(at));
  const bool good = X509_verify_cert(context.get()) == 1;
  ERR_clear_error();
  if (!good)
    return fail(ErrorCode::kUnauthenticated,
                fmt::format("the certificate is not valid: {}",
                            X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get()))));
  return describe(leaf->get());
}

}  // namespace mainstay::crypto
