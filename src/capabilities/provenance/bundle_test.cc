#include "capabilities/provenance/bundle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "base/encoding.h"
#include "base/files.h"
#include "base/ids.h"
#include "capabilities/provenance/statement.h"
#include "capabilities/provenance/timestamp.h"
#include "capabilities/provenance/trusted_root.h"
#include "capabilities/provenance/verifier.h"

namespace mainstay::provenance {
namespace {

const std::string kIssuer = "https://127.0.0.1:6443", kDigest = "sha256:" + std::string(64, 'a');

class BundleTest : public ::testing::Test {
 protected:
  void SetUp() override {
    timestamps_ = std::make_unique<TimestampAuthority>(TimestampAuthority::open(dir_, authority_, clock_).value());
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  platform::BuildRecord build_{.team = "shop",
                               .repository = "web",
                               .ref = "refs/heads/main",
                               .commit = std::string(40, 'c'),
                               .workflow = ".github/workflows/ci.yml",
                               .run_name = "web-1",
                               .run_uid = "uid-1",
                               .actor = "ann",
                               .image_repository = "shop/web",
                               .image_digest = kDigest,
                               .dockerfile = "Dockerfile",
                               .started = "2026-01-01T00:00:00Z",
                               .finished = "2026-01-01T00:01:00Z"};
  struct Forgery {
    std::string signer;  // another URI than the statement's
    bool code_signing = true;
    bool timestamp = true;
    std::string payload_type{kPayloadType};
  };
  std::string sign(const platform::BuildRecord& build, Forgery f) {
    return write_bundle(bundle(build, std::move(f), authority_));
  }
  std::string sign(const platform::BuildRecord& build) { return sign(build, Forgery()); }
  Bundle bundle(const platform::BuildRecord& build, Forgery f, const crypto::Authority& authority) {
    Bundle out{.payload_type = f.payload_type,
               .payload = base::to_json(provenance_statement(build, kIssuer, "127.0.0.1:6443", ""))};
    const auto key = crypto::PrivateKey::generate();
    crypto::CertificateRequest request{.lifetime = std::chrono::minutes(10)};
    request.uris = {f.signer.empty() ? signer_identity(kIssuer, build.team, build.repository, build.workflow, build.ref)
                                     : f.signer};
    request.code_signing = f.code_signing;
    request.client = !f.code_signing;
    request.text_extensions = {{"1.3.6.1.4.1.57264.1.8", kIssuer}};
    out.certificate_pem = authority.issue(request, key.public_pem(), clock_).value();
    out.signature = key.sign(pre_authentication_encoding(out.payload_type, out.payload));
    if (f.timestamp) out.timestamp = timestamps_->sign(out.signature, clock_).value();
    return out;
  }
  std::string refusal(const std::string& text, const std::string& digest = kDigest) {
    const auto claims = verify_provenance(text, digest, authority_);
    return claims ? "accepted" : claims.error().message;
  }

  std::filesystem::path dir_ = std::filesystem::temp_directory_path() / ("mainstay-bundle-" + base::random_hex(6));
  base::FakeClock clock_{std::chrono::system_clock::now() - std::chrono::hours(24 * 90)};
  crypto::Authority authority_ = crypto::Authority::create("Test CA", clock_);
  std::unique_ptr<TimestampAuthority> timestamps_;
};

TEST(Dsse, EncodesAsTheSpecificationsExample) {
  EXPECT_EQ(pre_authentication_encoding("http://example.com/HelloWorld", "hello world"),
            "DSSEv1 29 http://example.com/HelloWorld 11 hello world");
}

TEST_F(BundleTest, VerifiesLongAfterTheSignersCertificateEnded) {
  const auto text = sign(build_);
  clock_.advance(std::chrono::hours(24 * 60));
  const auto claims = verify_provenance(text, kDigest, authority_);
  ASSERT_TRUE(claims) << claims.error().message;
  EXPECT_EQ(claims->team, "shop");
  EXPECT_EQ(claims->repository, "web");
  EXPECT_EQ(claims->ref, "refs/heads/main");
  EXPECT_EQ(claims->commit, std::string(40, 'c'));
  EXPECT_EQ(claims->workflow, ".github/workflows/ci.yml");
  EXPECT_EQ(claims->run_uid, "uid-1");
  EXPECT_EQ(claims->builder, kIssuer);
}

TEST_F(BundleTest, RefusesForgeries) {
  EXPECT_THAT(refusal(sign(build_), "sha256:" + std::string(64, 'b')), testing::HasSubstr("another image"));
  EXPECT_THAT(refusal(sign(build_, {.signer = signer_identity(kIssuer, "evil", "web", build_.workflow, build_.ref)})),
              testing::HasSubstr("another repository"));
  EXPECT_THAT(refusal(sign(build_, {.code_signing = false})), testing::HasSubstr("not one for signing"));
  EXPECT_THAT(refusal(sign(build_, {.timestamp = false})), testing::HasSubstr("no signed timestamp"));
  EXPECT_THAT(refusal(sign(build_, {.payload_type = "text/plain"})), testing::HasSubstr("in-toto"));
  auto other_build = build_;
  other_build.repository = "../web";
  EXPECT_NE(refusal(sign(other_build)), "accepted");

  auto changed = bundle(build_, {}, authority_);
  changed.payload.replace(changed.payload.find("shop/web"), 8, "shop/wob");
  EXPECT_THAT(refusal(write_bundle(changed)), testing::HasSubstr("signature does not belong"));
  auto swapped = bundle(build_, {}, authority_);
  swapped.timestamp = bundle(build_, {}, authority_).timestamp;  // of another signature
  EXPECT_THAT(refusal(write_bundle(swapped)), testing::HasSubstr("timestamp does not verify"));
  const auto other = crypto::Authority::create("Test CA", clock_);
  EXPECT_THAT(refusal(write_bundle(bundle(build_, {}, other))), testing::HasSubstr("certificate is not valid"));
  auto late = bundle(build_, {}, authority_);
  clock_.advance(std::chrono::hours(1));
  late.timestamp = timestamps_->sign(late.signature, clock_).value();  // signed when the certificate had ended
  EXPECT_THAT(refusal(write_bundle(late)), testing::HasSubstr("certificate is not valid"));
}

TEST_F(BundleTest, TimestampsOfOthersAreRefused) {
  const auto theirs = crypto::Authority::create("Test CA", clock_);
  const auto folder = dir_ / "theirs";
  const auto forged = TimestampAuthority::open(folder, theirs, clock_).value();
  auto made = bundle(build_, {}, authority_);
  made.timestamp = forged.sign(made.signature, clock_).value();
  EXPECT_THAT(refusal(write_bundle(made)), testing::HasSubstr("timestamp does not verify"));
}

TEST_F(BundleTest, DamagedTextIsRefusedWithoutHarm) {
  const auto good = sign(build_);
  for (const std::string& text :
       std::vector<std::string>{"", "{}", "[]", good.substr(0, good.size() / 2), R"({"mediaType":"x"})"}) {
    EXPECT_FALSE(read_bundle(text));
  }
  for (std::size_t at = 0; at < good.size(); at += 97) {
    auto damaged = good;
    damaged[at] = damaged[at] == 'A' ? 'B' : 'A';
    const auto claims = verify_provenance(damaged, kDigest, authority_);
    if (claims) EXPECT_EQ(claims->team, "shop");  // only what is not signed (keyid's neighbours) may change unseen
  }
}

TEST_F(BundleTest, TheTimestampAuthorityIsKept) {
  const auto again = TimestampAuthority::open(dir_, authority_, clock_).value();
  EXPECT_EQ(again.certificate_pem(), timestamps_->certificate_pem());
  const auto other = crypto::Authority::create("Another CA", clock_);
  const auto renewed = TimestampAuthority::open(dir_, other, clock_).value();
  EXPECT_NE(renewed.certificate_pem(), timestamps_->certificate_pem());
}

// The openssl command is the second implementation: it reads the timestamp, the chain and the signature.
TEST_F(BundleTest, OpensslAgrees) {
  const auto made = bundle(build_, {}, authority_);
  const auto write = [&](const char* name, std::string_view content) {
    EXPECT_TRUE(base::write_file(dir_ / name, content));
    return (dir_ / name).string();
  };
  const auto ca = write("ca.pem", authority_.certificate_pem()), leaf = write("leaf.pem", made.certificate_pem);
  const auto sig = write("sig", made.signature), stamp = write("stamp.tsr", made.timestamp);
  const auto signed_bytes = write("pae", pre_authentication_encoding(made.payload_type, made.payload));
  const auto openssl = [](const std::string& arguments) {
    return std::system(("openssl " + arguments + " >/dev/null 2>&1").c_str());
  };
  const auto at = std::chrono::system_clock::to_time_t(clock_.now());
  EXPECT_EQ(openssl(fmt::format("verify -attime {} -purpose any -CAfile {} {}", at, ca, leaf)), 0);
  EXPECT_EQ(openssl(fmt::format("x509 -in {} -pubkey -noout -out {}/pub.pem", leaf, dir_.string())), 0);
  EXPECT_EQ(openssl(fmt::format("dgst -sha256 -verify {}/pub.pem -signature {} {}", dir_.string(), sig, signed_bytes)),
            0);
  EXPECT_EQ(openssl(fmt::format("ts -verify -data {} -in {} -CAfile {} -attime {}", sig, stamp, ca, at)), 0);
  EXPECT_NE(openssl(fmt::format("ts -verify -data {} -in {} -CAfile {} -attime {}", signed_bytes, stamp, ca, at)), 0);
}

TEST_F(BundleTest, TheStatementSaysWhatSlsaAsks) {
  const auto statement =
      base::json::value(provenance_statement(build_, kIssuer, "127.0.0.1:6443", "sha256:" + std::string(64, 'd')));
  EXPECT_EQ(base::get_string(statement, "_type"), kStatementType);
  EXPECT_EQ(base::get_string(base::get_array(statement, "subject")[0], "name"), "127.0.0.1:6443/shop/web");
  EXPECT_EQ(base::get_string(statement, "predicate.buildDefinition.externalParameters.repository"),
            kIssuer + "/git/shop/web.git");
  const auto& dependency = base::get_array(statement, "predicate.buildDefinition.resolvedDependencies")[0];
  EXPECT_EQ(base::get_string(dependency, "uri"), "git+" + kIssuer + "/git/shop/web.git@refs/heads/main");
  EXPECT_EQ(base::get_string(dependency, "digest.gitCommit"), std::string(40, 'c'));
  EXPECT_EQ(base::get_string(base::get_array(statement, "predicate.runDetails.byproducts")[0], "digest.sha256"),
            std::string(64, 'd'));
}

TEST_F(BundleTest, TheTrustedRootHoldsBothAuthorities) {
  const auto root =
      base::json::value(trusted_root(kIssuer, authority_.certificate_pem(), timestamps_->certificate_pem()));
  EXPECT_EQ(base::get_array(base::get_array(root, "certificateAuthorities")[0], "certChain.certificates").size(), 1u);
  EXPECT_EQ(base::get_array(base::get_array(root, "timestampAuthorities")[0], "certChain.certificates").size(), 2u);
}

}  // namespace
}  // namespace mainstay::provenance
