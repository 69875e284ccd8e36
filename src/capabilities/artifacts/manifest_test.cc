#include "capabilities/artifacts/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "capabilities/artifacts/protocol.h"

namespace mainstay::artifacts {
namespace {

const std::string kA = "sha256:" + std::string(64, 'a'), kB = "sha256:" + std::string(64, 'b');
const std::string kOci(media_type::kOciManifest), kIndex(media_type::kOciIndex);

std::string descriptor(const std::string& digest, const std::string& more = "") {
  return R"({"mediaType":"x/y","size":3,"digest":")" + digest + "\"" + more + "}";
}
std::string manifest(const std::string& more = "") {
  return R"({"schemaVersion":2,"config":)" + descriptor(kA) + R"(,"layers":[)" + descriptor(kB) + "]" + more + "}";
}

TEST(Manifest, OfAnImage) {
  const auto parsed = parse_manifest(manifest(), kOci);
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_FALSE(parsed->index);
  EXPECT_EQ(parsed->config->digest, kA);
  ASSERT_EQ(parsed->layers.size(), 1u);
  EXPECT_EQ(parsed->layers[0].size, 3u);
  EXPECT_EQ(parsed->artifact_type, "x/y");  // the config's, where it has none of its own
}

TEST(Manifest, OfAnArtifactWithASubject) {
  const auto parsed = parse_manifest(manifest(R"(,"artifactType":"application/spdx+json","subject":)" + descriptor(kB) +
                                              R"(,"annotations":{"a":"b"})"),
                                     kOci);
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->artifact_type, "application/spdx+json");
  EXPECT_EQ(parsed->subject->digest, kB);
  EXPECT_EQ(parsed->annotations.size(), 1u);
}

TEST(Manifest, TakesItsTypeFromTheBodyWhereTheHeaderSaysNothing) {
  const std::string body = manifest(R"(,"mediaType":")" + std::string(media_type::kDockerManifest) + "\"");
  for (const char* header : {"", "application/json", "application/octet-stream; charset=x"}) {
    const auto parsed = parse_manifest(body, header);
    ASSERT_TRUE(parsed) << header;
    EXPECT_EQ(parsed->media_type, media_type::kDockerManifest);
  }
  EXPECT_FALSE(parse_manifest(manifest(), ""));
  EXPECT_FALSE(parse_manifest(body, kOci));  // they contradict each other
}

TEST(Manifest, ErrorsNameTheField) {
  const auto error = [](const std::string& body, const std::string& type = kOci) {
    const auto parsed = parse_manifest(body, type);
    return parsed ? std::string("none") : parsed.error().message;
  };
  EXPECT_THAT(error("[]"), testing::HasSubstr("manifest"));
  EXPECT_NE(error("{").find(""), std::string::npos);
  EXPECT_EQ(error(R"({"schemaVersion":1})"), "schemaVersion: must be 2");
  EXPECT_EQ(error(R"({"schemaVersion":2})"), "config: is missing");
  EXPECT_EQ(error(R"({"schemaVersion":2,"config":)" + descriptor(kA) + "}"), "layers: is missing");
  EXPECT_EQ(error(R"({"schemaVersion":2,"config":{},"layers":[]})"), "config.mediaType: is missing");
  const auto bad_digest =
      error(R"({"schemaVersion":2,"config":)" + descriptor("sha256:../../etc/passwd") + R"(,"layers":[]})");
  EXPECT_EQ(bad_digest, "config.digest: must be sha256: and 64 lower-case hex digits");
  const auto bad_size =
      error(R"({"schemaVersion":2,"config":{"mediaType":"x/y","digest":")" + kA + R"(","size":-1},"layers":[]})");
  EXPECT_EQ(bad_size, "config.size: must be a whole number of bytes");
  EXPECT_THAT(error(manifest(), "text/html"), testing::HasSubstr("is not taken"));
}

TEST(Manifest, IsOneThingOnly) {
  EXPECT_FALSE(parse_manifest(manifest(R"(,"manifests":[])"), kOci));
  EXPECT_FALSE(parse_manifest(R"({"schemaVersion":2,"manifests":[],"layers":[]})", kIndex));
}

TEST(Manifest, IsBounded) {
  std::string layers;
  for (int i = 0; i < 1001; ++i) layers += (i > 0 ? "," : "") + descriptor(kB);
  EXPECT_FALSE(
      parse_manifest(R"({"schemaVersion":2,"config":)" + descriptor(kA) + R"(,"layers":[)" + layers + "]}", kOci));
  EXPECT_FALSE(parse_manifest(manifest(",\"x\":" + std::string(100, '[') + std::string(100, ']')), kOci));
}

TEST(Manifest, AnIndexOffersWhatThisMachineRuns) {
  const std::string here(machine_architecture());
  const auto index = [](const std::string& entries) {
    return parse_manifest(R"({"schemaVersion":2,"manifests":[)" + entries + "]}", kIndex).value();
  };
  const auto platform = [](const std::string& os, const std::string& architecture) {
    return R"(,"platform":{"os":")" + os + R"(","architecture":")" + architecture + "\"}";
  };
  const auto several =
      index(descriptor(kA, platform("linux", "s390x")) + "," + descriptor(kB, platform("linux", here)));
  ASSERT_NE(for_this_machine(several), nullptr);
  EXPECT_EQ(for_this_machine(several)->digest, kB);
  EXPECT_EQ(for_this_machine(index(descriptor(kA, platform("windows", here)))), nullptr);
  EXPECT_NE(for_this_machine(index(descriptor(kA))), nullptr);
}

TEST(Manifest, ForeignLayersAreKnownAsSuch) {
  const auto parsed = parse_manifest(R"({"schemaVersion":2,"config":)" + descriptor(kA) + R"(,"layers":[)" +
                                         descriptor(kB, R"(,"urls":["https://example.com/l"])") + "]}",
                                     kOci);
  ASSERT_TRUE(parsed);
  EXPECT_TRUE(parsed->layers[0].foreign);
}

}  // namespace
}  // namespace mainstay::artifacts
