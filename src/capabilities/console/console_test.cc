#include <gtest/gtest.h>
#include <zlib.h>

#include "capabilities/console/assets.h"
#include "capabilities/console/stream.h"

namespace mainstay::console {
namespace {

std::string gzip(std::string_view text) {
  std::string out(text.size() + 64, '\0');
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}

class Assets : public testing::Test {
 protected:
  std::string page_ = gzip("<!doctype html>"), script_ = gzip("let x = 1");
  std::vector<Asset> assets_{{"assets/a-12345678.js", "text/javascript", "\"s\"", script_, 9, true},
                             {"index.html", "text/html; charset=utf-8", "\"p\"", page_, 15, false}};
  net::Response get(std::string_view path, net::Headers headers = {}) { return serve_asset(assets_, path, headers); }
  static std::string body(const net::Response& response) { return std::get<std::string>(response.body); }
};

TEST_F(Assets, CarryTheHeadersThatKeepThemSafeAndFresh) {
  const net::Response page = get("");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.headers.get("Cache-Control"), "no-cache");
  const std::string policy(page.headers.get("Content-Security-Policy"));
  EXPECT_TRUE(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'")) << policy;
  EXPECT_FALSE(policy.contains("unsafe")) << policy;
  EXPECT_EQ(page.headers.get("X-Content-Type-Options"), "nosniff");
  EXPECT_TRUE(get("assets/a-12345678.js").headers.get("Cache-Control").contains("immutable"));
}

TEST_F(Assets, AreUnpackedForClientsWithoutGzip) {
  EXPECT_EQ(body(get("assets/a-12345678.js")), "let x = 1");
  for (const auto& [accepts, packed] : std::vector<std::pair<std::string, bool>>{
           {"gzip, br", true}, {"br;q=1, GZIP;q=0.5", true}, {"*", true}, {"gzip;q=0", false}, {"br", false}}) {
    net::Headers headers;
    headers.set("Accept-Encoding", accepts);
    const net::Response response = get("assets/a-12345678.js", headers);
    EXPECT_EQ(response.headers.get("Content-Encoding"), packed ? "gzip" : "") << accepts;
    EXPECT_EQ(body(response), packed ? script_ : "let x = 1") << accepts;
  }
}

TEST_F(Assets, AnswerNotModified) {
  net::Headers headers;
  headers.set("If-None-Match", "\"other\", W/\"p\"");
  EXPECT_EQ(get("index.html", headers).status, 304);
  headers.set("If-None-Match", "\"other\"");
  EXPECT_EQ(get("index.html", headers).status, 200);
}

TEST_F(Assets, PathsOfTheApplicationGetThePage) {
  EXPECT_EQ(body(get("teams/shop/repositories/web")), "<!doctype html>");
  EXPECT_EQ(get("assets/gone-12345678.js").status, 404);
  EXPECT_EQ(get("../index.html").headers.get("Content-Type"), "text/html; charset=utf-8");
}

TEST_F(Assets, AMissingConsoleSaysHowToBuildIt) {
  const net::Response response = serve_asset({}, "", {});
  EXPECT_EQ(response.status, 404);
  EXPECT_TRUE(body(response).contains("make build"));
}

TEST(Stream, ReadsItsThreeMessages) {
  EXPECT_EQ(parse_stream_message(R"({"token": "t"})")->token, "t");
  EXPECT_EQ(parse_stream_message(R"({"cancel": 3})")->cancel, 3u);
  const auto get = parse_stream_message(R"({"id": 0, "get": "/api/v1/pods"})");
  ASSERT_TRUE(get);
  EXPECT_EQ(get->id, 0u);
  EXPECT_EQ(get->target, "/api/v1/pods");
  for (const char* bad : {"", "[]", "{}", R"({"id": 1})", R"({"id": -1, "get": "/api/v1"})",
                          R"({"id": 1, "get": "api"})", R"({"get": "/api/v1"})", R"({"a":{"b":{"c":{"d":{"e":1}}}}})"})
    EXPECT_FALSE(parse_stream_message(bad)) << bad;
  EXPECT_FALSE(parse_stream_message(R"({"token": ")" + std::string(20000, 'x') + "\"}"));
}

TEST(Stream, MakesRequestsOfTheApiAlone) {
  const auto request = stream_request("/api/v1/namespaces/a%2Db/pods?watch=true", "secret", "1.2.3.4:5");
  ASSERT_TRUE(request);
  EXPECT_EQ((*request)->path, "/api/v1/namespaces/a-b/pods");
  EXPECT_EQ((*request)->query.get("watch"), "true");
  EXPECT_EQ((*request)->headers.get("Authorization"), "Bearer secret");
  EXPECT_EQ((*request)->method, "GET");
  EXPECT_EQ((*request)->peer, "1.2.3.4:5");
  EXPECT_TRUE(stream_request("/loki/api/v1/tail?query=%7Bsource%3D%22audit%22%7D", "t", ""));
  for (const char* bad : {"/console/stream", "/loki/api/v1/tail/x", "/git/shop/web/info/refs", "/api/../metrics",
                          "/api//v1", "/api/%2e%2e/x", "/api/v1/%", "/apiserver", "/api/v1/a/.."})
    EXPECT_FALSE(stream_request(bad, "t", "")) << bad;
}

}  // namespace
}  // namespace mainstay::console
