#include "capabilities/provenance/timestamp.h"

#include "base/files.h"
#include "base/ids.h"
#include "capabilities/provenance/openssl.h"
#include "crypto/digest.h"

namespace mainstay::provenance {

using base::ErrorCode;
using base::fail;

namespace {

constexpr const char* kPolicy =
    "2.5.29.32.0";  // anyPolicy (RFC 5280 4.2.1.4): the platform publishes no policy document
constexpr auto kLifetime = std::chrono::hours(24 * 3650);
constexpr std::size_t kMaxResponse = 64 * 1024;

using RequestPtr = std::unique_ptr<TS_REQ, Freer<TS_REQ_free>>;
using ResponsePtr = std::unique_ptr<TS_RESP, Freer<TS_RESP_free>>;
using ContextPtr = std::unique_ptr<TS_RESP_CTX, Freer<TS_RESP_CTX_free>>;
using VerifyPtr = std::unique_ptr<TS_VERIFY_CTX, Freer<TS_VERIFY_CTX_free>>;
using ImprintPtr = std::unique_ptr<TS_MSG_IMPRINT, Freer<TS_MSG_IMPRINT_free>>;
using AlgorithmPtr = std::unique_ptr<X509_ALGOR, Freer<X509_ALGOR_free>>;
using ObjectPtr = std::unique_ptr<ASN1_OBJECT, Freer<ASN1_OBJECT_free>>;

ASN1_INTEGER* next_serial(TS_RESP_CTX*, void*) {
  std::array<unsigned char, 16> random;
  base::random_bytes(random);
  random[0] = static_cast<unsigned char>((random[0] & 0x7f) | 0x40);  // positive
  std::unique_ptr<BIGNUM, Freer<BN_free>> number(BN_bin2bn(random.data(), random.size(), nullptr));
  return number ? BN_to_ASN1_INTEGER(number.get(), nullptr) : nullptr;
}

int time_now(TS_RESP_CTX*, void* data, long* seconds, long* microseconds) {
  const auto now = static_cast<const base::Clock*>(data)->now();
  *seconds = std::chrono::system_clock::to_time_t(now);
  *microseconds = 0;
  return 1;
}

// The request of an ordinary client: SHA-256 of the bytes, certificate wanted.
std::string request_for(std::string_view bytes) {
  RequestPtr request(TS_REQ_new());
  ImprintPtr imprint(TS_MSG_IMPRINT_new());
  AlgorithmPtr algorithm(X509_ALGOR_new());
  if (!request || !imprint || !algorithm) return {};
  X509_ALGOR_set_md(algorithm.get(), EVP_sha256());
  std::string hash = crypto::sha256_raw(bytes);
  const bool ok =
      TS_REQ_set_version(request.get(), 1) == 1 && TS_MSG_IMPRINT_set_algo(imprint.get(), algorithm.get()) == 1 &&
      TS_MSG_IMPRINT_set_msg(imprint.get(), reinterpret_cast<unsigned char*>(hash.data()),
                             static_cast<int>(hash.size())) == 1 &&
      TS_REQ_set_msg_imprint(request.get(), imprint.get()) == 1 && TS_REQ_set_cert_req(request.get(), 1) == 1;
  unsigned char* der = nullptr;
  const int size = ok ? i2d_TS_REQ(request.get(), &der) : -1;
  if (size <= 0) return {};
  std::string out(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return out;
}

base::Result<std::string> usable_certificate(const std::filesystem::path& path, const crypto::PrivateKey& key,
                                             const crypto::Authority& authority, const base::Clock& clock) {
  if (auto pem = base::read_file(path, 64 * 1024)) {
    const auto info = authority.verify(*pem, clock.now() + std::chrono::hours(24));
    if (info && info->time_stamping && info->public_pem == key.public_pem()) return *std::move(pem);
  }
  crypto::CertificateRequest request{.common_name = "Mainstay timestamp authority", .lifetime = kLifetime};
  request.time_stamping = true;
  MAINSTAY_TRY(auto pem, authority.issue(request, key.public_pem(), clock));
  MAINSTAY_TRY_VOID(base::write_file(path, pem, 0644));
  return pem;
}

}  // namespace

std::string pem_to_der(std::string_view pem) {
  const auto certificate = certificate_of(pem);
  unsigned char* der = nullptr;
  const int size = certificate ? i2d_X509(certificate.get(), &der) : -1;
  ERR_clear_error();
  if (size <= 0) return {};
  std::string out(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return out;
}

base::Result<std::string> der_to_pem(std::string_view der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  CertificatePtr certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  BioPtr bio(BIO_new(BIO_s_mem()));
  if (!certificate || !bio || PEM_write_bio_X509(bio.get(), certificate.get()) != 1) {
    return fail(ErrorCode::kInvalid, "not a certificate: " + openssl_error());
  }
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

base::Result<TimestampAuthority> TimestampAuthority::open(const std::filesystem::path& folder,
                                                          const crypto::Authority& authority,
                                                          const base::Clock& clock) {
  MAINSTAY_TRY_VOID(base::make_directories(folder, 0700));
  const auto path = folder / "timestamp.key";
  auto pem = base::read_file(path, 64 * 1024);
  if (!pem && pem.error().code != ErrorCode::kNotFound) return std::unexpected(pem.error());
  if (!pem) {
    auto made = crypto::PrivateKey::generate();
    MAINSTAY_TRY_VOID(base::write_file(path, made.to_pem(), 0600));
    pem = made.to_pem();
  }
  auto key = crypto::PrivateKey::from_pem(*pem);
  if (!key)
    return fail(key.error().code,
                fmt::format("{}: {}; remove it to have a new one made", path.string(), key.error().message));
  MAINSTAY_TRY(auto certificate, usable_certificate(folder / "timestamp.crt", *key, authority, clock));
  return TimestampAuthority(*std::move(key), std::move(certificate));
}

base::Result<std::string> TimestampAuthority::sign(std::string_view bytes, const base::Clock& clock) const {
  const auto failed = [](const char* what) {
    return fail(ErrorCode::kInternal, fmt::format("timestamp: {}: {}", what, openssl_error()));
  };
  const auto certificate = certificate_of(certificate_pem_);
  ContextPtr context(TS_RESP_CTX_new());
  ObjectPtr policy(OBJ_txt2obj(kPolicy, 1));
  if (!certificate || !context || !policy) return failed("context");
  auto* raw = context.get();
  if (TS_RESP_CTX_set_signer_cert(raw, certificate.get()) != 1 ||
      TS_RESP_CTX_set_signer_key(raw, static_cast<EVP_PKEY*>(key_.native())) != 1 ||
      TS_RESP_CTX_set_signer_digest(raw, EVP_sha256()) != 1 ||
      TS_RESP_CTX_set_ess_cert_id_digest(raw, EVP_sha256()) != 1 ||
      TS_RESP_CTX_set_def_policy(raw, policy.get()) != 1 || TS_RESP_CTX_add_md(raw, EVP_sha256()) != 1 ||
      TS_RESP_CTX_set_accuracy(raw, 1, 0, 0) != 1) {
    return failed("settings");
  }
  TS_RESP_CTX_set_serial_cb(raw, next_serial, nullptr);
  TS_RESP_CTX_set_time_cb(raw, time_now, const_cast<base::Clock*>(&clock));
  const std::string request = request_for(bytes);
  ResponsePtr response(TS_RESP_create_response(raw, reader(request).get()));
  if (!response || TS_RESP_get_tst_info(response.get()) == nullptr) return failed("response");
  unsigned char* der = nullptr;
  const int size = i2d_TS_RESP(response.get(), &der);
  if (size <= 0) return failed("encoding");
  std::string out(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return out;
}

base::Result<base::SystemTime> verify_timestamp(std::string_view response_der, std::string_view bytes,
                                                const std::string& authority_pem) {
  const auto bad = [](std::string_view why) {
    return fail(ErrorCode::kUnauthenticated, fmt::format("the timestamp does not verify: {}", why));
  };
  if (response_der.size() > kMaxResponse) return bad("it is too large");
  const auto* at = reinterpret_cast<const unsigned char*>(response_der.data());
  ResponsePtr response(d2i_TS_RESP(nullptr, &at, static_cast<long>(response_der.size())));
  TS_TST_INFO* info = response ? TS_RESP_get_tst_info(response.get()) : nullptr;
  if (info == nullptr) return bad("it is not a granted RFC 3161 response: " + openssl_error());
  std::tm tm{};
  if (ASN1_TIME_to_tm(TS_TST_INFO_get_time(info), &tm) != 1) return bad("its time is malformed");
  const std::time_t when = timegm(&tm);

  const auto root = certificate_of(authority_pem);
  VerifyPtr context(TS_VERIFY_CTX_new());
  X509_STORE* store = X509_STORE_new();
  if (!root || !context || store == nullptr) {
    X509_STORE_free(store);
    return bad(openssl_error());
  }
  X509_STORE_add_cert(store, root.get());
  X509_VERIFY_PARAM_set_time(X509_STORE_get0_param(store), when);
  // The context owns the store and the imprint from here on.
  TS_VERIFY_CTX_set_store(context.get(), store);
  const std::string hash = crypto::sha256_raw(bytes);
  auto* imprint = static_cast<unsigned char*>(OPENSSL_memdup(hash.data(), hash.size()));
  TS_VERIFY_CTX_set_imprint(context.get(), imprint, static_cast<long>(hash.size()));
  TS_VERIFY_CTX_set_flags(context.get(), TS_VFY_VERSION | TS_VFY_SIGNATURE | TS_VFY_IMPRINT);
  const bool good = TS_RESP_verify_response(context.get(), response.get()) == 1;
  if (!good) return bad(openssl_error());
  ERR_clear_error();
  return std::chrono::system_clock::from_time_t(when);
}

}  // namespace mainstay::provenance
