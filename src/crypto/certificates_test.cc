#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/files.h"
#include "base/ids.h"
#include "crypto/keys.h"

namespace mainstay::crypto {
namespace {

using namespace std::chrono_literals;

class Certificates : public testing::Test {
 protected:
  Certificates() { std::filesystem::create_directories(folder_); }
  ~Certificates() override { std::filesystem::remove_all(folder_); }
  std::string file(const std::string& name, const std::string& content) const {
    std::ofstream(folder_ / name) << content;
    return (folder_ / name).string();
  }

  std::filesystem::path folder_ = std::filesystem::temp_directory_path() / ("certificates-" + base::random_hex(8));
  base::FakeClock clock_{std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now())};
  Authority authority_ = Authority::create("Test CA", clock_);
  PrivateKey key_ = PrivateKey::generate();
};

TEST_F(Certificates, LeafSaysWhatWasAsked) {
  CertificateRequest request{.common_name = "alice",
                             .organizations = {"team-a", "system:masters"},
                             .dns_names = {"localhost", "*.shop.localhost"},
                             .ip_addresses = {"127.0.0.1", "::1"},
                             .uris = {"spiffe://mainstay/ns/shop/sa/web"},
                             .server = true,
                             .client = true,
                             .lifetime = 1h};
  auto pem = authority_.issue(request, key_.public_pem(), clock_);
  ASSERT_TRUE(pem) << pem.error().message;
  auto info = authority_.verify(*pem, clock_.now());
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(info->subject_common_name, "alice");
  EXPECT_EQ(info->organizations, request.organizations);
  EXPECT_EQ(info->dns_names, request.dns_names);
  EXPECT_EQ(info->ip_addresses, request.ip_addresses);
  EXPECT_EQ(info->uris, request.uris);
  EXPECT_EQ(info->public_pem, key_.public_pem());
  EXPECT_EQ(info->not_before, clock_.now() - 5min);
  EXPECT_EQ(info->not_after, clock_.now() + 1h);
  EXPECT_TRUE(info->server && info->client);
  EXPECT_FALSE(info->code_signing || info->authority);
  EXPECT_EQ(info->serial_hex.size(), 32u);
  auto other = authority_.issue(request, key_.public_pem(), clock_);
  ASSERT_TRUE(other);
  EXPECT_NE(inspect_certificate(*other)->serial_hex, info->serial_hex);
}

TEST_F(Certificates, OpensslAgrees) {
  if (std::system("command -v openssl >/dev/null") != 0) GTEST_SKIP() << "no openssl command";
  const std::string ca = file("ca.crt", authority_.certificate_pem());
  CertificateRequest request{
      .dns_names = {"localhost"}, .ip_addresses = {"10.244.0.1"}, .server = true, .lifetime = 1h};
  const std::string leaf = file("leaf.crt", *authority_.issue(request, key_.public_pem(), clock_));
  auto openssl = [&](const std::string& arguments) {
    return std::system(("openssl verify -x509_strict " + arguments + " >/dev/null 2>&1").c_str());
  };
  EXPECT_EQ(openssl("-CAfile " + ca + " -purpose sslserver -verify_hostname localhost " + leaf), 0);
  EXPECT_EQ(openssl("-CAfile " + ca + " -verify_ip 10.244.0.1 " + leaf), 0);
  EXPECT_NE(openssl("-CAfile " + ca + " -verify_hostname elsewhere " + leaf), 0);
  EXPECT_NE(openssl("-CAfile " + ca + " -purpose sslclient " + leaf), 0);
  EXPECT_EQ(openssl("-CAfile " + ca + " " + ca), 0);
  const std::string stranger = file("other.crt", Authority::create("Test CA", clock_).certificate_pem());
  EXPECT_NE(openssl("-CAfile " + stranger + " " + leaf), 0);
}

TEST_F(Certificates, TimeStampingAndTextExtensions) {
  CertificateRequest request{
      .common_name = "tsa", .time_stamping = true, .text_extensions = {{"1.3.6.1.4.1.57264.1.8", "x"}}};
  auto pem = authority_.issue(request, key_.public_pem(), clock_);
  ASSERT_TRUE(pem) << pem.error().message;
  auto info = authority_.verify(*pem, clock_.now());
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_TRUE(info->time_stamping);
  EXPECT_FALSE(info->server || info->client || info->code_signing);
  request.text_extensions = {{"not an identifier", "x"}};
  EXPECT_FALSE(authority_.issue(request, key_.public_pem(), clock_));
}

TEST_F(Certificates, VerifyChecksTimeChainAndKind) {
  auto pem = *authority_.issue({.common_name = "x", .client = true, .lifetime = 1h}, key_.public_pem(), clock_);
  EXPECT_TRUE(authority_.verify(pem, clock_.now() - 4min));
  EXPECT_FALSE(authority_.verify(pem, clock_.now() - 6min));
  EXPECT_TRUE(authority_.verify(pem, clock_.now() + 59min));
  auto late = authority_.verify(pem, clock_.now() + 61min);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, base::ErrorCode::kUnauthenticated);
  EXPECT_NE(late.error().message.find("expired"), std::string::npos);
  EXPECT_FALSE(Authority::create("Test CA", clock_).verify(pem, clock_.now()));
  EXPECT_FALSE(authority_.verify(authority_.certificate_pem(), clock_.now()));
  EXPECT_FALSE(authority_.verify("rubbish", clock_.now()));
  std::string altered = pem;
  altered[altered.size() / 2] = altered[altered.size() / 2] == 'A' ? 'B' : 'A';
  EXPECT_FALSE(authority_.verify(altered, clock_.now()));
}

TEST_F(Certificates, IssueRefusesBadRequests) {
  auto refusal = [&](const CertificateRequest& request) {
    auto result = authority_.issue(request, key_.public_pem(), clock_);
    if (result) return std::string();
    EXPECT_EQ(result.error().code, base::ErrorCode::kInvalid);
    return result.error().message;
  };
  EXPECT_NE(refusal({}), "");
  EXPECT_NE(refusal({.common_name = std::string(65, 'x')}).find("common_name"), std::string::npos);
  EXPECT_NE(refusal({.ip_addresses = {"localhost"}}).find("ip_addresses"), std::string::npos);
  EXPECT_NE(refusal({.dns_names = {"a b"}}).find("dns_names"), std::string::npos);
  EXPECT_NE(refusal({.uris = {""}}).find("uris"), std::string::npos);
  EXPECT_NE(refusal({.common_name = "x", .lifetime = 0s}).find("lifetime"), std::string::npos);
  EXPECT_EQ(refusal({.uris = {"spiffe://mainstay/x"}}), "");
  EXPECT_FALSE(authority_.issue({.common_name = "x"}, "no key", clock_));
}

TEST_F(Certificates, ALeafEndsNoLaterThanItsAuthority) {
  clock_.advance(24h * 3651);
  auto info = inspect_certificate(*authority_.issue({.common_name = "x", .lifetime = 48h}, key_.public_pem(), clock_));
  ASSERT_TRUE(info);
  EXPECT_EQ(info->not_after, inspect_certificate(authority_.certificate_pem())->not_after);
  clock_.advance(48h);
  EXPECT_FALSE(authority_.issue({.common_name = "x"}, key_.public_pem(), clock_));
}

TEST_F(Certificates, AuthorityIsKept) {
  const auto certificate = folder_ / "ca.crt", key = folder_ / "ca.key";
  auto first = Authority::open(certificate, key, clock_);
  ASSERT_TRUE(first) << first.error().message;
  struct stat info{};
  ASSERT_EQ(stat(key.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  auto leaf = *first->issue({.common_name = "x"}, key_.public_pem(), clock_);
  auto second = Authority::open(certificate, key, clock_);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->certificate_pem(), first->certificate_pem());
  EXPECT_TRUE(second->verify(leaf, clock_.now()));

  // A crash after the key and before the certificate: a new certificate for the same key, and old leaves stay good.
  std::filesystem::remove(certificate);
  auto third = Authority::open(certificate, key, clock_);
  ASSERT_TRUE(third) << third.error().message;
  EXPECT_TRUE(third->verify(leaf, clock_.now()));
}

TEST_F(Certificates, HalfAPairIsAnErrorThatSaysWhatToDo) {
  const auto certificate = folder_ / "ca.crt", key = folder_ / "ca.key";
  ASSERT_TRUE(Authority::open(certificate, key, clock_));
  const std::string key_pem = *base::read_file(key);
  std::filesystem::remove(key);
  auto missing = Authority::open(certificate, key, clock_);
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find("backup"), std::string::npos);
  ASSERT_TRUE(base::write_file(key, PrivateKey::generate().to_pem(), 0600));
  auto strange = Authority::open(certificate, key, clock_);
  ASSERT_FALSE(strange);
  EXPECT_NE(strange.error().message.find("belong together"), std::string::npos);
  EXPECT_FALSE(Authority::load(*authority_.issue({.common_name = "x"}, key_.public_pem(), clock_), key_.to_pem()));
}

}  // namespace
}  // namespace mainstay::crypto
