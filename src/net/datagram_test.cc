#include "net/datagram.h"

#include <gtest/gtest.h>

#include "net/framed.h"

namespace mainstay::net {
namespace {
using namespace std::chrono_literals;

void run(std::function<async::Task<>(async::Runtime&, async::TaskGroup&)> body) {
  async::Runtime runtime;
  async::TaskGroup group(runtime.executor(), "test");
  struct Main {
    static async::Task<> go(async::Runtime* runtime, async::TaskGroup* group,
                            std::function<async::Task<>(async::Runtime&, async::TaskGroup&)> body) {
      co_await body(*runtime, *group);
      group->cancel();
      co_await group->join();
    }
  };
  runtime.run(Main::go(&runtime, &group, std::move(body)));
}

async::Task<> exchanges(async::Runtime& runtime, async::TaskGroup& group) {
  auto server = DatagramServer::open(runtime.executor(), {"127.0.0.1", 0});
  EXPECT_TRUE(server);
  if (!server) co_return;
  group.spawn("serve", DatagramServer::serve(
                           *server,
                           [](std::string_view message, const Peer& from, std::span<char> out) -> std::size_t {
                             EXPECT_TRUE(from.is_loopback());
                             EXPECT_EQ(from.ipv4(), 0x7f000001u);
                             if (message == "silence") return 0;
                             std::copy(message.rbegin(), message.rend(), out.begin());
                             return message.size();
                           },
                           512));
  const base::HostPort at = (*server)->local();
  const auto any = [](std::string_view) { return true; };
  EXPECT_EQ((co_await datagram_exchange(at, "abc", any, 5s)).value_or(""), "cba");
  EXPECT_EQ((co_await datagram_exchange(at, "silence", any, 20ms)).error().code, base::ErrorCode::kTimeout);
  EXPECT_EQ((co_await datagram_exchange(
                 at, "abc", [](std::string_view) { return false; }, 20ms))
                .error()
                .code,
            base::ErrorCode::kTimeout);
  const auto taken = DatagramServer::open(runtime.executor(), at);
  EXPECT_FALSE(taken);
}
TEST(Datagram, AsksAndAnswers) { run(exchanges); }

async::Task<std::string> upper(std::string message, Peer) {
  if (message == "go") co_return "";
  co_return message + message;
}
async::Task<> frames(async::Runtime& runtime, async::TaskGroup&) {
  FramedServer server(runtime.executor(), upper);
  const auto at = server.listen({"127.0.0.1", 0});
  EXPECT_TRUE(at);
  if (at) {
    const std::string long_one(30'000, 'x');
    EXPECT_EQ((co_await framed_exchange(*at, "ab", 5s)).value_or(""), "abab");
    EXPECT_EQ((co_await framed_exchange(*at, long_one, 5s)).value_or(""), long_one + long_one);
    EXPECT_FALSE(co_await framed_exchange(*at, "go", 5s));
  }
  co_await server.stop();
}
TEST(Framed, AsksAndAnswers) { run(frames); }

TEST(Datagram, BindsBeforeTheAddressIsThere) {
  async::Runtime runtime;
  EXPECT_FALSE(DatagramServer::open(runtime.executor(), {"192.0.2.77", 0}));
  EXPECT_TRUE(DatagramServer::open(runtime.executor(), {"192.0.2.77", 0}, true));
}

}  // namespace
}  // namespace mainstay::net
