#include "capabilities/artifacts/upstream.h"

#include <gmock/gmock.h>

#include "capabilities/artifacts/test_world.h"
#include "net/server.h"

namespace mainstay::artifacts {
namespace {

TEST(Challenge, AsRegistriesWriteIt) {
  const auto challenge = parse_challenge(
      R"(Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/debian:pull,push")");
  ASSERT_TRUE(challenge);
  EXPECT_EQ(challenge->realm, "https://auth.docker.io/token");
  EXPECT_EQ(challenge->service, "registry.docker.io");
  EXPECT_EQ(challenge->scope, "repository:library/debian:pull,push");
  for (const char* bad :
       {"", "Basic realm=\"x\"", "Bearer", "Bearer realm=x", "Bearer realm=\"", "Bearer service=\"x\""}) {
    EXPECT_FALSE(parse_challenge(bad)) << bad;
  }
}

TEST(Url, OnlyHttpsButForThisMachine) {
  EXPECT_EQ(Url::parse("https://auth.docker.io/token?a=b")->target, "/token?a=b");
  EXPECT_EQ(Url::parse("https://ghcr.io")->origin, "https://ghcr.io");
  EXPECT_EQ(Url::parse("https://ghcr.io")->target, "/");
  EXPECT_TRUE(Url::parse("http://127.0.0.1:5000")->loopback);
  for (const char* bad :
       {"http://registry.example/", "ftp://x/", "file:///etc/passwd", "//x", "http://10.0.0.1/", "nonsense"}) {
    EXPECT_FALSE(Url::parse(bad)) << bad;
  }
}

using UpstreamTest = RegistryTest;

// A registry that wants a token, in a few lines.
struct Far {
  std::map<std::string, std::string> content;  // path to body
  std::string type = std::string(media_type::kOciManifest);
  int manifests = 0, blobs = 0, tokens = 0;
  std::string origin;
  bool down = false;

  static async::Task<net::Response> serve(Far* self, std::shared_ptr<net::Request> request) {
    if (self->down) co_return net::Response::text(500, "down");
    if (request->path == "/token") {
      ++self->tokens;
      co_return net::Response::text(200, R"({"token":"let-me-in","expires_in":300})");
    }
    if (request->headers.get("Authorization") != "Bearer let-me-in") {
      auto refused = net::Response::text(401, "");
      refused.headers.set("WWW-Authenticate", fmt::format(R"(Bearer realm="{}/token",service="far")", self->origin));
      co_return refused;
    }
    const auto at = self->content.find(request->path);
    if (at == self->content.end()) co_return net::Response::text(404, "");
    const bool manifest = request->path.find("/manifests/") != std::string::npos;
    ++(manifest ? self->manifests : self->blobs);
    auto response = net::Response::text(200, at->second);
    response.headers.set("Content-Type", manifest ? self->type : "application/octet-stream");
    co_return response;
  }
};

TEST_F(UpstreamTest, FetchesOnceAndKeeps) {
  Far far;
  const std::string config = R"({"os":"linux"})", layer = "far layer";
  const auto manifest = World::image_manifest(digest_of(config), config.size(), digest_of(layer), layer.size());
  for (const auto& reference : {std::string("12"), digest_of(manifest)})
    far.content["/v2/library/debian/manifests/" + reference] = manifest;
  far.content["/v2/library/debian/blobs/" + digest_of(config)] = config;
  far.content["/v2/library/debian/blobs/" + digest_of(layer)] = layer;
  net::Server server(runtime_,
                     [&far](std::shared_ptr<net::Request> request) { return Far::serve(&far, std::move(request)); });
  const auto address = server.listen({"127.0.0.1", 0}, std::nullopt);
  ASSERT_TRUE(address) << address.error().message;
  far.origin = "http://" + address->to_string();
  run([&](World& world) -> async::Task<> {
    world.upstream_urls["far.example"] = far.origin;
    auto got = co_await world.call("GET", "/v2/far.example/library/debian/manifests/12");
    EXPECT_EQ(got.status, 200) << got.body;
    EXPECT_EQ(got.body, manifest);
    got = co_await world.call("GET", "/v2/far.example/library/debian/blobs/" + digest_of(layer));
    EXPECT_EQ(got.body, layer);
    EXPECT_EQ(far.blobs, 1);
    const auto image =
        co_await world.images().image(platform::ImageReference::parse("far.example/library/debian:12").value());
    EXPECT_TRUE(image) << image.error().message;
    EXPECT_EQ(far.manifests, 1);
    EXPECT_EQ(far.blobs, 2);
    EXPECT_EQ(far.tokens, 1);
    // Blobs that no manifest here names are not fetched.
    got = co_await world.call("GET", "/v2/far.example/library/debian/blobs/" + digest_of("other"));
    EXPECT_EQ(got.status, 404);
    // Away: what is here stays in use, what is not says so.
    world.clock().advance(std::chrono::hours(1));
    far.down = true;
    got = co_await world.call("GET", "/v2/far.example/library/debian/manifests/12");
    EXPECT_EQ(got.status, 200);
    got = co_await world.call("GET", "/v2/far.example/library/other/manifests/12");
    EXPECT_EQ(got.status, 424);
    EXPECT_THAT(got.body, testing::HasSubstr("far.example"));
    // Nobody asks for a month: it goes.
    world.clock().advance(std::chrono::hours(24 * 31));
    co_await world.collector().collect();
    EXPECT_EQ(world.index().find("far.example/library/debian"), nullptr);
    EXPECT_FALSE(world.blobs().size(digest_of(layer)));
    co_await server.stop(std::chrono::milliseconds(100));
  });
}

TEST_F(UpstreamTest, LiesAboutContentAreFound) {
  Far far;
  const std::string config = R"({"os":"linux"})", layer = "far layer";
  const auto manifest = World::image_manifest(digest_of(config), config.size(), digest_of(layer), layer.size());
  far.content["/v2/a/b/manifests/1"] = manifest;
  far.content["/v2/a/b/manifests/" + digest_of("x")] = manifest;
  far.content["/v2/a/b/blobs/" + digest_of(layer)] = "something else";
  net::Server server(runtime_,
                     [&far](std::shared_ptr<net::Request> request) { return Far::serve(&far, std::move(request)); });
  const auto address = server.listen({"127.0.0.1", 0}, std::nullopt);
  ASSERT_TRUE(address);
  far.origin = "http://" + address->to_string();
  run([&](World& world) -> async::Task<> {
    world.upstream_urls["far.example"] = far.origin;
    auto got = co_await world.call("GET", "/v2/far.example/a/b/manifests/" + digest_of("x"));
    EXPECT_EQ(got.error(), "DIGEST_INVALID");
    got = co_await world.call("GET", "/v2/far.example/a/b/manifests/1");
    EXPECT_EQ(got.status, 200);
    got = co_await world.call("GET", "/v2/far.example/a/b/blobs/" + digest_of(layer));
    EXPECT_EQ(got.error(), "DIGEST_INVALID");
    EXPECT_FALSE(world.blobs().size(digest_of("something else")));
    EXPECT_EQ(world.uploads().open_count(), 0u);
    got = co_await world.call("GET", "/v2/unknown.example/a/b/manifests/1");
    EXPECT_EQ(got.status, 404);
    co_await server.stop(std::chrono::milliseconds(100));
  });
}

}  // namespace
}  // namespace mainstay::artifacts
