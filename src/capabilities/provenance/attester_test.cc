#include "capabilities/provenance/attester.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "base/ids.h"
#include "capabilities/provenance/bundle.h"
#include "capabilities/provenance/test_images.h"
#include "capabilities/provenance/test_tar.h"
#include "capabilities/provenance/verifier.h"

namespace mainstay::provenance {
namespace {

class AttesterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    config_.data_dir = dir_;
    std::filesystem::create_directories(dir_);
    auto timestamps =
        std::make_shared<const TimestampAuthority>(TimestampAuthority::open(dir_ / "pki", authority_, clock_).value());
    attester_ =
        std::make_shared<LocalAttester>(runtime_, config_, authority_, timestamps, clock_, [this] { return images_; });
    write_layer(dir_ / "layer", {{"var/lib/dpkg/status", dpkg("bash", "5") + dpkg("tar", "1")}});
    build_.image_digest =
        images_->add("shop/web", "v1", {{MemoryImages::digest_of("layer"), "x/tar", 1, dir_ / "layer"}});
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  template <class Body>
  void run(Body body) {
    runtime_.run(body());
  }

  std::filesystem::path dir_ = std::filesystem::temp_directory_path() / ("mainstay-attester-" + base::random_hex(6));
  async::Runtime runtime_{2};
  base::Config config_;
  base::FakeClock clock_{std::chrono::system_clock::now()};
  crypto::Authority authority_ = crypto::Authority::create("Test CA", clock_);
  std::shared_ptr<MemoryImages> images_ = std::make_shared<MemoryImages>();
  std::shared_ptr<LocalAttester> attester_;
  platform::BuildRecord build_{.team = "shop",
                               .repository = "web",
                               .ref = "refs/heads/main",
                               .commit = std::string(40, 'c'),
                               .workflow = "default",
                               .run_name = "web-1",
                               .run_uid = "uid-1",
                               .actor = "ann",
                               .image_repository = "shop/web",
                               .image_digest = "",
                               .dockerfile = "",
                               .started = "2026-01-01T00:00:00Z",
                               .finished = "2026-01-01T00:01:00Z"};
};

TEST_F(AttesterTest, ScansAndAttests) {
  run([this]() -> async::Task<> {
    const auto scanned = co_await attester_->scan(build_);
    EXPECT_TRUE(scanned) << scanned.error().message;
    EXPECT_EQ(scanned->packages, 2);
    const auto attested = co_await attester_->attest(build_);
    EXPECT_TRUE(attested) << attested.error().message;
    const auto& bundle = images_->attached.at(attested->provenance_digest);
    EXPECT_EQ(bundle.type, kBundleType);
    const auto claims = verify_provenance(bundle.content, build_.image_digest, authority_);
    EXPECT_TRUE(claims) << claims.error().message;
    // The statement names the SBOM made beside it.
    const auto payload = read_bundle(bundle.content)->payload;
    const auto sbom = MemoryImages::digest_of(images_->attached.at(scanned->sbom_digest).content);
    EXPECT_THAT(payload, testing::HasSubstr(sbom.substr(7)));
    EXPECT_THAT(bundle.annotations,
                testing::Contains(testing::Pair("dev.sigstore.bundle.predicateType", std::string(kSlsaPredicate))));
  });
}

TEST_F(AttesterTest, RepeatsAddNothing) {
  run([this]() -> async::Task<> {
    for (int i = 0; i < 2; ++i) {
      EXPECT_TRUE(co_await attester_->scan(build_));
      EXPECT_TRUE(co_await attester_->attest(build_));
      clock_.advance(std::chrono::minutes(30));
    }
    EXPECT_EQ(images_->attached.size(), 2u);
  });
}

TEST_F(AttesterTest, SideBySideTheStatementStillNamesTheSbom) {
  run([this]() -> async::Task<> {
    async::TaskGroup group(runtime_.executor(), "both");
    struct Both {
      static async::Task<> attest(std::shared_ptr<LocalAttester> attester, platform::BuildRecord build) {
        EXPECT_TRUE(co_await attester->attest(build));
      }
      static async::Task<> scan(std::shared_ptr<LocalAttester> attester, platform::BuildRecord build) {
        EXPECT_TRUE(co_await attester->scan(build));
      }
    };
    group.spawn("attest", Both::attest(attester_, build_));
    group.spawn("scan", Both::scan(attester_, build_));
    co_await group.join();
    EXPECT_EQ(images_->attached.size(), 2u);
    std::string sbom, statement;
    for (const auto& [digest, item] : images_->attached) {
      if (item.type == kBundleType) statement = read_bundle(item.content)->payload;
      if (item.type == kSpdxType) sbom = MemoryImages::digest_of(item.content);
    }
    EXPECT_THAT(statement, testing::HasSubstr(sbom.substr(7)));
  });
}

TEST_F(AttesterTest, AnUnreadableLayerDoesNotStopTheSignature) {
  run([this]() -> async::Task<> {
    EXPECT_TRUE(base::write_file(dir_ / "layer",
                                 "no archive, but text that is long enough to be looked at by any format reader\n"));
    const auto scanned = co_await attester_->scan(build_);
    EXPECT_FALSE(scanned);
    const auto attested = co_await attester_->attest(build_);
    EXPECT_TRUE(attested);
  });
}

TEST_F(AttesterTest, ALayerIsReadOnce) {
  run([this]() -> async::Task<> {
    EXPECT_TRUE(co_await attester_->scan(build_));
    std::filesystem::remove(dir_ / "layer");
    EXPECT_TRUE(co_await attester_->scan(build_));
    LayerCache fresh(runtime_, config_.dir("cache") / "sbom");  // as after a restart
    const auto facts = co_await fresh.facts(MemoryImages::digest_of("layer"), dir_ / "layer");
    EXPECT_TRUE(facts);
  });
}

TEST_F(AttesterTest, RefusesOthersImagesAndHolesInTheRecord) {
  run([this]() -> async::Task<> {
    auto build = build_;
    build.team = "other";
    const auto foreign = co_await attester_->attest(build);
    EXPECT_EQ(foreign.error().code, base::ErrorCode::kForbidden);
    build = build_;
    build.commit.clear();
    const auto hole = co_await attester_->attest(build);
    EXPECT_THAT(hole.error().message, testing::HasSubstr("commit"));
    build = build_;
    build.image_digest = "sha256:" + std::string(64, '0');
    const auto missing = co_await attester_->scan(build);
    EXPECT_EQ(missing.error().code, base::ErrorCode::kNotFound);
  });
}

}  // namespace
}  // namespace mainstay::provenance
