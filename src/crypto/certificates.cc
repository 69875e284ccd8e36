#include "crypto/certificates.h"

#include <arpa/inet.h>

#include "base/encoding.h"
#include "base/ids.h"
#include "crypto/key_access.h"

namespace mainstay::crypto {
namespace {

using base::ErrorCode;
using base::fail;
using base::SystemTime;

constexpr std::size_t kMaxPem = 64u << 10;
constexpr std::size_t kSerialBytes = 16;  // 127 random bits; RFC 5280 4.1.2.2 allows 20 octets

std::string text_of(const ASN1_STRING* value) {
  unsigned char* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, value);
  if (size < 0) return {};
  std::string out(reinterpret_cast<const char*>(utf8), static_cast<std::size_t>(size));
  OPENSSL_free(utf8);
  return out;
}

std::vector<std::string> name_entries(X509_NAME* name, int nid) {
  std::vector<std::string> out;
  for (int at = -1; (at = X509_NAME_get_index_by_NID(name, nid, at)) >= 0;)
    out.push_back(text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at))));
  return out;
}

void describe_names(X509* certificate, CertificateInfo& info) {
  NamesPtr names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  if (!names) return;
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    int type = 0;
    const auto* value =
        static_cast<const ASN1_STRING*>(GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names.get(), i), &type));
    // Bytes as they are: text conversion would let an embedded NUL cut a name short.
    auto raw = [&] {
      return std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)),
                         static_cast<std::size_t>(ASN1_STRING_length(value)));
    };
    if (type == GEN_DNS) info.dns_names.push_back(raw());
    if (type == GEN_URI) info.uris.push_back(raw());
    if (type != GEN_IPADD) continue;
    const std::string address = raw();
    char text[INET6_ADDRSTRLEN];
    const int family = address.size() == 4 ? AF_INET : AF_INET6;
    if ((address.size() == 4 || address.size() == 16) && inet_ntop(family, address.data(), text, sizeof text))
      info.ip_addresses.emplace_back(text);
  }
}

void describe_usage(X509* certificate, CertificateInfo& info) {
  // Absent, the extension restricts nothing; here only what is written counts.
  const bool written = X509_get_ext_by_NID(certificate, NID_ext_key_usage, -1) >= 0;
  const std::uint32_t usage = written ? X509_get_extended_key_usage(certificate) : 0;
  info.server = usage & XKU_SSL_SERVER;
  info.client = usage & XKU_SSL_CLIENT;
  info.code_signing = usage & XKU_CODE_SIGN;
  info.time_stamping = usage & XKU_TIMESTAMP;
  info.authority = X509_check_ca(certificate) != 0;
}

base::Result<> add_name(X509_NAME* name, int nid, const std::string& value, std::string_view what) {
  if (value.empty() || X509_NAME_add_entry_by_NID(name, nid, MBSTRING_UTF8, bytes_of(value),
                                                  static_cast<int>(value.size()), -1, 0) != 1) {
    ERR_clear_error();
    return fail(ErrorCode::kInvalid, fmt::format("{}: must be 1 to 64 characters of UTF-8", what));
  }
  return {};
}

base::Result<> add_alternative(GENERAL_NAMES* names, int type, const std::string& value) {
  std::string bytes = value;
  if (type == GEN_IPADD) {
    char address[16];
    if (inet_pton(AF_INET, value.c_str(), address) == 1) {
      bytes.assign(address, 4);
    } else if (inet_pton(AF_INET6, value.c_str(), address) == 1) {
      bytes.assign(address, 16);
    } else {
      return fail(ErrorCode::kInvalid, fmt::format("ip_addresses: {:?} is not an IP address", value));
    }
  } else if (value.empty() || value.size() > 2048 ||
             std::any_of(value.begin(), value.end(), [](unsigned char c) { return c <= ' ' || c >= 0x7f; })) {
    // IA5String (RFC 5280 4.2.1.6).
    return fail(ErrorCode::kInvalid, fmt::format("{}: {:?} must be printable ASCII without spaces",
                                                 type == GEN_DNS ? "dns_names" : "uris", value));
  }
  ASN1_STRING* string = type == GEN_IPADD ? ASN1_OCTET_STRING_new() : ASN1_IA5STRING_new();
  GENERAL_NAME* name = GENERAL_NAME_new();
  must(string && name && ASN1_STRING_set(string, bytes.data(), static_cast<int>(bytes.size())) == 1, "GENERAL_NAME");
  GENERAL_NAME_set0_value(name, type, string);
  must(sk_GENERAL_NAME_push(names, name) > 0, "sk_GENERAL_NAME_push");
  return {};
}

void add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  ExtensionPtr extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  must(extension && X509_add_ext(certificate, extension.get(), -1) == 1, "X509_add_ext");
}

base::Result<> add_text_extension(X509* certificate, const std::string& identifier, const std::string& text) {
  std::unique_ptr<ASN1_OBJECT, Freer<ASN1_OBJECT_free>> object(OBJ_txt2obj(identifier.c_str(), 1));
  if (!object) {
    ERR_clear_error();
    return fail(ErrorCode::kInvalid, fmt::format("text_extensions: {:?} is not an object identifier", identifier));
  }
  std::unique_ptr<ASN1_UTF8STRING, Freer<ASN1_UTF8STRING_free>> value(ASN1_UTF8STRING_new());
  must(value && ASN1_STRING_set(value.get(), text.data(), static_cast<int>(text.size())) == 1, "ASN1_STRING_set");
  unsigned char* der = nullptr;
  const int size = i2d_ASN1_UTF8STRING(value.get(), &der);
  must(size > 0, "i2d_ASN1_UTF8STRING");
  std::unique_ptr<ASN1_OCTET_STRING, Freer<ASN1_OCTET_STRING_free>> octets(ASN1_OCTET_STRING_new());
  must(octets != nullptr, "ASN1_OCTET_STRING_new");
  ASN1_STRING_set0(octets.get(), der, size);
  ExtensionPtr extension(X509_EXTENSION_create_by_OBJ(nullptr, object.get(), 0, octets.get()));
  must(extension && X509_add_ext(certificate, extension.get(), -1) == 1, "X509_add_ext");
  return {};
}

base::Result<> add_subject(X509* certificate, const CertificateRequest& request) {
  X509_NAME* name = X509_get_subject_name(certificate);
  for (const auto& organization : request.organizations)
    MAINSTAY_TRY_VOID(add_name(name, NID_organizationName, organization, "organizations"));
  if (!request.common_name.empty())
    MAINSTAY_TRY_VOID(add_name(name, NID_commonName, request.common_name, "common_name"));
  return {};
}

base::Result<> add_alternatives(X509* certificate, const CertificateRequest& request) {
  NamesPtr names(sk_GENERAL_NAME_new_null());
  for (const auto& value : request.dns_names) MAINSTAY_TRY_VOID(add_alternative(names.get(), GEN_DNS, value));
  for (const auto& value : request.ip_addresses) MAINSTAY_TRY_VOID(add_alternative(names.get(), GEN_IPADD, value));
  for (const auto& value : request.uris) MAINSTAY_TRY_VOID(add_alternative(names.get(), GEN_URI, value));
  const bool nameless = X509_NAME_entry_count(X509_get_subject_name(certificate)) == 0;
  if (sk_GENERAL_NAME_num(names.get()) == 0) {
    if (nameless) return fail(ErrorCode::kInvalid, "a certificate needs a common_name or an alternative name");
    return {};
  }
  // Critical where it is the only name (RFC 5280 4.2.1.6).
  must(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), nameless ? 1 : 0, X509V3_ADD_DEFAULT) == 1,
       "X509_add1_ext_i2d");
  return {};
}

std::string usages(const CertificateRequest& request) {
  if (request.time_stamping) return "critical,timeStamping";  // RFC 3161 2.3: critical, and alone
  std::string out;
  for (auto [wanted, name] : {std::pair(request.server, "serverAuth"), std::pair(request.client, "clientAuth"),
                              std::pair(request.code_signing, "codeSigning")})
    if (wanted) out += (out.empty() ? "" : ",") + std::string(name);
  return out;
}

void set_serial(X509* certificate) {
  std::array<unsigned char, kSerialBytes> random;
  base::random_bytes(random);
  random[0] = static_cast<unsigned char>((random[0] & 0x7f) | 0x40);  // positive, and of one length
  BignumPtr number(BN_bin2bn(random.data(), random.size(), nullptr));
  must(number && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)), "BN_to_ASN1_INTEGER");
}

}  // namespace

SystemTime time_of(const ASN1_TIME* time) {
  std::tm tm{};
  if (ASN1_TIME_to_tm(time, &tm) != 1) return {};
  return std::chrono::system_clock::from_time_t(timegm(&tm));
}

base::Result<CertificatePtr> read_certificate(std::string_view pem) {
  if (pem.size() > kMaxPem) return fail(ErrorCode::kTooLarge, "a certificate of more than 64 KiB");
  BioPtr bio = reader(pem);
  CertificatePtr out(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (!out) return fail(ErrorCode::kInvalid, "not a certificate in PEM (" + openssl_error() + ")");
  return out;
}

std::string write_certificate(X509* certificate) {
  BioPtr bio = writer();
  must(PEM_write_bio_X509(bio.get(), certificate) == 1, "PEM_write_bio_X509");
  return contents(bio.get());
}

CertificateInfo describe(X509* certificate) {
  CertificateInfo info;
  X509_NAME* subject = X509_get_subject_name(certificate);
  // The last one counts where a subject has several: it is the most specific (RFC 5280's order is root first).
  if (auto names = name_entries(subject, NID_commonName); !names.empty()) info.subject_common_name = names.back();
  info.organizations = name_entries(subject, NID_organizationName);
  describe_names(certificate, info);
  describe_usage(certificate, info);
  info.not_before = time_of(X509_get0_notBefore(certificate));
  info.not_after = time_of(X509_get0_notAfter(certificate));
  if (EVP_PKEY* key = X509_get0_pubkey(certificate)) info.public_pem = write_public_pem(key);
  BignumPtr serial(ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  if (serial) {
    std::string bytes(static_cast<std::size_t>(BN_num_bytes(serial.get())), '\0');
    BN_bn2bin(serial.get(), bytes_of(bytes));
    info.serial_hex = base::hex(bytes);
  }
  ERR_clear_error();
  return info;
}

base::Result<CertificateInfo> inspect_certificate(std::string_view pem) {
  MAINSTAY_TRY(CertificatePtr certificate, read_certificate(pem));
  return describe(certificate.get());
}

base::Result<CertificatePtr> build_certificate(const Blueprint& plan) {
  CertificatePtr out(X509_new());
  X509* certificate = out.get();
  X509* issuer = plan.issuer ? plan.issuer : certificate;
  must(certificate && X509_set_version(certificate, X509_VERSION_3) == 1, "X509_set_version");
  set_serial(certificate);
  must(ASN1_TIME_set(X509_getm_notBefore(certificate), std::chrono::system_clock::to_time_t(plan.not_before)) &&
           ASN1_TIME_set(X509_getm_notAfter(certificate), std::chrono::system_clock::to_time_t(plan.not_after)),
       "ASN1_TIME_set");
  MAINSTAY_TRY_VOID(add_subject(certificate, plan.request));
  must(X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) == 1 &&
           X509_set_pubkey(certificate, plan.subject_key) == 1,
       "X509_set_pubkey");
  if (!plan.issuer) {
    // It signs leaves only: no authority below it can be made with a stolen leaf.
    add_extension(certificate, issuer, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
    add_extension(certificate, issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
  } else {
    add_extension(certificate, issuer, NID_basic_constraints, "critical,CA:FALSE");
    add_extension(certificate, issuer, NID_key_usage, "critical,digitalSignature");
    if (std::string list = usages(plan.request); !list.empty())
      add_extension(certificate, issuer, NID_ext_key_usage, list);
  }
  add_extension(certificate, issuer, NID_subject_key_identifier, "hash");
  add_extension(certificate, issuer, NID_authority_key_identifier, "keyid:always");
  if (plan.issuer) MAINSTAY_TRY_VOID(add_alternatives(certificate, plan.request));
  for (const auto& [identifier, text] : plan.request.text_extensions)
    MAINSTAY_TRY_VOID(add_text_extension(certificate, identifier, text));
  must(X509_sign(certificate, plan.issuer_key, EVP_sha256()) > 0, "X509_sign");
  return out;
}

}  // namespace mainstay::crypto
