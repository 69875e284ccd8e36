#include "crypto/jwt.h"

#include <cjose/cjose.h>

#include <cstdlib>

#include "base/json.h"
#include "crypto/jws.h"
#include "crypto/key_access.h"

namespace mainstay::crypto {
namespace {

using base::ErrorCode;
using base::fail;
namespace json = boost::json;

constexpr std::size_t kMaxToken = 16u << 10;  // our own are below 2 KiB
constexpr std::size_t kEs256Signature = 86;   // 64 bytes in base64url
constexpr std::size_t kMaxPayloadDepth = 16;

using HeaderPtr = std::unique_ptr<cjose_header_t, Freer<cjose_header_release>>;
using JwsPtr = std::unique_ptr<cjose_jws_t, Freer<cjose_jws_release>>;

std::unexpected<base::Error> refuse(std::string why) { return fail(ErrorCode::kUnauthenticated, std::move(why)); }

// Three base64url parts, the last of ES256's length. cjose tolerates more than RFC 7515 allows (padding, other
// alphabets, signatures of any even length), so the form is settled before it sees the token.
bool well_formed(std::string_view token) {
  if (token.size() > kMaxToken) return false;
  std::size_t dots = 0, part = 0;
  for (char c : token) {
    if (c == '.') {
      if (part == 0 || ++dots > 2) return false;
      part = 0;
      continue;
    }
    const bool alphabet =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    if (!alphabet) return false;
    ++part;
  }
  return dots == 2 && part == kEs256Signature;
}

std::string_view header_text(cjose_header_t* header, const char* name) {
  const char* value = cjose_header_get(header, name, nullptr);
  return value ? value : "";
}

bool header_has(cjose_header_t* header, const char* name) {
  char* raw = cjose_header_get_raw(header, name, nullptr);
  const bool has = raw != nullptr;
  std::free(raw);
  return has;
}

double seconds_of(base::SystemTime time) { return std::chrono::duration<double>(time.time_since_epoch()).count(); }

// NumericDate (RFC 7519, 2): a number, possibly with a fraction.
base::Result<std::optional<double>> date(const json::object& claims, std::string_view name) {
  const json::value* value = claims.if_contains(name);
  if (!value) return std::nullopt;
  if (!value->is_number()) return refuse(fmt::format("the token's {} is not a number", name));
  return value->to_number<double>();
}

base::Result<> check_times(const json::object& claims, std::chrono::seconds leeway, base::SystemTime now) {
  const double at = seconds_of(now), slack = static_cast<double>(leeway.count());
  MAINSTAY_TRY(auto expires, date(claims, "exp"));
  if (!expires) return refuse("the token has no expiry (exp)");
  if (at >= *expires + slack) return refuse("the token has expired; get a new one");
  MAINSTAY_TRY(auto begins, date(claims, "nbf"));
  if (begins && at < *begins - slack) return refuse("the token is not valid yet; check the clocks");
  return {};
}

bool is_for(const json::object& claims, const std::vector<std::string>& audiences) {
  const json::value* aud = claims.if_contains("aud");
  if (!aud) return false;
  auto wanted = [&](const json::value& one) {
    return one.is_string() &&
           std::find(audiences.begin(), audiences.end(), std::string_view(one.get_string())) != audiences.end();
  };
  if (const auto* list = aud->if_array()) return std::any_of(list->begin(), list->end(), wanted);
  return wanted(*aud);
}

}  // namespace

base::Result<std::string> verify_jws(std::string_view token,
                                     const std::function<const PrivateKey*(std::string_view kid)>& choose) {
  if (!well_formed(token)) return refuse("not a JSON Web Token signed with ES256");
  JwsPtr jws(cjose_jws_import(token.data(), token.size(), nullptr));
  ERR_clear_error();
  if (!jws) return refuse("not a JSON Web Token");
  cjose_header_t* header = cjose_jws_get_protected(jws.get());
  // The algorithm is ours to say (RFC 8725, 3.1): what the token says must agree, and chooses nothing.
  if (header_text(header, CJOSE_HDR_ALG) != CJOSE_HDR_ALG_ES256)
    return refuse("the token's algorithm (alg) is not ES256");
  if (header_has(header, "crit")) return refuse("the token asks for an extension (crit) that is not known here");
  const PrivateKey* key = choose(header_text(header, CJOSE_HDR_KID));
  if (!key) return refuse("the token's key (kid) is not one of this issuer's");
  const bool good = cjose_jws_verify(jws.get(), KeyAccess::jwk(*key), nullptr);
  ERR_clear_error();
  if (!good) return refuse("the token's signature does not verify");
  std::uint8_t* payload = nullptr;
  std::size_t size = 0;
  if (!cjose_jws_get_plaintext(jws.get(), &payload, &size, nullptr)) return refuse("the token is empty");
  return std::string(reinterpret_cast<const char*>(payload), size);
}

std::string sign_jwt(const PrivateKey& key, const json::object& claims, std::string_view typ) {
  HeaderPtr header(cjose_header_new(nullptr));
  const std::string kid = key.key_id(), type(typ), payload = json::serialize(claims);
  must(header && cjose_header_set(header.get(), CJOSE_HDR_ALG, CJOSE_HDR_ALG_ES256, nullptr) &&
           cjose_header_set(header.get(), CJOSE_HDR_KID, kid.c_str(), nullptr) &&
           cjose_header_set(header.get(), "typ", type.c_str(), nullptr),
       "cjose_header_set");
  JwsPtr jws(cjose_jws_sign(KeyAccess::jwk(key), header.get(), bytes_of(payload), payload.size(), nullptr));
  const char* compact = nullptr;  // belongs to the JWS
  must(jws && cjose_jws_export(jws.get(), &compact, nullptr), "cjose_jws_sign");
  return compact;
}

base::Result<json::object> verify_jwt(std::string_view token, const std::vector<PrivateKey>& keys,
                                      const JwtExpectations& expect, base::SystemTime now) {
  MAINSTAY_TRY(std::string payload, verify_jws(token, [&](std::string_view kid) -> const PrivateKey* {
                 for (const PrivateKey& key : keys)
                   if (!kid.empty() && key.has_id(kid)) return &key;
                 return nullptr;
               }));
  auto parsed = base::parse_json(payload, kMaxPayloadDepth);
  if (!parsed || !parsed->is_object()) return refuse("the token's claims are not a JSON object");
  json::object& claims = parsed->get_object();
  const json::value* issuer = claims.if_contains("iss");
  if (!issuer || !issuer->is_string() || issuer->get_string() != expect.issuer)
    return refuse("the token is of another issuer (iss)");
  if (!is_for(claims, expect.audiences)) return refuse("the token is meant for another audience (aud)");
  MAINSTAY_TRY_VOID(check_times(claims, expect.leeway, now));
  return std::move(claims);
}

std::string jwks(const std::vector<PrivateKey>& keys) {
  std::string out = R"({"keys":[)";
  for (const PrivateKey& key : keys) {
    if (out.back() == '}') out += ',';
    out += key.public_jwk();
  }
  return out + "]}";
}

}  // namespace mainstay::crypto
