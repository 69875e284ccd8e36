#include "capabilities/compute/volume/files.h"

#include <gtest/gtest.h>

#include "base/ids.h"
#include "capabilities/compute/fs.h"

namespace mainstay::compute {
namespace {
namespace fs = std::filesystem;

EnvironmentSources sources(const json::value& pod) {
  EnvironmentSources out;
  out.pod = &pod;
  out.config_map = [](std::string_view name) {
    return name == "cm" ? std::make_shared<const json::value>(
                              *base::parse_json(R"({"data":{"a":"1","b":"2"},"binaryData":{"c":"AAE="}})"))
                        : nullptr;
  };
  out.secret = [](std::string_view name) {
    return name == "s" ? std::make_shared<const json::value>(*base::parse_json(R"({"data":{"pw":"aHVudGVy"}})"))
                       : nullptr;
  };
  return out;
}

base::Result<std::optional<std::vector<VolumeFile>>> files(std::string_view volume, const Tokens& tokens = {}) {
  static const json::value pod =
      *base::parse_json(R"({"metadata":{"name":"web","namespace":"shop","labels":{"a":"b"}}})");
  return volume_files(*base::parse_json(volume), sources(pod), tokens, "CA");
}

TEST(VolumeFiles, ConfigMapsAndSecrets) {
  auto out = files(R"({"configMap":{"name":"cm"}})");
  ASSERT_TRUE(out && *out);
  EXPECT_EQ((*out)->size(), 3u);
  out = files(R"({"configMap":{"name":"cm","items":[{"key":"a","path":"dir/x","mode":256}]}})");
  ASSERT_EQ((*out)->size(), 1u);
  EXPECT_EQ((**out)[0].path, "dir/x");
  EXPECT_EQ((**out)[0].mode, 0400u);
  out = files(R"({"secret":{"secretName":"s","defaultMode":384}})");
  EXPECT_EQ((**out)[0].content, "hunter");
  EXPECT_EQ((**out)[0].mode, 0600u);
}

TEST(VolumeFiles, MissingIsAnErrorUnlessOptional) {
  EXPECT_EQ(files(R"({"configMap":{"name":"none"}})").error().code, base::ErrorCode::kNotFound);
  EXPECT_TRUE((*files(R"({"configMap":{"name":"none","optional":true}})"))->empty());
  EXPECT_EQ(files(R"({"secret":{"secretName":"s","items":[{"key":"x","path":"x"}]}})").error().code,
            base::ErrorCode::kNotFound);
}

TEST(VolumeFiles, PathsStayInside) {
  for (const char* path : {"../x", "/x", "a/../b", "..data", "", "a//b"}) {
    EXPECT_FALSE(files(fmt::format(R"({{"configMap":{{"name":"cm","items":[{{"key":"a","path":"{}"}}]}}}})", path)))
        << path;
  }
}

TEST(VolumeFiles, TheDefaultTokenVolume) {
  const json::value volume = default_token_volume();
  const auto wishes = tokens_wanted(volume);
  ASSERT_EQ(wishes.size(), 1u);
  EXPECT_EQ(wishes[0], (TokenWish{"", kTokenLifetime}));
  EXPECT_FALSE(files(base::to_json(volume)));
  const auto out = files(base::to_json(volume), {{wishes[0], "tok"}});
  ASSERT_TRUE(out && *out) << out.error().message;
  std::map<std::string, std::string> by_name;
  for (const VolumeFile& f : **out) by_name[f.path] = f.content;
  EXPECT_EQ(by_name, (std::map<std::string, std::string>{{"token", "tok"}, {"ca.crt", "CA"}, {"namespace", "shop"}}));
}

TEST(VolumeFiles, OtherKindsAreNotFiles) { EXPECT_FALSE(files(R"({"emptyDir":{}})")->has_value()); }

TEST(WriteFiles, SwapsAllAtOnce) {
  const fs::path dir = fs::temp_directory_path() / ("mainstay-volume-" + base::random_hex(6));
  ASSERT_TRUE(write_files(dir, {{"a", "1"}, {"sub/b", "2"}}, 0, std::nullopt));
  EXPECT_EQ(slurp(dir / "a"), "1");
  EXPECT_EQ(slurp(dir / "sub/b"), "2");
  const auto generation = fs::read_symlink(dir / "..data");
  ASSERT_TRUE(write_files(dir, {{"a", "1"}, {"sub/b", "2"}}, 0, std::nullopt));
  EXPECT_EQ(fs::read_symlink(dir / "..data"), generation) << "the same again is left alone";
  ASSERT_TRUE(write_files(dir, {{"a", "3"}}, 0, std::nullopt));
  EXPECT_EQ(slurp(dir / "a"), "3");
  EXPECT_FALSE(fs::exists(fs::symlink_status(dir / "sub")));
  EXPECT_FALSE(fs::exists(dir / generation));
  fs::remove_all(dir);
}

}  // namespace
}  // namespace mainstay::compute
