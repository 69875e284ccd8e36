#include <gtest/gtest.h>

#include "base/encoding.h"
#include "base/ids.h"
#include "capabilities/identity/clients.h"
#include "capabilities/identity/federation.h"
#include "capabilities/identity/form.h"
#include "capabilities/identity/grants.h"
#include "capabilities/identity/ldap_directory.h"
#include "capabilities/identity/limiter.h"
#include "capabilities/identity/pages.h"
#include "capabilities/identity/password.h"
#include "capabilities/identity/provider.h"
#include "capabilities/identity/totp.h"
#include "capabilities/identity/upstream_oidc.h"

namespace mainstay::identity {
namespace {

base::SystemTime at(std::int64_t seconds) { return base::SystemTime(std::chrono::seconds(seconds)); }

TEST(Form, RefusesWhatIsGivenTwiceOrTooLarge) {
  EXPECT_EQ(Form::parse("a=1&b=x%20y+z")->get("b"), "x y z");
  EXPECT_FALSE(Form::parse("a=1&a=2"));
  EXPECT_FALSE(Form::parse("a=%00"));
  EXPECT_FALSE(Form::parse("a=" + std::string(9000, 'x')));
  std::string many;
  for (int i = 0; i < 70; ++i) many += fmt::format("&k{}=1", i);
  EXPECT_FALSE(Form::parse(many));
  EXPECT_FALSE(Form::parse("a=")->has("a"));  // RFC 6749 3.1: empty is missing
}

TEST(Form, EncodesWhatItParses) {
  const auto form = Form::parse("redirect_uri=https%3A%2F%2Fx%2Fcb%3Fa%3D1%26b&state=%E2%82%AC");
  EXPECT_EQ(Form::parse(form->encode())->get("redirect_uri"), "https://x/cb?a=1&b");
  EXPECT_EQ(Form::parse(form->encode())->get("state"), "€");
}

// RFC 6238, appendix B, SHA-1, cut to six digits.
TEST(Totp, FollowsTheRfc) {
  const std::string secret = "12345678901234567890";
  EXPECT_EQ(totp_code(secret, 59 / 30), "287082");
  EXPECT_EQ(totp_code(secret, 1111111109 / 30), "081804");
  EXPECT_EQ(totp_code(secret, 20000000000 / 30), "353130");
}

TEST(Totp, ACodeCountsOnceAndForOneStepAround) {
  const std::string secret = make_totp_secret();
  const std::int64_t now = 1'700'000'000, step = now / 30;
  EXPECT_EQ(check_totp(secret, totp_code(secret, step), at(now), 0), step);
  EXPECT_EQ(check_totp(secret, totp_code(secret, step), at(now), step), std::nullopt);
  EXPECT_EQ(check_totp(secret, totp_code(secret, step - 1), at(now), 0), step - 1);
  EXPECT_EQ(check_totp(secret, totp_code(secret, step - 3), at(now), 0), std::nullopt);
}

TEST(Totp, Base32BothWays) {
  EXPECT_EQ(base32("foobar"), "MZXW6YTBOI");
  EXPECT_EQ(*base32_decode("mzxw 6ytb oi"), "foobar");
  EXPECT_FALSE(base32_decode("0189"));
}

TEST(Totp, RecoveryCodesAreTypedAnyHow) {
  const RecoveryCodes codes = make_recovery_codes();
  ASSERT_EQ(codes.codes.size(), codes.hashes.size());
  std::string shouted = codes.codes[3];
  for (char& c : shouted) c = static_cast<char>(std::toupper(c));
  EXPECT_EQ(recovery_hash(" " + shouted), codes.hashes[3]);
  EXPECT_NE(codes.codes[0], codes.codes[1]);
}

TEST(Password, RulesSayWhatToChange) {
  EXPECT_TRUE(check_password("correct horse battery", "ann"));
  EXPECT_FALSE(check_password("short", "ann"));
  EXPECT_FALSE(check_password("aaaaaaaaaaaa", "ann"));
  EXPECT_FALSE(check_password("annabelle123", "annabelle"));
  EXPECT_FALSE(check_password(std::string(300, 'x') + "abc", "ann"));
}

TEST(Password, ArgonTakesOnlyTheRightOne) {
  const std::string encoded = hash_password("correct horse battery");
  EXPECT_TRUE(encoded.starts_with("$argon2id$v=19$m=47104,t=2,p=1$"));
  EXPECT_TRUE(verify_password(encoded, "correct horse battery"));
  EXPECT_FALSE(verify_password(encoded, "correct horse batterz"));
  EXPECT_FALSE(verify_password("", ""));
}

TEST(KeyRing, PublishesTheNextKeyAheadAndForgetsOldOnes) {
  const auto folder = std::filesystem::temp_directory_path() / ("keys-" + base::random_hex(6));
  base::FakeClock clock(base::real_clock().now());
  auto ring = *KeyRing::open(folder, clock);
  const std::string first = ring->signing().key_id(), next = ring->all()[0].key_id();
  ASSERT_EQ(ring->all().size(), 2u);
  EXPECT_NE(first, next);
  EXPECT_TRUE(ring->rotate());
  EXPECT_EQ(ring->signing().key_id(), next);
  EXPECT_EQ((*KeyRing::open(folder, clock))->signing().key_id(), next);
  EXPECT_TRUE(ring->prune());
  EXPECT_EQ(ring->all().size(), 3u);
  clock.advance(KeyRing::kLongestToken + std::chrono::hours(1));
  EXPECT_TRUE(ring->prune());
  EXPECT_EQ(ring->all().size(), 2u);
  EXPECT_EQ(ring->signing().key_id(), next);
  std::filesystem::remove_all(folder);
}

TEST(Limiter, CountsForAHolderOfAddresses) {
  net::Request request;
  for (const auto& [peer, holder] :
       std::map<std::string, std::string>{{"192.0.2.7:5000", "192.0.2.7"},
                                          {"[2001:db8:1:2:3:4:5:6]:80", "2001:db8:1:2::/64"},
                                          {"2001:db8:1:2::9:443", "2001:db8:1:2::/64"},
                                          {"[::ffff:192.0.2.7]:80", "192.0.2.7"},
                                          {"[::1]:80", "::/64"},
                                          {"unix", "unix"}}) {
    request.peer = peer;
    EXPECT_EQ(peer_host(request), holder) << peer;
  }
}

TEST(Limiter, WaitsDoubleAndEnd) {
  base::FakeClock clock(at(1'000'000));
  FailureLimiter limiter(clock, 2, std::chrono::seconds(60));
  for (int i = 0; i < 2; ++i) limiter.failed("ann");
  EXPECT_EQ(limiter.wait("ann").count(), 0);
  limiter.failed("ann");
  EXPECT_EQ(limiter.wait("ann").count(), 1);
  limiter.failed("ann");
  EXPECT_EQ(limiter.wait("ann").count(), 2);
  for (int i = 0; i < 30; ++i) limiter.failed("ann");
  EXPECT_EQ(limiter.wait("ann").count(), 60);
  EXPECT_EQ(limiter.wait("ben").count(), 0);
  clock.advance(std::chrono::seconds(61));
  EXPECT_EQ(limiter.wait("ann").count(), 0);
  limiter.succeeded("ann");
  limiter.failed("ann");
  EXPECT_EQ(limiter.wait("ann").count(), 0);
}

TEST(Limiter, AnAttemptCountsFromItsBeginning) {
  base::FakeClock clock(at(1'000'000));
  FailureLimiter limiter(clock, 2, std::chrono::seconds(60));
  {
    // All at once: the third already makes the next ones wait, though none has been judged.
    FailureLimiter::Attempt attempts[] = {{limiter, "ann"}, {limiter, "ann"}, {limiter, "ann"}};
    EXPECT_EQ(limiter.wait("ann").count(), 1);
    attempts[0].failed();
    attempts[1].failed();
  }
  EXPECT_EQ(limiter.wait("ann").count(), 0) << "the third was good, and took its wait back";
  {
    FailureLimiter::Attempt third(limiter, "ann");
    third.failed();
  }
  EXPECT_EQ(limiter.wait("ann").count(), 1);
  // A good one does not take away the wait of those that failed before it.
  {
    const FailureLimiter::Attempt good(limiter, "ann");
  }
  EXPECT_EQ(limiter.wait("ann").count(), 1);
}

TEST(Clients, RedirectUrisMustBeOursToTrust) {
  EXPECT_TRUE(check_redirect_uri("https://shop.example/cb"));
  EXPECT_TRUE(check_redirect_uri("http://127.0.0.1:8080/cb"));
  for (const char* bad : {"http://shop.example/cb", "https://shop.example/cb#x", "https://ann:pw@shop.example/", "/cb",
                          "javascript:alert(1)", "https:///cb", "data:text/html,x"})
    EXPECT_FALSE(check_redirect_uri(bad)) << bad;
}

TEST(Clients, AnApplicationsIdBeginsWithItsNamespace) {
  EXPECT_EQ(namespace_of_client("shop.web"), "shop");
  EXPECT_EQ(namespace_of_client("shop.web.v2"), "shop");
  EXPECT_EQ(namespace_of_client("mainstay-cli"), "");
}

TEST(Pages, NothingForeignIsMarkup) {
  EXPECT_EQ(escape("<a href=\"x\" onclick='y'>&"), "&lt;a href=&quot;x&quot; onclick=&#39;y&#39;&gt;&amp;");
  EXPECT_EQ(origin_of("https://x.example:8443/cb?a=1"), "https://x.example:8443");
  EXPECT_EQ(origin_of("https://x.example; script-src *"), "");
}

TEST(Pages, SignInLeadsToOurOwnPagesOnly) {
  EXPECT_TRUE(is_own_page("/oauth2/authorize?client_id=x"));
  EXPECT_TRUE(is_own_page("/oauth2/account"));
  for (const char* bad : {"//evil.example", "https://evil.example", "/oauth2/authorizeX", "/oauth2/token", "",
                          "/oauth2/device?a=\r\nX: y", "/\\evil.example"})
    EXPECT_FALSE(is_own_page(bad)) << bad;
}

TEST(Federation, NamesBecomeUserNames) {
  EXPECT_EQ(user_name_from("Ann.Smith@example.com"), "ann-smith");
  EXPECT_EQ(user_name_from("..ann_"), "ann");
  EXPECT_EQ(user_name_from("@@"), "");
  EXPECT_EQ(user_name_from(std::string(100, 'a')).size(), 63u);
}

TEST(Federation, GroupsMapToRolesWithoutCase) {
  const auto provider = boost::json::parse(
      R"({"spec":{"groupMappings":[{"group":"cn=Devs,dc=x","team":"shop"},{"group":"ops","team":"shop","role":"owner"},
                                   {"group":"none","team":"bank","role":"owner"}]}})");
  EXPECT_EQ(mapped_groups(provider, {"CN=devs,DC=x", "ops"}),
            (std::vector<std::string>{"team:shop", "team:shop:developer", "team:shop:owner"}));
  EXPECT_TRUE(mapped_groups(provider, {"team:shop:owner", "mainstay:admins"}).empty());
}

TEST(Federation, IdTokensAreForUsNowAndForThisQuestion) {
  const boost::json::object good{{"iss", "https://i"}, {"aud", "us"},  {"exp", 2000},
                                 {"iat", 1000},        {"nonce", "n"}, {"sub", "1"}};
  const auto with = [&](std::string_view name, boost::json::value value) {
    boost::json::object out = good;
    out[name] = std::move(value);
    if (out[name].is_null()) out.erase(name);
    return check_id_token(out, "https://i", "us", "n", at(1000)).has_value();
  };
  EXPECT_TRUE(with("x", 1));
  EXPECT_TRUE(with("aud", boost::json::array{"us"}));
  EXPECT_FALSE(with("aud", boost::json::array{"us", "them"}));
  EXPECT_FALSE(with("aud", "them"));
  EXPECT_FALSE(with("aud", nullptr));
  EXPECT_TRUE(with("azp", "us"));
  EXPECT_FALSE(with("azp", "them"));
  EXPECT_FALSE(with("azp", 7));
  EXPECT_FALSE(with("iss", "https://j"));
  EXPECT_FALSE(with("iss", nullptr));
  EXPECT_FALSE(with("nonce", "m"));
  EXPECT_FALSE(with("nonce", nullptr));
  EXPECT_FALSE(with("sub", ""));
  EXPECT_FALSE(with("sub", boost::json::string(256, 'a')));
  EXPECT_FALSE(check_id_token(good, "https://i", "us", "", at(1000)));
  EXPECT_TRUE(check_id_token(good, "https://i", "us", "n", at(2059)));
  EXPECT_FALSE(check_id_token(good, "https://i", "us", "n", at(2060)));
  EXPECT_FALSE(with("exp", nullptr));
  EXPECT_FALSE(with("exp", "2000"));
  EXPECT_FALSE(with("iat", nullptr));
  EXPECT_TRUE(with("iat", 1060));
  EXPECT_FALSE(with("iat", 1061));
  EXPECT_FALSE(with("nbf", 1061));
  EXPECT_FALSE(check_id_token(nullptr, "https://i", "us", "n", at(1000)));
}

TEST(Directory, TypedTextIsAValueOfTheFilter) {
  EXPECT_EQ(ldap_escape("ann"), "ann");
  EXPECT_EQ(ldap_escape("*)(uid=*"), "\\2a\\29\\28uid=\\2a");
  EXPECT_EQ(ldap_escape(std::string_view("a\0b", 3)), "a\\00b");
}

TEST(Directory, PasswordsDoNotTravelInTheClear) {
  EXPECT_TRUE(check_ldap_url("ldaps://ldap.example", false));
  EXPECT_TRUE(check_ldap_url("ldap://ldap.example", true));
  EXPECT_TRUE(check_ldap_url("ldap://127.0.0.1:1389", false));
  EXPECT_FALSE(check_ldap_url("ldap://ldap.example", false));
  EXPECT_FALSE(check_ldap_url("http://ldap.example", false));
  EXPECT_FALSE(check_ldap_url("ldapi:///x", false));
}

TEST(Scopes, AreWholeWords) {
  EXPECT_TRUE(has_scope("openid groups", "groups"));
  EXPECT_FALSE(has_scope("openid groupsx", "groups"));
  EXPECT_FALSE(has_scope("", "openid"));
}

}  // namespace
}  // namespace mainstay::identity
