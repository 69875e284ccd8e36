#include "net/tcp.h"

#include <sys/socket.h>

#include "net/testing.h"

namespace mainstay::net::testing {
namespace {

using namespace std::chrono_literals;

std::shared_ptr<MutualTls> of(const crypto::Authority& by, const std::string& name, const std::string& trusted) {
  const auto key = crypto::PrivateKey::generate();
  crypto::CertificateRequest request;
  request.common_name = name;
  request.uris = {"spiffe://test/" + name};
  request.client = request.server = true;
  return *MutualTls::make(*by.issue(request, key.public_pem(), base::real_clock()), key.to_pem(), trusted);
}

class TcpTest : public Loopback {
 protected:
  using Pair = std::pair<std::shared_ptr<TcpConnection>, std::shared_ptr<TcpConnection>>;
  Pair pair() {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    return {std::make_shared<TcpConnection>(runtime_.executor(), fds[0]),
            std::make_shared<TcpConnection>(runtime_.executor(), fds[1])};
  }
  static Task<> accept_into(std::shared_ptr<TcpConnection> connection, std::shared_ptr<MutualTls> tls,
                            base::Result<TlsPeer>* out) {
    *out = co_await connection->accept_tls(tls, 2s);
  }
};

TEST_F(TcpTest, BothSidesLearnWhoTheOtherIs) {
  run([this]() -> Task<> {
    async::TaskGroup group(runtime_.executor(), "test");
    const auto [a, b] = pair();
    base::Result<TlsPeer> seen = TlsPeer{};
    group.spawn("accept", accept_into(b, of(authority(), "b", authority().certificate_pem()), &seen));
    const auto shown = co_await a->connect_tls(of(authority(), "a", authority().certificate_pem()), "port-80.mesh", 2s);
    co_await group.join();
    EXPECT_TRUE(shown && seen);
    if (!shown || !seen) co_return;
    EXPECT_EQ(crypto::inspect_certificate(shown->certificate_pem)->uris.front(), "spiffe://test/b");
    EXPECT_EQ(crypto::inspect_certificate(seen->certificate_pem)->uris.front(), "spiffe://test/a");
    EXPECT_EQ(seen->server_name, "port-80.mesh");
  });
}

TEST_F(TcpTest, AnIdentityOfAnotherAuthorityIsRefused) {
  run([this]() -> Task<> {
    async::TaskGroup group(runtime_.executor(), "test");
    const auto other = crypto::Authority::create("other", base::real_clock());
    const auto [a, b] = pair();
    base::Result<TlsPeer> seen = TlsPeer{};
    group.spawn("accept", accept_into(b, of(authority(), "b", authority().certificate_pem()), &seen));
    co_await a->connect_tls(of(other, "a", authority().certificate_pem()), "x", 2s);
    co_await group.join();
    EXPECT_FALSE(seen);
  });
}

TEST_F(TcpTest, PlainTextIsNoHandshake) {
  run([this]() -> Task<> {
    async::TaskGroup group(runtime_.executor(), "test");
    const auto [a, b] = pair();
    base::Result<TlsPeer> seen = TlsPeer{};
    group.spawn("accept", accept_into(b, of(authority(), "b", authority().certificate_pem()), &seen));
    co_await a->write("GET / HTTP/1.1\r\n\r\n");
    co_await group.join();
    EXPECT_FALSE(seen);
  });
}

TEST_F(TcpTest, ARelayPassesBytesAndTheEndOfEachSide) {
  run([this]() -> Task<> {
    async::TaskGroup group(runtime_.executor(), "test");
    auto [client, near] = pair();
    auto [far, server] = pair();
    group.spawn("relay", relay(group, near, far));
    near.reset();
    far.reset();
    co_await client->write("question\n");
    EXPECT_EQ(co_await server->read_line(100), "question");
    ::shutdown(client->fd(), SHUT_WR);
    EXPECT_EQ(co_await server->read_line(100), std::nullopt);
    co_await server->write("answer\n");
    EXPECT_EQ(co_await client->read_line(100), "answer") << "one side's end leaves the other open";
    server->close();
    EXPECT_EQ(co_await client->read_line(100), std::nullopt);
    co_await group.join();
  });
}

}  // namespace
}  // namespace mainstay::net::testing
