#include "net/server.h"

#include <unistd.h>

#include "net/testing.h"

namespace mainstay::net::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

Task<Response> echo(std::shared_ptr<Request> request) {
  std::string body = co_await request->body->read_all(1 << 20);
  Response response = Response::text(200, request->method + " " + request->path + " " + body);
  response.headers.add("X-Agent", std::string(request->headers.get("User-Agent")));
  co_return response;
}

Task<Response> fails(std::shared_ptr<Request> request) {
  co_await async::yield();
  if (request->path == "/busy") throw base::too_many_requests("slow down", 7);
  if (request->path == "/gone") throw async::Cancelled();
  throw std::runtime_error("password=hunter2");
}

Task<Response> sleeps(std::shared_ptr<Request> request) {
  if (request->path == "/slow") co_await async::sleep_for(300ms);
  if (request->path == "/forever") co_await async::sleep_for(1h);
  co_return Response::text(200, "done");
}

using ServerTest = Loopback;

TEST_F(ServerTest, AnswersOverTlsAndKeepsTheConnection) {
  serve(echo);
  run([this]() -> Task<> {
    auto http = client(listen(server_tls()), true);
    for (int i = 0; i < 3; ++i) {
      ClientRequest request = post("/a/b?c=d", "body" + std::to_string(i));
      request.headers.add("User-Agent", "test");
      auto response = co_await http->send(std::move(request));
      EXPECT_TRUE(response.has_value()) << response.error().message;
      EXPECT_EQ(response->status, 200);
      EXPECT_EQ(response->headers.get("x-agent"), "test");
      EXPECT_EQ(response->headers.get("content-type"), "text/plain; charset=utf-8");
      EXPECT_TRUE(response->headers.has("Date"));
      EXPECT_EQ(co_await response->body->read_all(100), "POST /a/b body" + std::to_string(i));
      EXPECT_EQ(server_->connections(), 1u);
    }
  });
}

TEST_F(ServerTest, AnswersPipelinedRequestsInOrder) {
  serve(echo);
  run([this]() -> Task<> {
    const auto port = listen();
    const auto out =
        co_await raw(port,
                     "POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
                     "\r\nPOST /2 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n"
                     "GET /3 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    const auto first = out.find("POST /1 abc"), second = out.find("POST /2 de"), third = out.find("GET /3 ");
    EXPECT_LT(first, second);
    EXPECT_LT(second, third);
    EXPECT_NE(third, std::string::npos);
    EXPECT_THAT(out, HasSubstr("Connection: close"));
  });
}

TEST_F(ServerTest, SpeaksHttp10) {
  serve(echo);
  run([this]() -> Task<> {
    const auto port = listen();
    const auto out = co_await raw(port, "GET /old HTTP/1.0\r\n\r\n");
    EXPECT_THAT(out, AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("Connection: close"), HasSubstr("GET /old ")));
  });
}

TEST_F(ServerTest, AnswersHeadWithoutABody) {
  serve([](std::shared_ptr<Request> request) -> Task<Response> {
    if (request->path == "/text") co_return Response::text(200, "four");
    Response response = Response::empty(200);  // as a registry answers for a blob
    response.headers.set("Content-Length", "1234567");
    co_return response;
  });
  run([this]() -> Task<> {
    const auto port = listen();
    const auto out = co_await raw(
        port, "HEAD /text HTTP/1.1\r\nHost: h\r\n\r\nHEAD /blob HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    EXPECT_THAT(out, AllOf(HasSubstr("Content-Length: 4\r\n"), HasSubstr("Content-Length: 1234567\r\n"),
                           Not(HasSubstr("four"))));
    auto http = client(port);
    ClientRequest request = get("/blob");
    request.method = "HEAD";
    auto response = co_await http->send(std::move(request));
    EXPECT_EQ(response->headers.get("Content-Length"), "1234567");
    EXPECT_EQ(co_await response->body->read_all(10), "");
  });
}

TEST_F(ServerTest, TurnsExceptionsIntoAnswers) {
  serve(fails);
  run([this]() -> Task<> {
    auto http = client(listen());
    auto busy = co_await http->send(get("/busy"));
    EXPECT_EQ(busy->status, 429);
    EXPECT_EQ(busy->headers.get("Retry-After"), "7");
    EXPECT_THAT(co_await busy->body->read_all(1000), HasSubstr("\"kind\":\"Status\""));
    auto broken = co_await http->send(get("/broken"));
    EXPECT_EQ(broken->status, 500);
    EXPECT_THAT(co_await broken->body->read_all(1000), Not(HasSubstr("hunter2")));
    EXPECT_EQ(server_->connections(), 1u) << "both on one connection";
    auto gone = co_await http->send(get("/gone"));
    EXPECT_EQ(gone.error().code, base::ErrorCode::kUnavailable);
  });
}

TEST_F(ServerTest, RefusesMalformedAndAmbiguousRequests) {
  serve(echo, {.max_header_bytes = 1000});
  run([this]() -> Task<> {
    const auto port = listen();
    const std::pair<std::string, std::string> kCases[] = {
        {"nonsense\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"},
        {"GET /../etc HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
        {"GET /a%2Fb HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", "400"},
        {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
        {"GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(2000, 'x') + "\r\n\r\n", "431"},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400"},
    };
    for (const auto& [request, status] : kCases) {
      const auto out = co_await raw(port, request + std::string(kGet));
      EXPECT_THAT(out, StartsWith("HTTP/1.1 " + status)) << request;
      EXPECT_EQ(out.find("HTTP/1.1 2"), std::string::npos) << "nothing after it is read as a request: " << request;
    }
  });
}

TEST_F(ServerTest, AsksForTheBodyOnlyWhenTheHandlerReadsIt) {
  serve([](std::shared_ptr<Request> request) -> Task<Response> {
    if (request->path == "/refuse") throw base::forbidden("no");
    co_return Response::text(200, co_await request->body->read_all(100));
  });
  run([this]() -> Task<> {
    const auto port = listen();
    const auto refused =
        co_await raw(port, "PUT /refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    EXPECT_THAT(refused, AllOf(StartsWith("HTTP/1.1 403"), HasSubstr("Connection: close")));
    const auto read =
        co_await raw(port, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n", 200ms);
    EXPECT_EQ(read, "HTTP/1.1 100 Continue\r\n\r\n");
  });
}

TEST_F(ServerTest, AnUnreadBodyDoesNotBecomeARequest) {
  serve([](std::shared_ptr<Request> request) -> Task<Response> { co_return Response::text(200, request->path); });
  run([this]() -> Task<> {
    const auto port = listen();
    const std::string body = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n";
    const auto out =
        co_await raw(port, "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) +
                               "\r\n\r\n" + body + "GET /b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    EXPECT_THAT(out, AllOf(HasSubstr("/a"), HasSubstr("/b"), Not(HasSubstr("smuggled"))));
  });
}

TEST_F(ServerTest, DropsSlowHeads) {
  serve(echo, {.header_timeout = 1s});
  run([this]() -> Task<> {
    const auto port = listen();
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_THAT(co_await raw(port, "GET / HTT", 5s), StartsWith("HTTP/1.1 408"));
    EXPECT_EQ(co_await raw(port, "", 5s), "") << "a connection that says nothing is closed without an answer";
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 4s);
  });
}

TEST_F(ServerTest, ClosesIdleConnections) {
  serve(echo, {.idle_timeout = 1s});
  run([this]() -> Task<> {
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_THAT(co_await raw(listen(), std::string(kGet), 5s), StartsWith("HTTP/1.1 200"));
    const auto took = std::chrono::steady_clock::now() - begin;
    EXPECT_GT(took, 900ms);
    EXPECT_LT(took, 2s);
  });
}

TEST_F(ServerTest, MakesRoomAtTheLimitByClosingTheIdle) {
  serve(sleeps, {.max_connections = 2});
  run([this]() -> Task<> {
    const auto port = listen();
    std::vector<std::shared_ptr<Client>> clients;
    for (int i = 0; i < 5; ++i) {
      clients.push_back(client(port));
      auto response = co_await clients.back()->send(get("/"));
      EXPECT_TRUE(response.has_value()) << i;
      if (response) co_await response->body->read_all(10);
    }
    EXPECT_LE(server_->connections(), 3u);
  });
}

TEST_F(ServerTest, StopLetsRequestsEndAndCutsTheRest) {
  serve(sleeps);
  run([this]() -> Task<> {
    const auto port = listen();
    struct Call {
      static Task<> run(std::shared_ptr<Client> http, std::string path, std::shared_ptr<std::string> out) {
        ClientRequest request;
        request.target = std::move(path);
        auto response = co_await http->send(std::move(request));
        *out = response ? co_await response->body->read_all(100) : "cut";
      }
    };
    auto slow = std::make_shared<std::string>(), forever = std::make_shared<std::string>();
    async::TaskGroup calls(runtime_.executor(), "calls");
    calls.spawn("slow", Call::run(client(port), "/slow", slow));
    calls.spawn("forever", Call::run(client(port), "/forever", forever));
    auto idle = client(port);
    co_await idle->send(get("/"));
    co_await async::sleep_for(50ms);
    const auto begin = std::chrono::steady_clock::now();
    co_await server_->stop(600ms);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 1500ms);
    co_await calls.join();
    EXPECT_EQ(*slow, "done");
    EXPECT_EQ(*forever, "cut");
    EXPECT_EQ(server_->connections(), 0u);
    EXPECT_FALSE(co_await tcp_probe("127.0.0.1", port, 500ms));
  });
}

TEST_F(ServerTest, NamesTheProgramThatHoldsThePort) {
  serve(echo);
  run([this]() -> Task<> {
    const auto port = listen();
    Server second(runtime_, echo);
    const auto at = second.listen({"127.0.0.1", port}, std::nullopt);
    EXPECT_FALSE(at.has_value());
    EXPECT_THAT(at.error().message,
                AllOf(HasSubstr("the port is taken by"), HasSubstr("pid " + std::to_string(::getpid()))));
    EXPECT_FALSE(second.listen({"192.0.2.1", 0}, std::nullopt).has_value());
    EXPECT_FALSE(second.listen({"localhost", 0}, std::nullopt).has_value());
    co_return;
  });
}

}  // namespace
}  // namespace mainstay::net::testing
