#include "net/client.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "net/testing.h"

namespace mainstay::net::testing {
namespace {

using ::testing::HasSubstr;

Task<Response> hello(std::shared_ptr<Request> request) {
  if (request->path == "/slow") co_await async::sleep_for(1h);
  co_return Response::text(200, "hello");
}

using ClientTest = Loopback;

TEST(ClientOrigin, IsChecked) {
  async::Runtime runtime(1);
  for (const char* bad : {"", "127.0.0.1:80", "ftp://x", "http://", "http://h/path", "http://u@h", "http://h:99999",
                          "unix:relative", "https://h?x"}) {
    EXPECT_FALSE(Client::create(runtime.executor(), bad).has_value()) << bad;
  }
  for (const char* good : {"http://h", "https://[::1]:6443", "https://h:1/", "unix:/run/x.sock", "http://[::1]"}) {
    EXPECT_TRUE(Client::create(runtime.executor(), good).has_value()) << good;
  }
}

TEST_F(ClientTest, RefusesRequestsThatWouldSplit) {
  serve(hello);
  run([this]() -> Task<> {
    auto http = client(listen());
    for (const char* target : {"", "/a b", "/a\r\nX: y"}) {
      auto response = co_await http->send(get(target));
      EXPECT_EQ(response.error().code, base::ErrorCode::kInvalid);
    }
  });
}

TEST_F(ClientTest, SaysWhyThereIsNoAnswer) {
  serve(hello);
  run([this]() -> Task<> {
    const auto port = listen();
    ClientOptions hurried;
    hurried.response_timeout = 100ms;
    auto slow = co_await client(port, false, hurried)->send(get("/slow"));
    EXPECT_EQ(slow.error().code, base::ErrorCode::kTimeout);
    ClientRequest brief = get("/slow");
    brief.response_timeout = 100ms;
    slow = co_await client(port)->send(std::move(brief));
    EXPECT_EQ(slow.error().code, base::ErrorCode::kTimeout) << "a request's own limit counts";
    co_await server_->stop(0ms);
    auto refused = co_await client(port)->send(get("/"));
    EXPECT_EQ(refused.error().code, base::ErrorCode::kUnavailable);
    EXPECT_THAT(refused.error().message, HasSubstr("Connection refused"));
    auto unknown = co_await (*Client::create(runtime_.executor(), "http://no-such-host.invalid"))->send(get("/"));
    EXPECT_THAT(unknown.error().message, HasSubstr("cannot resolve no-such-host.invalid"));
  });
}

TEST_F(ClientTest, ReconnectsWhenTheServerClosedAKeptConnection) {
  serve(hello, {.idle_timeout = 1s});
  run([this]() -> Task<> {
    auto http = client(listen());
    EXPECT_EQ(co_await (co_await http->send(get("/")))->body->read_all(10), "hello");
    co_await async::sleep_for(1500ms);
    EXPECT_EQ(server_->connections(), 0u);
    EXPECT_EQ(co_await (co_await http->send(get("/")))->body->read_all(10), "hello");
  });
}

TEST_F(ClientTest, ParallelRequestsUseConnectionsOfTheirOwn) {
  serve([](std::shared_ptr<Request>) -> Task<Response> {
    co_await async::sleep_for(20ms);
    co_return Response::text(200, "hello");
  });
  run([this]() -> Task<> {
    ClientOptions options;
    options.max_kept_connections = 3;
    auto http = client(listen(), false, options);
    struct Call {
      static Task<> run(std::shared_ptr<Client> c, std::shared_ptr<int> ok) {
        ClientRequest request;
        auto response = co_await c->send(std::move(request));
        if (co_await response->body->read_all(10) == "hello") ++*ok;
      }
    };
    auto ok = std::make_shared<int>(0);
    async::TaskGroup group(runtime_.executor(), "calls");
    for (int i = 0; i < 8; ++i) group.spawn("call", Call::run(http, ok));
    co_await group.join();
    EXPECT_EQ(*ok, 8);
    co_await async::sleep_for(20ms);
    EXPECT_EQ(server_->connections(), 3u);
  });
}

TEST_F(ClientTest, CancellationClosesTheConnection) {
  serve(hello);
  run([this]() -> Task<> {
    struct Call {
      static Task<> run(std::shared_ptr<Client> c) {
        ClientRequest request;
        request.target = "/slow";
        co_await c->send(std::move(request));
      }
    };
    async::TaskGroup group(runtime_.executor(), "calls");
    group.spawn("call", Call::run(client(listen())));
    co_await async::sleep_for(20ms);
    EXPECT_EQ(server_->connections(), 1u);
    group.cancel();
    co_await group.join();
  });
}

// A server of a few lines over a Unix socket, in a thread: accepts `count` times, answers with `answer`.
std::thread unix_server(const std::string& path, int count, std::string answer, std::string& received) {
  const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  EXPECT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::listen(listener, 4), 0);
  return std::thread([listener, count, answer = std::move(answer), &received] {
    for (int i = 0; i < count; ++i) {
      const int fd = ::accept(listener, nullptr, nullptr);
      char buffer[4096];
      const ssize_t n = ::read(fd, buffer, sizeof buffer);
      received.assign(buffer, static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
      EXPECT_EQ(::write(fd, answer.data(), answer.size()), static_cast<ssize_t>(answer.size()));
      ::close(fd);
    }
    ::close(listener);
  });
}

TEST_F(ClientTest, SpeaksOverUnixSockets) {
  const std::string path =
      std::filesystem::temp_directory_path() / ("mainstay-net-" + std::to_string(::getpid()) + ".sock");
  std::string received;
  auto thread = unix_server(path, 1, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nuntil the end", received);
  run([&, this]() -> Task<> {
    auto http = Client::create(runtime_.executor(), "unix:" + path);
    auto response = co_await (*http)->send(post("/x", "abc"));
    EXPECT_EQ(response->status, 200);
    EXPECT_EQ(co_await response->body->read_all(100), "until the end");
    EXPECT_EQ(received, "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc");
  });
  thread.join();
  std::filesystem::remove(path);
}

TEST_F(ClientTest, ExchangesACommandOverAUnixSocket) {
  const std::string path =
      std::filesystem::temp_directory_path() / ("mainstay-cmd-" + std::to_string(::getpid()) + ".sock");
  std::string received;
  auto thread = unix_server(path, 1, "fine\n", received);
  run([&]() -> Task<> {
    auto answer = co_await unix_exchange(path, "show info\n", 2s);
    EXPECT_EQ(*answer, "fine\n");
    EXPECT_EQ(received, "show info\n");
    auto missing = co_await unix_exchange(path + "x", "", 1s);
    EXPECT_EQ(missing.error().code, base::ErrorCode::kUnavailable);
  });
  thread.join();
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace mainstay::net::testing
