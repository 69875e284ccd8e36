#include "capabilities/artifacts/routes.h"

#include <gmock/gmock.h>

#include "base/status.h"
#include "capabilities/artifacts/test_world.h"

namespace mainstay::artifacts {
namespace {

using RoutesTest = RegistryTest;
const std::string kOci(media_type::kOciManifest), kIndexType(media_type::kOciIndex);
const std::string kNowhere = "sha256:" + std::string(64, '0');

// A body that breaks off after `text`, as a lost connection does.
class BrokenBody final : public net::BodyReader {
 public:
  explicit BrokenBody(std::string text) : text_(std::move(text)) {}
  async::Task<std::size_t> read(std::span<char> buffer) override {
    if (text_.empty()) throw base::bad_request("the client went away");
    const auto n = std::min(buffer.size(), text_.size());
    std::copy_n(text_.begin(), n, buffer.begin());
    text_.erase(0, n);
    co_return n;
  }

 private:
  std::string text_;
};

TEST_F(RoutesTest, PushAndPull) {
  run([](World& world) -> async::Task<> {
    const auto digest = co_await world.push_image("demo/hello", "v1", "layer bytes");
    const auto by_tag = co_await world.call("GET", "/v2/demo/hello/manifests/v1");
    EXPECT_EQ(by_tag.status, 200);
    EXPECT_EQ(by_tag.header("Docker-Content-Digest"), digest);
    EXPECT_EQ(by_tag.header("Content-Type"), kOci);
    EXPECT_EQ(digest_of(by_tag.body), digest);
    const auto by_digest = co_await world.call("HEAD", "/v2/demo/hello/manifests/" + digest);
    EXPECT_EQ(by_digest.status, 200);
    const auto blob = co_await world.call("GET", "/v2/demo/hello/blobs/" + digest_of("layer bytes"));
    EXPECT_EQ(blob.body, "layer bytes");
    EXPECT_EQ(blob.header("Docker-Content-Digest"), digest_of("layer bytes"));
    const auto part =
        co_await world.call("GET", "/v2/demo/hello/blobs/" + digest_of("layer bytes"), "", {{"Range", "bytes=6-"}});
    EXPECT_EQ(part.status, 206);
    EXPECT_EQ(part.body, "bytes");
    EXPECT_EQ(part.header("Content-Range"), "bytes 6-10/11");
    const auto outside =
        co_await world.call("GET", "/v2/demo/hello/blobs/" + digest_of("layer bytes"), "", {{"Range", "bytes=11-"}});
    EXPECT_EQ(outside.status, 416);
    const auto same =
        co_await world.call("GET", "/v2/demo/hello/manifests/v1", "", {{"If-None-Match", '"' + digest + '"'}});
    EXPECT_EQ(same.status, 304);
  });
}

TEST_F(RoutesTest, UploadsInChunks) {
  run([](World& world) -> async::Task<> {
    const auto begun = co_await world.call("POST", "/v2/demo/hello/blobs/uploads/");
    EXPECT_EQ(begun.status, 202);
    const auto at = begun.header("Location");
    auto patched = co_await world.call("PATCH", at, "0123456789", {{"Content-Range", "0-9"}});
    EXPECT_EQ(patched.status, 202);
    EXPECT_EQ(patched.header("Range"), "0-9");
    const auto gap = co_await world.call("PATCH", at, "xxxx", {{"Content-Range", "20-23"}});
    EXPECT_EQ(gap.status, 416);
    EXPECT_EQ(gap.header("Range"), "0-9");
    const auto short_body = co_await world.call("PATCH", at, "x", {{"Content-Range", "10-14"}});
    EXPECT_EQ(short_body.status, 400);
    const auto state = co_await world.call("GET", at);
    EXPECT_EQ(state.status, 204);
    EXPECT_EQ(state.header("Range"), "0-9");
    patched = co_await world.call("PATCH", at, "abc");  // without a range: at the end
    EXPECT_EQ(patched.header("Range"), "0-12");
    const auto digest = digest_of("0123456789abcdef");
    const auto done = co_await world.call("PUT", at + "?digest=" + digest, "def", {{"Content-Range", "13-15"}});
    EXPECT_EQ(done.status, 201) << done.body;
    EXPECT_EQ(done.header("Docker-Content-Digest"), digest);
    const auto again = co_await world.call("PUT", at + "?digest=" + digest);
    EXPECT_EQ(again.error(), "BLOB_UPLOAD_UNKNOWN");
    const auto blob = co_await world.call("GET", done.header("Location"));
    EXPECT_EQ(blob.body, "0123456789abcdef");
  });
}

TEST_F(RoutesTest, ResumesAfterARestart) {
  run([](World& world) -> async::Task<> {
    const std::string content(3 << 20, 'z');
    const auto begun = co_await world.call("POST", "/v2/demo/hello/blobs/uploads/");
    const auto at = begun.header("Location");
    const auto patched = co_await world.call("PATCH", at, content);
    EXPECT_EQ(patched.status, 202);
    co_await world.close();
    world.open();
    const auto state = co_await world.call("GET", at);
    EXPECT_EQ(state.status, 204);
    EXPECT_EQ(state.header("Range"), fmt::format("0-{}", content.size() - 1));
    const auto done = co_await world.call("PUT", at + "?digest=" + digest_of(content + "tail"), "tail");
    EXPECT_EQ(done.status, 201) << done.body;
    const auto blob = co_await world.call("HEAD", done.header("Location"));
    EXPECT_EQ(blob.status, 200);
    EXPECT_EQ(world.uploads().open_count(), 0u);
  });
}

TEST_F(RoutesTest, WhatArrivedBeforeAConnectionBrokeStays) {
  run([](World& world) -> async::Task<> {
    const auto begun = co_await world.call("POST", "/v2/demo/hello/blobs/uploads/");
    const auto at = begun.header("Location");
    const std::string content(2 << 20, 'y');
    auto body = std::make_shared<BrokenBody>(content);
    const auto broken = co_await world.send("PATCH", at, body, {});
    EXPECT_EQ(broken.status, 400);
    Answer state;
    for (int i = 0; i < 100; ++i) {  // the appends under way end first
      state = co_await world.call("GET", at);
      if (state.status == 204) break;
      co_await async::sleep_for(std::chrono::milliseconds(5));
    }
    EXPECT_EQ(state.status, 204);
    const auto range = state.header("Range");
    const auto have = std::stoull(range.substr(2)) + 1;
    EXPECT_LE(have, content.size());
    EXPECT_GE(have, std::size_t{512 * 1024});
    const auto done = co_await world.call("PUT", at + "?digest=" + digest_of(content), content.substr(have));
    EXPECT_EQ(done.status, 201) << done.body;
  });
}

TEST_F(RoutesTest, LargeBodiesArriveWhole) {
  run([](World& world) -> async::Task<> {
    std::string content(9 << 20, '\0');
    for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 2654435761u >> 24);
    const auto digest = co_await world.push_blob("demo/big", content);
    const auto blob = co_await world.call("GET", "/v2/demo/big/blobs/" + digest);
    EXPECT_TRUE(blob.body == content);
    EXPECT_TRUE(world.index().doubts().empty());
  });
}

TEST_F(RoutesTest, WrongDigestsAreRefused) {
  run([](World& world) -> async::Task<> {
    const auto wrong =
        co_await world.call("POST", "/v2/demo/hello/blobs/uploads/?digest=" + digest_of("other"), "content");
    EXPECT_EQ(wrong.status, 400);
    EXPECT_EQ(wrong.error(), "DIGEST_INVALID");
    EXPECT_EQ(world.uploads().open_count(), 0u);
    const auto blob = co_await world.call("HEAD", "/v2/demo/hello/blobs/" + digest_of("other"));
    EXPECT_EQ(blob.status, 404);
    for (const char* bad : {"sha256:zz", "md5:abc", "", "sha512:00", "sha256:../../../../etc/passwd"}) {
      const auto refused = co_await world.call("POST", std::string("/v2/demo/hello/blobs/uploads/?digest=") + bad, "x");
      EXPECT_EQ(refused.error(), "DIGEST_INVALID") << bad;
    }
    const auto digest = co_await world.push_image("demo/hello", "v1", "layer");
    const auto manifest = co_await world.call("GET", "/v2/demo/hello/manifests/v1");
    const auto put =
        co_await world.call("PUT", "/v2/demo/hello/manifests/" + kNowhere, manifest.body, {{"Content-Type", kOci}});
    EXPECT_EQ(put.error(), "DIGEST_INVALID");
  });
}

TEST_F(RoutesTest, ManifestsNeedTheirBlobs) {
  run([](World& world) -> async::Task<> {
    const auto config = co_await world.push_blob("demo/hello", "{}");
    const auto missing = World::image_manifest(config, 2, kNowhere, 1);
    auto put = co_await world.call("PUT", "/v2/demo/hello/manifests/v1", missing, {{"Content-Type", kOci}});
    EXPECT_EQ(put.error(), "MANIFEST_BLOB_UNKNOWN");
    const auto wrong_size = World::image_manifest(config, 2, config, 3);
    put = co_await world.call("PUT", "/v2/demo/hello/manifests/v1", wrong_size, {{"Content-Type", kOci}});
    EXPECT_EQ(put.error(), "MANIFEST_BLOB_UNKNOWN");
    const auto index = fmt::format(R"({{"schemaVersion":2,"manifests":[{{"mediaType":"{}","digest":"{}","size":3}}]}})",
                                   kOci, kNowhere);
    put = co_await world.call("PUT", "/v2/demo/hello/manifests/v1", index, {{"Content-Type", kIndexType}});
    EXPECT_EQ(put.error(), "MANIFEST_BLOB_UNKNOWN");
    put =
        co_await world.call("PUT", "/v2/demo/hello/manifests/v1", std::string(5 << 20, ' '), {{"Content-Type", kOci}});
    EXPECT_EQ(put.status, 413);
    put = co_await world.call("PUT", "/v2/demo/hello/manifests/v1", "not json", {{"Content-Type", kOci}});
    EXPECT_EQ(put.error(), "MANIFEST_INVALID");
    const auto tags = co_await world.call("GET", "/v2/demo/hello/tags/list");
    EXPECT_EQ(base::get_array(tags.json(), "tags").size(), 0u);
  });
}

TEST_F(RoutesTest, NamesThatAreNotRepositories) {
  run([](World& world) -> async::Task<> {
    auto answer = co_await world.call("POST", "/v2/hello/blobs/uploads/");
    EXPECT_EQ(answer.error(), "NAME_INVALID");
    answer = co_await world.call("POST", "/v2/nobody/hello/blobs/uploads/");
    EXPECT_EQ(answer.error(), "NAME_UNKNOWN");
    answer = co_await world.call("POST", "/v2/docker.io/library/x/blobs/uploads/");
    EXPECT_EQ(answer.status, 405);
    answer = co_await world.call("GET", "/v2/demo/../shop/manifests/v1");
    EXPECT_EQ(answer.error(), "NAME_INVALID");
    answer = co_await world.call("GET", "/v2/demo/hello/manifests/v1");
    EXPECT_EQ(answer.error(), "NAME_UNKNOWN");
    answer = co_await world.call("GET", "/v2/demo/hello/manifests/.bad");
    EXPECT_EQ(answer.error(), "MANIFEST_UNKNOWN");
    answer = co_await world.call("GET", "/v2/demo/hello/blobs/uploads/../../x");
    EXPECT_EQ(answer.status / 100, 4);
    answer = co_await world.call("PATCH", "/v2/demo/hello/manifests/v1");
    EXPECT_EQ(answer.status, 405);
  });
}

TEST_F(RoutesTest, KnowingADigestIsNotEnough) {
  run([](World& world) -> async::Task<> {
    const auto digest = co_await world.push_blob("shop/secret", "secret layer");
    auto answer = co_await world.call("GET", "/v2/demo/hello/blobs/" + digest);
    EXPECT_EQ(answer.status, 404);
    // ann may not pull from shop: the mount is an ordinary upload.
    answer = co_await world.call("POST", "/v2/demo/hello/blobs/uploads/?mount=" + digest + "&from=shop/secret");
    EXPECT_EQ(answer.status, 202);
    answer = co_await world.call("GET", "/v2/demo/hello/blobs/" + digest);
    EXPECT_EQ(answer.status, 404);
    // Nor does a manifest that names it make it hers.
    const auto manifest = World::image_manifest(digest, 12, digest, 12);
    answer = co_await world.call("PUT", "/v2/demo/hello/manifests/v1", manifest, {{"Content-Type", kOci}});
    EXPECT_EQ(answer.error(), "MANIFEST_BLOB_UNKNOWN");
    world.readable.insert("ann shop");
    answer = co_await world.call("POST", "/v2/demo/hello/blobs/uploads/?mount=" + digest + "&from=shop/secret");
    EXPECT_EQ(answer.status, 201);
    answer = co_await world.call("GET", "/v2/demo/hello/blobs/" + digest);
    EXPECT_EQ(answer.body, "secret layer");
  });
}

TEST_F(RoutesTest, AnUploadIsItsBeginners) {
  run([](World& world) -> async::Task<> {
    const auto begun = co_await world.call("POST", "/v2/demo/hello/blobs/uploads/");
    world.user = "bob";
    const auto other = co_await world.call("PATCH", begun.header("Location"), "x");
    EXPECT_EQ(other.error(), "BLOB_UPLOAD_UNKNOWN");
    world.user = "ann";
    const auto ended = co_await world.call("DELETE", begun.header("Location"));
    EXPECT_EQ(ended.status, 204);
    const auto gone = co_await world.call("GET", begun.header("Location"));
    EXPECT_EQ(gone.error(), "BLOB_UPLOAD_UNKNOWN");
  });
}

TEST_F(RoutesTest, TagsInPages) {
  run([](World& world) -> async::Task<> {
    for (const char* tag : {"v3", "v1", "v2", "latest"}) co_await world.push_image("demo/hello", tag, "layer");
    auto page = co_await world.call("GET", "/v2/demo/hello/tags/list?n=3");
    EXPECT_EQ(base::to_json(base::get_array(page.json(), "tags")), R"(["latest","v1","v2"])");
    EXPECT_EQ(page.header("Link"), R"(</v2/demo/hello/tags/list?n=3&last=v2>; rel="next")");
    page = co_await world.call("GET", "/v2/demo/hello/tags/list?n=3&last=v2");
    EXPECT_EQ(base::to_json(base::get_array(page.json(), "tags")), R"(["v3"])");
    EXPECT_EQ(page.header("Link"), "");
    page = co_await world.call("GET", "/v2/demo/hello/tags/list?n=0");
    EXPECT_EQ(base::get_array(page.json(), "tags").size(), 0u);
    page = co_await world.call("GET", "/v2/demo/hello/tags/list?n=-1");
    EXPECT_EQ(page.status, 400);
    page = co_await world.call("GET", "/v2/_catalog");
    EXPECT_EQ(base::to_json(base::get_array(page.json(), "repositories")), R"(["demo/hello"])");
  });
}

TEST_F(RoutesTest, IndexesAndAccept) {
  run([](World& world) -> async::Task<> {
    const auto digest = co_await world.push_image("demo/hello", "v1", "layer");
    const auto size = (co_await world.call("GET", "/v2/demo/hello/manifests/v1")).body.size();
    const auto index = fmt::format(
        R"({{"schemaVersion":2,"mediaType":"{}","manifests":[{{"mediaType":"{}","digest":"{}","size":{},"platform":{{"os":"linux","architecture":"{}"}}}}]}})",
        kIndexType, kOci, digest, size, machine_architecture());
    const auto put =
        co_await world.call("PUT", "/v2/demo/hello/manifests/multi", index, {{"Content-Type", kIndexType}});
    EXPECT_EQ(put.status, 201) << put.body;
    auto got = co_await world.call("GET", "/v2/demo/hello/manifests/multi", "", {{"Accept", kIndexType}});
    EXPECT_EQ(got.body, index);
    got = co_await world.call("GET", "/v2/demo/hello/manifests/multi", "", {{"Accept", kOci}});
    EXPECT_EQ(got.header("Docker-Content-Digest"), digest);  // the image for this machine
    got = co_await world.call("GET", "/v2/demo/hello/manifests/" + digest_of(index), "", {{"Accept", kOci}});
    EXPECT_EQ(got.error(), "MANIFEST_UNKNOWN");
    const auto child = co_await world.call("DELETE", "/v2/demo/hello/manifests/" + digest);
    EXPECT_EQ(child.status, 409);
    auto image = co_await world.images().image(
        {.registry = "127.0.0.1:6443", .repository = "demo/hello", .tag = "multi", .digest = ""});
    EXPECT_TRUE(image) << image.error().message;
    EXPECT_EQ(image->digest, digest);
    EXPECT_EQ(image->layers.size(), 1u);
  });
}

TEST_F(RoutesTest, Deletes) {
  run([](World& world) -> async::Task<> {
    const auto digest = co_await world.push_image("demo/hello", "v1", "layer one");
    auto blob = co_await world.call("DELETE", "/v2/demo/hello/blobs/" + digest_of("layer one"));
    EXPECT_EQ(blob.status, 409);  // the manifest needs it
    auto tag = co_await world.call("DELETE", "/v2/demo/hello/manifests/v1");
    EXPECT_EQ(tag.status, 202);
    tag = co_await world.call("GET", "/v2/demo/hello/manifests/v1");
    EXPECT_EQ(tag.error(), "MANIFEST_UNKNOWN");
    auto manifest = co_await world.call("DELETE", "/v2/demo/hello/manifests/" + digest);
    EXPECT_EQ(manifest.status, 202);
    manifest = co_await world.call("DELETE", "/v2/demo/hello/manifests/" + digest);
    EXPECT_EQ(manifest.status, 404);
    blob = co_await world.call("DELETE", "/v2/demo/hello/blobs/" + digest_of("layer one"));
    EXPECT_EQ(blob.status, 202);
    EXPECT_FALSE(world.blobs().size(digest_of("layer one")));
    EXPECT_FALSE(world.blobs().size(digest));
    EXPECT_TRUE(world.index().doubts().empty());
  });
}

TEST_F(RoutesTest, Referrers) {
  run([](World& world) -> async::Task<> {
    const auto digest = co_await world.push_image("demo/hello", "v1", "layer");
    auto list = co_await world.call("GET", "/v2/demo/hello/referrers/" + digest);
    EXPECT_EQ(list.status, 200);
    EXPECT_EQ(list.header("Content-Type"), kIndexType);
    EXPECT_EQ(base::get_array(list.json(), "manifests").size(), 0u);
    const auto empty = co_await world.push_blob("demo/hello", "{}");
    const auto more = fmt::format(
        R"(,"artifactType":"application/spdx+json","annotations":{{"k":"v"}},"subject":{{"mediaType":"{}","digest":"{}","size":9}})",
        kOci, digest);
    const auto manifest = World::image_manifest(empty, 2, empty, 2, more);
    const auto put = co_await world.call("PUT", "/v2/demo/hello/manifests/" + digest_of(manifest), manifest,
                                         {{"Content-Type", kOci}});
    EXPECT_EQ(put.header("OCI-Subject"), digest);
    list = co_await world.call("GET", "/v2/demo/hello/referrers/" + digest + "?artifactType=application/spdx%2Bjson");
    EXPECT_EQ(list.header("OCI-Filters-Applied"), "artifactType");
    const auto found = base::get_array(list.json(), "manifests");
    EXPECT_EQ(found.size(), 1u);
    if (found.empty()) co_return;
    EXPECT_EQ(base::get_string(found[0], "digest"), digest_of(manifest));
    EXPECT_EQ(base::get_string(found[0], "artifactType"), "application/spdx+json");
    EXPECT_EQ(base::get_string(found[0], "annotations.k"), "v");
    list = co_await world.call("GET", "/v2/demo/hello/referrers/" + digest + "?artifactType=other");
    EXPECT_EQ(base::get_array(list.json(), "manifests").size(), 0u);
  });
}

TEST_F(RoutesTest, ConcurrentPushesOfTheSameImage) {
  run([](World& world) -> async::Task<> {
    async::TaskGroup group(co_await boost::asio::this_coro::executor, "pushes");
    struct Push {
      static async::Task<> one(World& world, int i) {
        co_await world.push_image("demo/hello", fmt::format("t{}", i), std::string(100'000, 'q'));
      }
    };
    for (int i = 0; i < 8; ++i) group.spawn("push", Push::one(world, i));
    co_await group.join();
    const auto tags = co_await world.call("GET", "/v2/demo/hello/tags/list");
    EXPECT_EQ(base::get_array(tags.json(), "tags").size(), 8u);
    EXPECT_EQ(world.index().find("demo/hello")->manifests.size(), 1u);
  });
}

TEST(Permissions, FollowTheName) {
  const auto ask = [](std::string method, std::string path) {
    api::RequestContext context;
    context.http = std::make_shared<net::Request>();
    context.http->method = std::move(method);
    context.params["path"] = std::move(path);
    const auto what = attributes_of(context);
    return fmt::format("{} {}/{} ns={} name={}", what.verb, what.group, what.resource, what.ns, what.name);
  };
  EXPECT_EQ(ask("GET", "demo/a/b/manifests/v1"), "get mainstay.dev/artifacts ns=demo name=a/b");
  EXPECT_EQ(ask("PUT", "demo/a/manifests/v1"), "update mainstay.dev/artifacts ns=demo name=a");
  EXPECT_EQ(ask("DELETE", "demo/a/manifests/v1"), "delete mainstay.dev/artifacts ns=demo name=a");
  EXPECT_EQ(ask("GET", "demo/a/blobs/uploads/1"), "update mainstay.dev/artifacts ns=demo name=a");
  EXPECT_EQ(ask("DELETE", "demo/a/blobs/uploads/1"), "update mainstay.dev/artifacts ns=demo name=a");
  EXPECT_EQ(ask("GET", "_catalog"), "list mainstay.dev/artifacts ns= name=");
  EXPECT_EQ(ask("GET", "docker.io/library/debian/manifests/12"),
            "get mainstay.dev/artifacts ns=library name=docker.io/library/debian");
  EXPECT_EQ(ask("GET", "../x"), "get mainstay.dev/artifacts ns= name=");
}

}  // namespace
}  // namespace mainstay::artifacts
