#include "capabilities/provenance/image_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/ids.h"
#include "base/status.h"
#include "capabilities/provenance/attester.h"
#include "capabilities/provenance/bundle.h"
#include "capabilities/provenance/test_images.h"

namespace mainstay::provenance {
namespace {

using testing::HasSubstr;
namespace json = base::json;

class ImagePolicyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    config_.data_dir = dir_;
    pod_type_.kind = "Pod";
    auto timestamps =
        std::make_shared<const TimestampAuthority>(TimestampAuthority::open(dir_, authority_, clock_).value());
    attester_ =
        std::make_shared<LocalAttester>(runtime_, config_, authority_, timestamps, clock_, [this] { return images_; });
    policy_ = std::make_shared<ImagePolicy>(
        ImagePolicy::Dependencies{config_, authority_, metrics_, [this] { return images_; },
                                  [this](std::string ns) { return labels(this, std::move(ns)); }});
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  static async::Task<json::object> labels(ImagePolicyTest* self, std::string ns) { co_return self->namespaces_[ns]; }

  static json::value pod(const std::string& image, const char* list = "containers") {
    json::object container{{"name", "web"}, {"image", image}};
    json::object spec{{"containers", json::array{}}};
    spec[list] = json::array{std::move(container)};
    return json::object{{"spec", std::move(spec)}};
  }
  static std::string image_of(const json::value& pod) {
    return base::get_string(base::get_array(pod, "spec.containers")[0], "image");
  }
  // What the two plugins say: "" where they let it pass.
  async::Task<std::string> admit(std::string ns, json::value& object, const json::value* old = nullptr) {
    api::AdmissionRequest request{old == nullptr ? api::Operation::kCreate : api::Operation::kUpdate,
                                  &pod_type_,
                                  "",
                                  ns,
                                  "web",
                                  {},
                                  &object,
                                  old};
    EXPECT_TRUE(ImagePolicy::concerns(request));
    try {
      co_await ImagePolicy::resolve(policy_, request);
      co_await ImagePolicy::verify(policy_, request);
    } catch (const base::StatusError& error) {
      EXPECT_EQ(error.code(), 403);
      co_return error.message();
    }
    co_return "";
  }
  async::Task<std::string> admit_image(std::string ns, std::string image) {
    auto object = pod(image);
    co_return co_await admit(std::move(ns), object);
  }
  async::Task<std::string> build(std::string team, std::string repository, std::string tag, bool attest = true) {
    const auto digest = images_->add(repository, tag, {});
    platform::BuildRecord record{.team = team,
                                 .repository = "web",
                                 .ref = "refs/heads/main",
                                 .commit = "c",
                                 .workflow = "default",
                                 .run_name = "r",
                                 .run_uid = "uid",
                                 .actor = "ann",
                                 .image_repository = repository,
                                 .image_digest = digest};
    if (attest) EXPECT_TRUE(co_await attester_->attest(record));
    co_return digest;
  }
  template <class Body>
  void run(Body body) {
    runtime_.run(body());
  }

  std::filesystem::path dir_ = std::filesystem::temp_directory_path() / ("mainstay-policy-" + base::random_hex(6));
  async::Runtime runtime_{2};
  base::Config config_;
  base::Metrics metrics_;
  base::FakeClock clock_{std::chrono::system_clock::now()};
  crypto::Authority authority_ = crypto::Authority::create("Test CA", clock_);
  api::Type pod_type_;
  std::shared_ptr<MemoryImages> images_ = std::make_shared<MemoryImages>();
  std::shared_ptr<LocalAttester> attester_;
  std::shared_ptr<ImagePolicy> policy_;
  std::map<std::string, json::object> namespaces_{
      {"shop", {{"mainstay.dev/team", "shop"}}},
      {"shop-dev", {{"mainstay.dev/team", "shop"}, {"mainstay.dev/environment", "dev"}}},
      {"kube-system", {}}};
  const std::string registry_ = "127.0.0.1:6443/";
};

TEST_F(ImagePolicyTest, AdmitsWhatThePipelineMadeAndNamesItByDigest) {
  run([this]() -> async::Task<> {
    const auto digest = co_await build("shop", "shop/web", "v1");
    auto object = pod(registry_ + "shop/web:v1");
    EXPECT_EQ(co_await admit("shop-dev", object), "");
    EXPECT_EQ(image_of(object), registry_ + "shop/web@" + digest);
    const int before = images_->asked;
    EXPECT_EQ(co_await admit_image("shop-dev", registry_ + "shop/web@" + digest), "");
    EXPECT_EQ(images_->asked, before);  // remembered
  });
}

TEST_F(ImagePolicyTest, SaysWhichImageWhatIsMissingAndWhatToDo) {
  run([this]() -> async::Task<> {
    co_await build("shop", "shop/web", "bare", false);
    const auto why = co_await admit_image("shop-dev", registry_ + "shop/web:bare");
    EXPECT_THAT(why, HasSubstr("shop/web@sha256:"));
    EXPECT_THAT(why, HasSubstr("container \"web\""));
    EXPECT_THAT(why, HasSubstr("no signed provenance"));
    EXPECT_THAT(why, HasSubstr("push the source to a repository of team shop"));
  });
}

TEST_F(ImagePolicyTest, RefusesEverythingElseInAnEnvironment) {
  run([this]() -> async::Task<> {
    EXPECT_THAT(co_await admit_image("shop-dev", "nginx"), HasSubstr("not kept in this platform's registry"));
    EXPECT_THAT(co_await admit_image("shop-dev", "docker.io/library/nginx:1"),
                HasSubstr("not kept in this platform's registry"));
    EXPECT_THAT(co_await admit_image("shop-dev", "mainstay.dev/runner"),
                HasSubstr("not kept in this platform's registry"));
    EXPECT_THAT(co_await admit_image("shop-dev", registry_ + "shop/nothing:v1"), HasSubstr("does not have it"));
    EXPECT_THAT(co_await admit_image("shop-dev", registry_ + "library/debian:12"),
                HasSubstr("not an image of team shop"));
    EXPECT_THAT(co_await admit_image("shop-dev", registry_ + "shopper/web:v1"), HasSubstr("not an image of team shop"));
    EXPECT_THAT(co_await admit_image("shop-dev", "NOT AN IMAGE"), HasSubstr("malformed"));
    EXPECT_THAT(co_await admit_image("shop-dev", ""), HasSubstr("it is empty"));
    auto init = pod("nginx", "initContainers");
    EXPECT_THAT(co_await admit("shop-dev", init), HasSubstr("not kept"));
    auto debug = pod("nginx", "ephemeralContainers");
    EXPECT_THAT(co_await admit("shop-dev", debug), HasSubstr("not kept"));
  });
}

TEST_F(ImagePolicyTest, ProvenanceOfAnotherTeamDoesNotCount) {
  run([this]() -> async::Task<> {
    // Another team's valid attestation, of the same digest, attached to shop's repository.
    const auto theirs = co_await build("evil", "evil/web", "v1");
    std::string content;
    for (const auto& [digest, item] : images_->attached)
      if (item.type == kBundleType) content = item.content;
    images_->images["shop/web@" + theirs] = {};
    co_await images_->attach("shop/web", theirs, std::string(kBundleType), "", content, {});
    EXPECT_THAT(co_await admit_image("shop-dev", registry_ + "shop/web@" + theirs),
                HasSubstr("repository of team evil"));
    // Garbage beside it does not help, nor does it hurt where there is the real one.
    const auto digest = co_await build("shop", "shop/web", "v2");
    co_await images_->attach("shop/web", digest, std::string(kBundleType), "", "garbage", {});
    EXPECT_EQ(co_await admit_image("shop-dev", registry_ + "shop/web:v2"), "");
  });
}

TEST_F(ImagePolicyTest, ATeamsOwnNamespaceRunsItsOwnAndTheRunner) {
  run([this]() -> async::Task<> {
    EXPECT_EQ(co_await admit_image("shop", "mainstay.dev/runner"), "");
    EXPECT_EQ(co_await admit_image("shop", registry_ + "library/debian:12"), "");
    EXPECT_EQ(co_await admit_image("shop", registry_ + "docker.io/library/node:20"), "");
    EXPECT_EQ(co_await admit_image("shop", registry_ + "shop/tools:v1"), "");
    EXPECT_THAT(co_await admit_image("shop", registry_ + "other/secret:v1"), HasSubstr("belongs to team other"));
    EXPECT_THAT(co_await admit_image("shop", "docker.io/library/node:20"), HasSubstr("not kept"));
    EXPECT_EQ(co_await admit_image("kube-system", "anything"), "");
  });
}

TEST_F(ImagePolicyTest, UpdatesAreCheckedWhereTheImageChanges) {
  run([this]() -> async::Task<> {
    const auto old = pod("nginx:1");
    auto same = pod("nginx:1");
    EXPECT_EQ(co_await admit("shop-dev", same, &old), "");
    auto changed = pod("nginx:2");
    EXPECT_THAT(co_await admit("shop-dev", changed, &old), HasSubstr("not kept"));
  });
}

TEST_F(ImagePolicyTest, ConcernsPodsOnly) {
  api::Type other;
  other.kind = "Deployment";
  auto object = pod("x");
  EXPECT_FALSE(ImagePolicy::concerns({api::Operation::kCreate, &other, "", "shop-dev", "x", {}, &object, nullptr}));
  EXPECT_FALSE(
      ImagePolicy::concerns({api::Operation::kUpdate, &pod_type_, "status", "shop-dev", "x", {}, &object, &object}));
  EXPECT_FALSE(ImagePolicy::concerns({api::Operation::kDelete, &pod_type_, "", "shop-dev", "x", {}, nullptr, &object}));
  EXPECT_TRUE(ImagePolicy::concerns(
      {api::Operation::kUpdate, &pod_type_, "ephemeralcontainers", "shop-dev", "x", {}, &object, &object}));
}

}  // namespace
}  // namespace mainstay::provenance
