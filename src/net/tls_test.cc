#include <openssl/ssl.h>

#include "net/testing.h"
#include "net/tls_context.h"

namespace mainstay::net::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

Task<Response> who(std::shared_ptr<Request> request) {
  EXPECT_TRUE(request->secure);
  if (request->client_certificate.empty()) co_return Response::text(200, "anonymous");
  co_return Response::text(200, crypto::inspect_certificate(request->client_certificate)->subject_common_name);
}

class TlsTest : public Loopback {
 protected:
  Task<std::string> ask(std::uint16_t port, ClientTls tls = {}) {
    ClientOptions options;
    options.tls = std::move(tls);
    auto response = co_await client(port, true, options)->send(get("/"));
    if (!response) co_return response.error().message;
    co_return co_await response->body->read_all(1000);
  }
};

TEST_F(TlsTest, PassesOnAClientCertificateThatVerifies) {
  serve(who);
  run([this]() -> Task<> {
    const auto port = listen(server_tls());
    EXPECT_EQ(co_await ask(port), "anonymous");
    const Identity alice = issue(authority(), "alice", true);
    EXPECT_EQ(co_await ask(port, {.certificate_pem = alice.certificate_pem, .private_key_pem = alice.key_pem}),
              "alice");
    const auto other = crypto::Authority::create("other", base::real_clock());
    const Identity mallory = issue(other, "alice", true);
    EXPECT_EQ(co_await ask(port, {.certificate_pem = mallory.certificate_pem, .private_key_pem = mallory.key_pem}),
              "anonymous");
  });
}

TEST_F(TlsTest, TheClientChecksTheServer) {
  serve(who);
  run([this]() -> Task<> {
    const auto port = listen(server_tls());
    const auto other = crypto::Authority::create("other", base::real_clock());
    EXPECT_THAT(co_await ask(port, {.ca_pem = other.certificate_pem()}), HasSubstr("TLS handshake"));
    EXPECT_THAT(co_await ask(port, {.server_name = "elsewhere.example"}), HasSubstr("mismatch"));
    EXPECT_EQ(co_await ask(port, {.server_name = "localhost"}), "anonymous");
    EXPECT_EQ(co_await ask(port, {.ca_pem = other.certificate_pem(), .insecure = true}), "anonymous");
  });
}

TEST_F(TlsTest, ReplacesItsCertificateForLaterConnections) {
  serve(who);
  run([this]() -> Task<> {
    const auto port = listen(server_tls());
    const auto other = crypto::Authority::create("other", base::real_clock());
    const Identity renewed = issue(other, "server");
    EXPECT_TRUE(server_->set_tls({renewed.certificate_pem, renewed.key_pem, ""}).has_value());
    EXPECT_THAT(co_await ask(port), HasSubstr("TLS handshake"));
    EXPECT_EQ(co_await ask(port, {.ca_pem = other.certificate_pem()}), "anonymous");
    const auto bad = server_->set_tls({renewed.certificate_pem, server_tls().private_key_pem, ""});
    EXPECT_FALSE(bad.has_value());
    EXPECT_THAT(bad.error().message, HasSubstr("private key"));
    EXPECT_EQ(co_await ask(port, {.ca_pem = other.certificate_pem()}), "anonymous")
        << "a bad pair leaves the old one in use";
  });
}

TEST_F(TlsTest, ResumesSessions) {
  serve(who);
  run([this]() -> Task<> {
    const auto port = listen(server_tls());
    const auto executor = runtime_.executor();
    const auto context = *make_client_context({.ca_pem = authority().certificate_pem()});
    for (int i = 0; i < 3; ++i) {
      const auto fd = co_await connect_tcp("127.0.0.1", port, 1s);
      Stream stream(executor, *fd, std::make_shared<Deadlines>(executor));
      EXPECT_EQ(co_await stream.handshake(*client_ssl(context, "127.0.0.1")), Io::kOk);
      EXPECT_EQ(SSL_session_reused(stream.ssl()), i == 0 ? 0 : 1);
      const unsigned char* protocol = nullptr;
      unsigned size = 0;
      SSL_get0_alpn_selected(stream.ssl(), &protocol, &size);
      EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(protocol), size), "http/1.1");
      co_await stream.write("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
      char buffer[4096];
      while ((co_await stream.read_some(buffer)).state == Io::kOk) {
      }
    }
  });
}

TEST_F(TlsTest, TellsPlainHttpToUseTls) {
  serve(who);
  run([this]() -> Task<> {
    const auto out = co_await raw(listen(server_tls()), "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_THAT(out, StartsWith("HTTP/1.0 400"));
    EXPECT_THAT(out, HasSubstr("https://"));
  });
}

TEST_F(TlsTest, RefusesUselessSettings) {
  serve(who);
  run([this]() -> Task<> {
    EXPECT_FALSE(server_->listen({"127.0.0.1", 0}, ServerTls{}).has_value());
    EXPECT_FALSE(server_->listen({"127.0.0.1", 0}, ServerTls{"garbage", "garbage", ""}).has_value());
    EXPECT_FALSE(make_client_context({.ca_pem = "garbage"}).has_value());
    co_return;
  });
}

}  // namespace
}  // namespace mainstay::net::testing
