#include "crypto/jwt.h"

#include <gtest/gtest.h>

#include "base/encoding.h"
#include "base/json.h"
#include "base/strings.h"
#include "crypto/jws.h"

namespace mainstay::crypto {
namespace {

using namespace std::chrono_literals;
namespace json = boost::json;

const base::SystemTime kNow = base::SystemTime(1'700'000'000s);

class Jwt : public testing::Test {
 protected:
  json::object claims() const {
    return {{"iss", "https://127.0.0.1:6443"},
            {"sub", "alice"},
            {"aud", json::array{"mainstay", "other"}},
            {"iat", 1'700'000'000},
            {"exp", 1'700'000'600}};
  }
  json::object with(std::string_view name, json::value value) const {
    json::object out = claims();
    out[name] = std::move(value);
    return out;
  }
  // The error's message, or "" where the token is good.
  std::string refusal(const std::string& token, base::SystemTime now = kNow) const {
    auto result = verify_jwt(token, keys_, expect_, now);
    if (result) return "";
    EXPECT_EQ(result.error().code, base::ErrorCode::kUnauthenticated);
    EXPECT_EQ(result.error().message.find("eyJ"), std::string::npos) << "an error repeats the token";
    return result.error().message;
  }
  std::string refusal(const json::object& object, base::SystemTime now = kNow) const {
    return refusal(sign_jwt(keys_[1], object), now);
  }
  // A token over other header bytes, signed properly by keys_[1] all the same.
  std::string forge(std::string_view header, std::string_view payload) const {
    auto parts = base::split(token_, '.');
    return base::base64url(header) + "." + base::base64url(payload) + "." + std::string(parts[2]);
  }

  std::vector<PrivateKey> keys_{PrivateKey::generate(), PrivateKey::generate()};
  JwtExpectations expect_{.issuer = "https://127.0.0.1:6443", .audiences = {"mainstay"}};
  std::string token_ = sign_jwt(keys_[1], claims());
};

TEST_F(Jwt, RoundTrip) {
  auto verified = verify_jwt(token_, keys_, expect_, kNow);
  ASSERT_TRUE(verified) << verified.error().message;
  EXPECT_EQ(*verified, claims());
  auto header = base::parse_json(*base::base64url_decode(base::split(token_, '.')[0]));
  ASSERT_TRUE(header);
  EXPECT_EQ(*header, (json::value{{"alg", "ES256"}, {"kid", keys_[1].key_id()}, {"typ", "JWT"}}));
  EXPECT_EQ(refusal(sign_jwt(keys_[0], claims(), "at+jwt")), "");
  EXPECT_EQ(refusal(with("aud", "mainstay")), "");
}

TEST_F(Jwt, ExampleOfRfc7515) {
  constexpr std::string_view kKey =
      "-----BEGIN EC PRIVATE KEY-----\nMDECAQEEII6bEJ5xkJi/mASH3x9dd+nLKWBuvtImO19XwhPfhPSyoAoGCCqGSM49\nAwEH\n"
      "-----END EC PRIVATE KEY-----\n";
  constexpr std::string_view kToken =
      "eyJhbGciOiJFUzI1NiJ9."
      "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl"
      "fQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
  auto key = PrivateKey::from_pem(kKey);
  ASSERT_TRUE(key);
  auto choose = [&](std::string_view kid) { return kid.empty() ? &*key : nullptr; };
  auto payload = verify_jws(kToken, choose);
  ASSERT_TRUE(payload) << payload.error().message;
  EXPECT_EQ(*payload, "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}");
  for (std::size_t i = 0; i < kToken.size(); ++i) {
    std::string altered(kToken);
    altered[i] = altered[i] == 'A' ? 'B' : 'A';
    auto result = verify_jws(altered, choose);
    // The last character carries four bits and two of padding: another one may stand for the same signature.
    if (i + 1 < kToken.size()) EXPECT_FALSE(result) << i;
  }
}

TEST_F(Jwt, NeverTakesTheAlgorithmFromTheToken) {
  const std::string payload = json::serialize(claims());
  const std::string kid = keys_[1].key_id();
  EXPECT_NE(refusal(forge(R"({"alg":"none","kid":")" + kid + "\"}", payload)), "");
  EXPECT_NE(refusal(forge(R"({"alg":"HS256","kid":")" + kid + "\"}", payload)), "");
  EXPECT_NE(refusal(forge(R"({"alg":"ES384","kid":")" + kid + "\"}", payload)), "");
  EXPECT_NE(refusal(forge(R"({"alg":"ES256","alg":"none","kid":")" + kid + "\"}", payload)), "");
  EXPECT_NE(refusal(forge(R"({"kid":")" + kid + "\"}", payload)), "");
  EXPECT_NE(refusal(base::base64url(R"({"alg":"none"})") + "." + base::base64url(payload) + "."), "");
  // The header of a good token is covered by the signature.
  EXPECT_NE(refusal(forge(R"({"alg":"ES256","kid":")" + kid + R"(","typ":"JWT","x":1})", payload)), "");
  EXPECT_NE(refusal(forge(R"({"alg":"ES256","crit":["b64"],"b64":false,"kid":")" + kid + "\"}", payload)), "");
}

TEST_F(Jwt, RefusesWhatIsNotAToken) {
  for (std::string token : {"", ".", "..", "...", "a.b.c", "a.b", "Bearer x"}) EXPECT_NE(refusal(token), "") << token;
  EXPECT_NE(refusal(std::string(1 << 20, 'a')), "");
  EXPECT_NE(refusal(token_ + "."), "");
  EXPECT_NE(refusal(token_ + "="), "");
  EXPECT_NE(refusal(" " + token_), "");
  EXPECT_NE(refusal(token_.substr(0, token_.rfind('.') + 1)), "");
  EXPECT_NE(refusal(token_.substr(0, token_.size() - 2)), "");
}

TEST_F(Jwt, RefusesOtherKeys) {
  const PrivateKey stranger = PrivateKey::generate();
  EXPECT_NE(refusal(sign_jwt(stranger, claims())).find("kid"), std::string::npos);
  // A known kid over a stranger's signature.
  auto parts = base::split(token_, '.');
  const std::string strange = sign_jwt(stranger, claims());
  EXPECT_NE(refusal(fmt::format("{}.{}.{}", parts[0], parts[1], base::split(strange, '.')[2])), "");
  EXPECT_NE(verify_jwt(token_, {}, expect_, kNow).has_value(), true);
}

TEST_F(Jwt, ChecksTheClaims) {
  EXPECT_NE(refusal(with("iss", "https://elsewhere")).find("iss"), std::string::npos);
  EXPECT_NE(refusal(with("iss", 7)), "");
  EXPECT_NE(refusal(with("aud", "elsewhere")).find("aud"), std::string::npos);
  EXPECT_NE(refusal(with("aud", json::array{})), "");
  EXPECT_NE(refusal(with("aud", json::array{1, json::object{}})), "");
  EXPECT_NE(refusal(with("exp", "tomorrow")), "");
  EXPECT_NE(refusal(with("exp", nullptr)), "");
  json::object eternal = claims();
  eternal.erase("exp");
  EXPECT_NE(refusal(eternal).find("exp"), std::string::npos);
  JwtExpectations nobody{.issuer = expect_.issuer};
  EXPECT_FALSE(verify_jwt(token_, keys_, nobody, kNow));
}

TEST_F(Jwt, ChecksTheTimesWithLeeway) {
  EXPECT_EQ(refusal(token_, kNow + 609s), "");
  EXPECT_NE(refusal(token_, kNow + 610s).find("expired"), std::string::npos);
  EXPECT_EQ(refusal(with("nbf", 1'700'000'010)), "");
  EXPECT_NE(refusal(with("nbf", 1'700'000'011)), "");
  EXPECT_EQ(refusal(with("exp", 1'700'000'000.5)), "");
  EXPECT_NE(refusal(with("exp", -1e300)), "");
  EXPECT_EQ(refusal(with("exp", 1e300)), "");
}

TEST_F(Jwt, KeySet) {
  auto set = base::parse_json(jwks(keys_));
  ASSERT_TRUE(set);
  const json::array& list = base::get_array(*set, "keys");
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(base::get_string(list[1], "kid"), keys_[1].key_id());
  EXPECT_EQ(jwks({}), R"({"keys":[]})");
}

}  // namespace
}  // namespace mainstay::crypto
