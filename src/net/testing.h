// A server and clients on one loop, for the tests of this folder.
#pragma once
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/this_coro.hpp>
#include <string>

#include "async/runtime.h"
#include "async/sync.h"
#include "base/clock.h"
#include "base/status.h"
#include "crypto/keys.h"
#include "net/buffer.h"
#include "net/client.h"
#include "net/connect.h"
#include "net/server.h"
#include "net/stream.h"

namespace mainstay::net::testing {

using namespace std::chrono_literals;
using async::Task;

struct Identity {
  std::string certificate_pem, key_pem;
};

inline Identity issue(const crypto::Authority& authority, std::string name, bool client = false) {
  const auto key = crypto::PrivateKey::generate();
  crypto::CertificateRequest request;
  request.common_name = std::move(name);
  request.dns_names = {"localhost"};
  request.ip_addresses = {"127.0.0.1"};
  request.server = !client;
  request.client = client;
  return {*authority.issue(request, key.public_pem(), base::real_clock()), key.to_pem()};
}

inline const crypto::Authority& authority() {
  static const auto made = crypto::Authority::create("test", base::real_clock());
  return made;
}

inline ServerTls server_tls() {
  static const Identity made = issue(authority(), "server");
  return {made.certificate_pem, made.key_pem, authority().certificate_pem()};
}

// One test's loop and server. The body is a lambda coroutine that lives as long as run().
class Loopback : public ::testing::Test {
 protected:
  using Run = std::function<Task<>()>;

  void serve(Handler handler, ServerLimits limits = {}) { server_.emplace(runtime_, std::move(handler), limits); }

  void run(Run body) { runtime_.run(guarded(*this, body)); }

  std::uint16_t listen(std::optional<ServerTls> tls = std::nullopt) {
    const auto at = server_->listen({"127.0.0.1", 0}, std::move(tls));
    EXPECT_TRUE(at.has_value()) << at.error().message;
    return at->port;
  }

  std::shared_ptr<Client> client(std::uint16_t port, bool tls = false, ClientOptions options = {}) {
    if (options.tls.ca_pem.empty()) options.tls.ca_pem = authority().certificate_pem();
    auto made = Client::create(runtime_.executor(),
                               (tls ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(port), options);
    EXPECT_TRUE(made.has_value());
    return *made;
  }

  // Sends these bytes and gives all that comes back until the server closes, or for at most `limit`.
  Task<std::string> raw(std::uint16_t port, std::string bytes, std::chrono::milliseconds limit = 2s) {
    const auto executor = runtime_.executor();
    const auto fd = co_await connect_tcp("127.0.0.1", port, 1s);
    Stream stream(executor, *fd, std::make_shared<Deadlines>(executor));
    co_await stream.write(bytes);
    std::string out;
    Buffer buffer;
    stream.deadline_in(limit);
    for (;;) {
      const auto result = co_await stream.read_some(buffer.room(4096));
      if (result.state != Io::kOk) co_return out;
      buffer.commit(result.n);
      out += buffer.view();
      buffer.consume(result.n);
    }
  }

  static ClientRequest get(std::string target) {
    ClientRequest request;
    request.target = std::move(target);
    return request;
  }
  static ClientRequest post(std::string target, std::string body) {
    ClientRequest request{"POST", std::move(target), {}, std::move(body), nullptr};
    return request;
  }

  async::Runtime runtime_{2};
  std::optional<Server> server_;

 private:
  static Task<> guarded(Loopback& self, Run& body) {
    std::exception_ptr error;
    try {
      co_await body();
    } catch (...) {
      error = std::current_exception();
    }
    if (self.server_) co_await self.server_->stop(0ms);
    if (error) std::rethrow_exception(error);
  }
};

}  // namespace mainstay::net::testing
