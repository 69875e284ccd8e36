#include "net/testing.h"

namespace mainstay::net::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

Task<> echo(WebSocket& socket) {
  while (auto message = co_await socket.read()) co_await socket.write(std::move(*message));
}

Task<Response> upgrades(std::shared_ptr<Request> request) {
  if (request->path == "/forbidden") throw base::forbidden("not yours");
  WebSocketBody body;
  body.subprotocols = {"v5.channel", "v4.channel"};
  body.serve = echo;
  if (request->path == "/fails") {
    body.serve = [](WebSocket&) -> Task<> {
      co_await async::yield();
      throw std::runtime_error("expected in the log of this test");
    };
  }
  Response response{101, {}, std::move(body)};
  response.headers.add("X-Pod", "p1");
  co_return response;
}

using WebSocketTest = Loopback;

TEST_F(WebSocketTest, EchoesBothKindsOverPlainAndTls) {
  serve(upgrades);
  run([this]() -> Task<> {
    for (const bool tls : {false, true}) {
      auto http = client(listen(tls ? std::optional(server_tls()) : std::nullopt), tls);
      auto socket = co_await http->websocket(get("/exec?command=sh"), {"v4.channel", "other"});
      EXPECT_TRUE(socket.has_value()) << socket.error().message;
      EXPECT_EQ((*socket)->subprotocol(), "v4.channel");
      for (const std::size_t size : {0ul, 1ul, 125ul, 126ul, 70'000ul, 1'000'000ul}) {
        co_await (*socket)->write({size % 2 == 0, std::string(size, 'w')});
        auto back = co_await (*socket)->read();
        EXPECT_TRUE(back.has_value());
        EXPECT_EQ(back->binary, size % 2 == 0);
        EXPECT_EQ(back->data.size(), size);
      }
      co_await (*socket)->close(1000, "bye");
      EXPECT_EQ(co_await (*socket)->read(), std::nullopt);
    }
    for (int i = 0; i < 100 && server_->connections() > 0; ++i) co_await async::sleep_for(5ms);
    EXPECT_EQ(server_->connections(), 0u);
  });
}

TEST_F(WebSocketTest, RefusalsKeepTheirMeaning) {
  serve(upgrades);
  run([this]() -> Task<> {
    const auto port = listen();
    auto http = client(port);
    auto forbidden = co_await http->websocket(get("/forbidden"), {});
    EXPECT_EQ(forbidden.error().code, base::ErrorCode::kForbidden);
    EXPECT_THAT(forbidden.error().message, HasSubstr("not yours"));
    auto protocol = co_await http->websocket(get("/"), {"v1.channel"});
    EXPECT_EQ(protocol.error().code, base::ErrorCode::kInvalid);
    EXPECT_THAT(co_await raw(port, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
                StartsWith("HTTP/1.1 400"));
  });
}

TEST_F(WebSocketTest, EndsWhenTheServerFailsOrStops) {
  serve(upgrades);
  run([this]() -> Task<> {
    auto http = client(listen());
    auto failed = co_await http->websocket(get("/fails"), {});
    EXPECT_EQ(co_await (*failed)->read(), std::nullopt);
    auto open = co_await http->websocket(get("/"), {});
    co_await server_->stop(0ms);
    EXPECT_EQ(co_await (*open)->read(), std::nullopt);
  });
}

Task<> reads(std::shared_ptr<WebSocket> socket) { co_await socket->read(); }

TEST_F(WebSocketTest, CancellationEndsARead) {
  serve(upgrades);
  run([this]() -> Task<> {
    auto opened = co_await client(listen())->websocket(get("/"), {});
    std::shared_ptr<WebSocket> socket = *std::move(opened);
    async::TaskGroup group(runtime_.executor(), "read");
    group.spawn("read", reads(socket));
    co_await async::sleep_for(10ms);
    group.cancel();
    co_await group.join();
    for (int i = 0; i < 100 && server_->connections() > 0; ++i) co_await async::sleep_for(5ms);
    EXPECT_EQ(server_->connections(), 0u);
  });
}

}  // namespace
}  // namespace mainstay::net::testing
