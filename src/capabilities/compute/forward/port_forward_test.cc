#include "capabilities/compute/forward/port_forward.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include "async/sync.h"
#include "capabilities/compute/forward/spdy.h"
#include "capabilities/compute/forward/testing.h"
#include "net/tcp.h"

namespace mainstay::compute {
namespace {

using namespace std::chrono_literals;
using testing::SpdyClient;

// The WebSocket of a client: what it sends is given to it, and what it gets is looked at frame by frame.
class Peer final : public net::WebSocket {
 public:
  explicit Peer(async::Executor executor) : sent_(executor, 16), changed_(executor) {}
  const std::string& subprotocol() const override { return none_; }
  async::Task<std::optional<Message>> read() override {
    auto data = co_await sent_.pop();
    if (!data) co_return std::nullopt;
    co_return Message{true, *std::move(data)};
  }
  async::Task<> write(Message message) override {
    auto frames = reader_.feed(message.data);
    EXPECT_TRUE(frames);
    for (SpdyFrame& frame : *frames) got_.push_back(std::move(frame));
    changed_.notify_all();
    co_return;
  }
  async::Task<> close(std::uint16_t, std::string) override {
    sent_.close();
    co_return;
  }

  void send(std::string bytes) { EXPECT_TRUE(sent_.try_push(std::move(bytes))); }
  void hang_up() { sent_.close(); }
  async::Task<bool> gets(std::uint32_t id, std::string data, bool last) {
    const auto wanted = [&](const SpdyFrame& f) { return f.id == id && f.data == data && f.last == last; };
    while (std::ranges::none_of(got_, wanted)) {
      if (!co_await changed_.wait_for(5s)) co_return false;
    }
    co_return true;
  }

 private:
  async::Channel<std::string> sent_;
  async::Event changed_;
  SpdyReader reader_;
  std::vector<SpdyFrame> got_;
  std::string none_;
};

std::map<std::string, std::string> half(const char* type, std::uint16_t port) {
  return {{"streamtype", type}, {"port", std::to_string(port)}, {"requestid", "0"}};
}

// A listening socket on a free port of the loopback address.
int listening(std::uint16_t& port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  auto* address = reinterpret_cast<sockaddr*>(&at);
  EXPECT_TRUE(::bind(fd, address, size) == 0 && ::listen(fd, 8) == 0 && ::getsockname(fd, address, &size) == 0);
  port = ntohs(at.sin_port);
  return fd;
}

async::Task<> reset_while_the_pod_speaks(async::Runtime* runtime) {
  const async::Executor executor = runtime->executor();
  std::uint16_t port = 0;
  net::TcpListener listener(executor, listening(port));
  Peer peer(executor);
  SpdyClient client;
  async::TaskGroup group(executor, "test");
  const net::WebSocketBody body = forwarded_ports(*runtime, "");
  group.spawn("serve", body.serve(peer));
  peer.send(client.open(1, half("error", port)) + client.open(3, half("data", port)));
  const auto accepted = co_await async::with_timeout(listener.accept(), 5s);
  EXPECT_TRUE(accepted);
  if (accepted) {
    // It neither ends at the end of its input nor has anything to say for now.
    net::TcpConnection pod(executor, *accepted);
    EXPECT_TRUE(co_await pod.write("begun"));
    EXPECT_TRUE(co_await peer.gets(3, "begun", false));
    peer.send(SpdyClient::frame(3, SpdyClient::stream(3) + SpdyClient::stream(5)));
    EXPECT_TRUE(co_await peer.gets(1, "", true)) << "kubectl waits for what went wrong, or that nothing did";
  }
  peer.hang_up();
  co_await group.join();
}

TEST(PortForward, AConnectionEndsWhenItsClientResetsIt) {
  async::Runtime runtime;
  runtime.run(reset_while_the_pod_speaks(&runtime));
}

}  // namespace
}  // namespace mainstay::compute
