// The server on one thread, clients that keep their connections on another: requests a second, and bytes a second of a
// streamed upload and of a file. Compare with the peers' figures by ratio: both share the cores with their clients.
#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <future>
#include <thread>
#include <vector>

#include "async/runtime.h"
#include "async/sync.h"
#include "base/clock.h"
#include "base/files.h"
#include "crypto/keys.h"
#include "net/client.h"
#include "net/server.h"

namespace mainstay::net {
namespace {

constexpr std::uint64_t kLarge = 256u << 20;

std::filesystem::path large_file() {
  static const auto path = [] {
    auto made = std::filesystem::temp_directory_path() / ("mainstay-bench-" + std::to_string(::getpid()));
    (void)base::write_file(made, std::string(kLarge, 'f'));
    return made;
  }();
  return path;
}

async::Task<Response> handle(std::shared_ptr<Request> request) {
  if (request->path == "/file") co_return Response{200, {}, FileBody{large_file(), 0, kLarge}};
  std::vector<char> buffer(request->method == "PUT" ? 256 * 1024 : 0);
  std::uint64_t total = 0;
  while (const auto n = co_await request->body->read(buffer)) total += n;
  co_return Response::json_bytes(
      200, std::make_shared<const std::string>("{\"kind\":\"ConfigMap\",\"total\":" + std::to_string(total) + "}"));
}

ServerTls identity() {
  const auto authority = crypto::Authority::create("bench", base::real_clock());
  const auto key = crypto::PrivateKey::generate();
  crypto::CertificateRequest request;
  request.common_name = "bench";
  request.server = true;
  return {*authority.issue(request, key.public_pem(), base::real_clock()), key.to_pem(), ""};
}

// The server in a thread of its own until the end of the program's benchmarks.
class Running {
 public:
  explicit Running(bool tls) : thread_([this, tls] { runtime_.run(serve(*this, tls)); }) { ready_.get_future().wait(); }
  ~Running() {
    runtime_.post([this] { stop_.notify_all(); });
    thread_.join();
  }
  std::uint16_t port = 0;

 private:
  static async::Task<> serve(Running& self, bool tls) {
    Server server(self.runtime_, handle);
    self.port = server.listen({"127.0.0.1", 0}, tls ? std::optional(identity()) : std::nullopt)->port;
    self.ready_.set_value();
    co_await self.stop_.wait();
    co_await server.stop(std::chrono::milliseconds(0));
  }
  async::Runtime runtime_;
  async::Event stop_{runtime_.executor()};
  std::promise<void> ready_;
  std::thread thread_;
};

int connect_to(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

void BM_SmallRequests(benchmark::State& state) {
  Running server(false);
  constexpr std::string_view kRequest =
      "GET /api/v1/namespaces/default/configmaps/x HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n"
      "User-Agent: bench\r\nAuthorization: Bearer 0123456789abcdef0123456789abcdef\r\n\r\n";
  std::vector<pollfd> sockets;
  for (int i = 0; i < state.range(0); ++i) sockets.push_back({connect_to(server.port), POLLIN, 0});
  const auto send_to = [&](int fd) { benchmark::DoNotOptimize(::send(fd, kRequest.data(), kRequest.size(), 0)); };
  for (const auto& socket : sockets) send_to(socket.fd);
  char buffer[4096];
  std::int64_t answered = 0;
  for (auto _ : state) {
    ::poll(sockets.data(), sockets.size(), -1);
    for (const auto& socket : sockets) {
      if (!(socket.revents & POLLIN)) continue;
      benchmark::DoNotOptimize(::recv(socket.fd, buffer, sizeof buffer, 0));
      ++answered;
      send_to(socket.fd);
    }
  }
  state.SetItemsProcessed(answered);
  for (const auto& socket : sockets) ::close(socket.fd);
}
BENCHMARK(BM_SmallRequests)->Arg(1)->Arg(32)->Arg(64)->UseRealTime();

class Zeros final : public BodyReader {
 public:
  async::Task<std::size_t> read(std::span<char> buffer) override {
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(left_, buffer.size()));
    left_ -= n;
    co_return n;
  }
  std::optional<std::uint64_t> length() const override { return kLarge; }

 private:
  std::uint64_t left_ = kLarge;
};

async::Task<> transfer(benchmark::State& state, std::shared_ptr<Client> client, bool upload) {
  std::vector<char> buffer(256 * 1024);
  for (auto _ : state) {
    ClientRequest request;
    request.target = upload ? "/upload" : "/file";
    request.method = upload ? "PUT" : "GET";
    if (upload) request.stream = std::make_shared<Zeros>();
    auto response = co_await client->send(std::move(request));
    if (!response) {
      state.SkipWithError(response.error().message.c_str());
      break;
    }
    while (co_await response->body->read(buffer) > 0) {
    }
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(kLarge) * state.iterations());
}

void BM_Transfer(benchmark::State& state) {
  const bool upload = state.range(0) == 1, tls = state.range(1) == 1;
  Running server(tls);
  async::Runtime runtime(1);
  ClientOptions options;
  options.tls.insecure = true;
  auto client = Client::create(
      runtime.executor(), (tls ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(server.port), options);
  runtime.run(transfer(state, *client, upload));
}
BENCHMARK(BM_Transfer)
    ->ArgNames({"upload", "tls"})
    ->ArgsProduct({{0, 1}, {0, 1}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace mainstay::net
