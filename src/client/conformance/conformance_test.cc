#include "client/conformance/conformance.h"

#include <gtest/gtest.h>

#include "api/test_server.h"
#include "base/encoding.h"
#include "client/in_process.h"
#include "crypto/keys.h"
#include "net/server.h"

namespace mainstay::client {
namespace {

enum class Kind { kInProcess, kHttps };

class ConformanceTest : public testing::TestWithParam<std::tuple<Kind, std::size_t>> {};

// A kubeconfig as `mainstay up` writes it, with a client certificate of group system:masters.
json::value kubeconfig(const base::HostPort& at, const crypto::Authority& authority) {
  const auto key = crypto::PrivateKey::generate();
  crypto::CertificateRequest request;
  request.common_name = "tester";
  request.organizations = {"system:masters"};
  request.client = true;
  const std::string certificate = authority.issue(request, key.public_pem(), base::real_clock()).value();
  json::object user{{"client-certificate-data", base::base64(certificate)},
                    {"client-key-data", base::base64(key.to_pem())}};
  json::object cluster{{"server", "https://" + at.to_string()},
                       {"certificate-authority-data", base::base64(authority.certificate_pem())}};
  return json::object{{"current-context", "c"},
                      {"contexts", json::array{json::object{
                                       {"name", "c"}, {"context", json::object{{"cluster", "k"}, {"user", "u"}}}}}},
                      {"clusters", json::array{json::object{{"name", "k"}, {"cluster", std::move(cluster)}}}},
                      {"users", json::array{json::object{{"name", "u"}, {"user", std::move(user)}}}}};
}

net::ServerTls server_tls(const crypto::Authority& authority) {
  const auto key = crypto::PrivateKey::generate();
  crypto::CertificateRequest request;
  request.common_name = "127.0.0.1";
  request.ip_addresses = {"127.0.0.1"};
  request.server = true;
  return {authority.issue(request, key.public_pem(), base::real_clock()).value(), key.to_pem(),
          authority.certificate_pem()};
}

async::Task<> over_https(api::TestServer* t, const ConformanceCase* one) {
  const auto authority = crypto::Authority::create("test", base::real_clock());
  net::Server server(t->runtime,
                     [t](std::shared_ptr<net::Request> request) { return t->server->handle(std::move(request)); });
  const auto at = server.listen({"127.0.0.1", 0}, server_tls(authority)).value();
  auto transport = http_transport(t->runtime.executor(), kubeconfig(at, authority));
  EXPECT_TRUE(transport) << transport.error().message;
  co_await one->run(ApiClient(*transport, "tester"));
  transport->reset();
  co_await server.stop(std::chrono::milliseconds(100));
}

TEST_P(ConformanceTest, Holds) {
  const auto [kind, index] = GetParam();
  const ConformanceCase& one = conformance_cases()[index];
  api::TestServer t;
  t.run([&, kind = kind]() -> async::Task<> {
    if (kind == Kind::kHttps) co_return co_await over_https(&t, &one);
    co_await one.run(ApiClient(in_process_transport(*t.server, api::TestServer::master()), "tester"));
  });
}

INSTANTIATE_TEST_SUITE_P(Transports, ConformanceTest,
                         testing::Combine(testing::Values(Kind::kInProcess, Kind::kHttps),
                                          testing::Range<std::size_t>(0, conformance_cases().size())),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param) == Kind::kHttps ? "Https" : "InProcess") +
                                  conformance_cases()[std::get<1>(info.param)].name;
                         });

TEST(HttpTransportTest, AnUnreachableServerIs503) {
  async::Runtime runtime(1);
  json::value config = kubeconfig({"127.0.0.1", 1}, crypto::Authority::create("test", base::real_clock()));
  std::function<async::Task<>()> body = [&]() -> async::Task<> {
    ApiClient client(http_transport(runtime.executor(), config).value(), "tester");
    int code = 0;
    try {
      co_await client.get(resources::kConfigMaps, "shop", "a");
    } catch (const base::StatusError& e) {
      code = e.code();
    }
    EXPECT_EQ(code, 503);
  };
  runtime.run(body());
}

// A capability's streamed answer, read in process.
TEST(InProcessTransportTest, StreamsBodies) {
  api::TestServer t([](api::Server& server) {
    api::Route route;
    route.method = "GET";
    route.pattern = "/stream/{n}";
    route.permission = api::Public{"a test"};
    route.handler = [](std::shared_ptr<api::RequestContext> context) -> async::Task<net::Response> {
      net::Response response;
      const int count = std::stoi(context->params["n"]);
      response.body = net::StreamBody{[count](net::BodyWriter& writer) -> async::Task<> {
                                        for (int i = 0; i < count; ++i)
                                          co_await writer.write("line " + std::to_string(i) + "\n");
                                      },
                                      std::nullopt};
      co_return std::move(response);
    };
    server.add_route(route);
  });
  t.run([&]() -> async::Task<> {
    ApiClient client(in_process_transport(*t.server, api::TestServer::master()), "tester");
    net::ClientRequest request;
    request.target = "/stream/1000";
    auto response = co_await client.raw(std::move(request));
    const std::string text = co_await response.body->read_all(1 << 20);
    EXPECT_TRUE(text.ends_with("line 999\n"));
    // Dropped half-way: the writer ends by itself.
    net::ClientRequest again;
    again.target = "/stream/100000";
    auto dropped = co_await client.raw(std::move(again));
    std::array<char, 16> buffer;
    co_await dropped.body->read(buffer);
    dropped.body.reset();
    while (t.server->streams().size() > 0) co_await async::sleep_for(std::chrono::milliseconds(1));
  });
}

}  // namespace
}  // namespace mainstay::client
