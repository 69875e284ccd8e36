// The edge against a real HAProxy on loopback ports, under load: no request may fail while endpoints come and go,
// processes are replaced and Mainstay restarts.
#include "capabilities/routing/edge.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>

#include "base/files.h"
#include "base/strings.h"
#include "capabilities/routing/capability.h"
#include "net/client.h"
#include "net/server.h"
#include "platform/fake_host.h"

namespace mainstay::routing {
namespace {
namespace fs = std::filesystem;
using namespace std::chrono_literals;
using platform::FakeHost;

std::uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ::bind(fd, reinterpret_cast<sockaddr*>(&address), size);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(fd);
  return ntohs(address.sin_port);
}

// A pod: answers with its name and the headers it was asked with.
struct Pod {
  std::string name;
  std::unique_ptr<net::Server> server;
  Endpoint endpoint;
};
async::Task<net::Response> answer(std::string name, std::chrono::milliseconds pause,
                                  std::shared_ptr<net::Request> request) {
  if (pause.count() > 0) co_await async::sleep_for(pause);
  std::string text = name + "\n";
  for (const auto& [key, value] : request->headers.all()) text += base::lower(key) + ": " + value + "\n";
  co_return net::Response::text(200, text);
}

struct Load {
  std::size_t sent = 0, failed = 0;
  std::string first_failure;
  bool stop = false;
};

class EdgeTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::access("/usr/sbin/haproxy", X_OK) != 0)
      GTEST_SKIP() << "HAProxy is not installed (apt-get install haproxy): the edge is NOT tested";
    char pattern[] = "/tmp/mainstay-edge-XXXXXX";
    dir_ = ::mkdtemp(pattern);
    config_.data_dir = dir_;
    config_.http = {"127.0.0.1", free_port()};
    config_.https = {"127.0.0.1", free_port()};
    fs::permissions(dir_, fs::perms::owner_all | fs::perms::group_exec | fs::perms::others_exec);
  }
  void TearDown() override {
    if (dir_.empty()) return;
    platform::stop_detached_engines(dir_, 2s);
    fs::remove_all(dir_);
  }

  EdgeSettings settings() const {
    EdgeSettings s;
    s.dir = dir_ / "edge";
    s.http = config_.http;
    s.https = config_.https;
    s.domain = "localhost";
    if (::geteuid() == 0) {
      s.user = "nobody";
      s.group = "nogroup";
    }
    return s;
  }

  // Runs the body on the loop with a host, and joins everything after it.
  void run(std::function<async::Task<>(FakeHost&)> body) {
    async::Runtime runtime;
    FakeHost host(runtime, config_);
    pods_host_ = &host;
    struct Main {
      static async::Task<> go(FakeHost* host, std::function<async::Task<>(FakeHost&)> body) {
        std::exception_ptr failure;
        try {
          co_await body(*host);
        } catch (...) {
          failure = std::current_exception();
        }
        host->tasks().cancel();
        co_await host->tasks().join();
        if (failure) std::rethrow_exception(failure);
      }
    };
    runtime.run(Main::go(&host, std::move(body)));
  }

  Pod start_pod(std::string name, std::chrono::milliseconds pause = 0ms) {
    Pod pod;
    pod.name = name;
    pod.server = std::make_unique<net::Server>(
        pods_host_->runtime(),
        [name, pause](std::shared_ptr<net::Request> request) { return answer(name, pause, std::move(request)); });
    const std::string address = fmt::format("127.0.1.{}", ++last_address_);
    auto bound = pod.server->listen({address, 0}, std::nullopt);
    EXPECT_TRUE(bound) << bound.error().message;
    pod.endpoint = {name, address, bound->port, true};
    return pod;
  }

  static Route route(std::string name, std::vector<Endpoint> endpoints, bool plain = true) {
    Route r;
    r.host = name + ".dev.shop.localhost";
    r.service = "shop-dev/" + name;
    r.certificate = "dev.shop";
    r.plain_http = plain;
    r.endpoints = std::move(endpoints);
    return r;
  }

  struct Answer {
    int status = 0;
    std::string body, error;
    net::Headers headers;
  };
  static async::Task<Answer> get(std::shared_ptr<net::Client> client, std::string host, net::Headers headers = {}) {
    net::ClientRequest request;
    request.target = "/path?token=secret";
    request.headers = std::move(headers);
    request.headers.set("Host", std::move(host));
    auto response = co_await client->send(std::move(request));
    Answer out;
    if (!response) {
      out.error = response.error().message;
      co_return out;
    }
    out.status = response->status;
    out.headers = response->headers;
    try {
      out.body = co_await response->body->read_all(1u << 20);
    } catch (const std::exception& e) {
      out.error = e.what();
      out.status = 0;
    }
    co_return out;
  }

  std::shared_ptr<net::Client> http_client() const {
    return *net::Client::create(pods_host_->runtime().executor(), "http://" + config_.http.to_string());
  }
  std::shared_ptr<net::Client> https_client(std::string name) const {
    net::ClientOptions options;
    options.tls.ca_pem = pods_host_->authority().certificate_pem();
    options.tls.server_name = std::move(name);
    return *net::Client::create(pods_host_->runtime().executor(), "https://" + config_.https.to_string(), options);
  }

  static async::Task<> hammer(std::shared_ptr<Load> load, std::shared_ptr<net::Client> client, std::string host) {
    while (!load->stop) {
      const Answer a = co_await get(client, host);
      ++load->sent;
      if (a.status == 200) continue;
      ++load->failed;
      if (load->first_failure.empty())
        load->first_failure = fmt::format("{} {} {}", a.status, a.error, a.body.substr(0, 200));
    }
  }
  std::shared_ptr<Load> start_load(async::TaskGroup& group, const std::string& host) {
    auto load = std::make_shared<Load>();
    for (int i = 0; i < 12; ++i) group.spawn("http load", hammer(load, http_client(), host));
    for (int i = 0; i < 4; ++i) group.spawn("https load", hammer(load, https_client(host), host));
    return load;
  }

  fs::path dir_;
  base::Config config_;
  FakeHost* pods_host_ = nullptr;
  int last_address_ = 0;
};

#define CO_ASSERT(condition, message)                 \
  if (!(condition)) {                                 \
    ADD_FAILURE() << #condition << ": " << (message); \
    co_return;                                        \
  }

TEST_F(EdgeTest, ServesRedirectsAndExplains) {
  run([this](FakeHost& host) -> async::Task<> {
    auto edge = std::make_shared<Edge>(host, settings());
    const auto started = co_await edge->start();
    CO_ASSERT(started, started.error().message);
    Pod pod = start_pod("web-1");
    auto client = http_client();
    const std::string name = "web.dev.shop.localhost";

    Answer a = co_await get(client, name);
    EXPECT_EQ(a.status, 404);
    EXPECT_NE(a.body.find(name), std::string::npos) << a.body;
    net::Headers browser;
    browser.set("Accept", "text/html,*/*");
    a = co_await get(client, "<script>.localhost", browser);
    EXPECT_EQ(a.status, 404);
    EXPECT_EQ(a.body.find("<script>"), std::string::npos);
    EXPECT_NE(a.headers.get("content-type").find("text/html"), std::string::npos);

    auto applied = co_await edge->apply("shop-dev/web", route("web", {}, false));
    CO_ASSERT(applied, applied.error().message);
    a = co_await get(client, name);
    EXPECT_EQ(a.status, 308);
    EXPECT_EQ(a.headers.get("location"), fmt::format("https://{}:{}/path?token=secret", name, config_.https.port));
    auto secure = https_client(name);
    a = co_await get(secure, name + ":" + std::to_string(config_.https.port));
    EXPECT_EQ(a.status, 503) << a.error;
    EXPECT_NE(a.body.find("no pod with an address"), std::string::npos) << a.body;
    EXPECT_EQ(a.headers.get("retry-after"), "2");

    applied = co_await edge->apply("shop-dev/web", route("web", {pod.endpoint}, false));
    CO_ASSERT(applied, applied.error().message);
    net::Headers liar;
    liar.set("X-Forwarded-For", "6.6.6.6");
    liar.set("Forwarded", "for=6.6.6.6");
    liar.set("X-Real-IP", "6.6.6.6");
    liar.set("X-Request-ID", "chosen");
    a = co_await get(secure, name, liar);
    EXPECT_EQ(a.status, 200) << a.error;
    EXPECT_EQ(a.body.find("6.6.6.6"), std::string::npos) << a.body;
    EXPECT_EQ(a.body.find("chosen"), std::string::npos);
    EXPECT_NE(a.body.find("x-forwarded-for: 127.0.0.1\n"), std::string::npos);
    EXPECT_NE(a.body.find("x-forwarded-proto: https\n"), std::string::npos);
    EXPECT_NE(a.body.find("forwarded: for=127.0.0.1;host=\"web.dev.shop.localhost\";proto=https\n"), std::string::npos);
    EXPECT_FALSE(a.headers.get("x-request-id").empty());

    applied = co_await edge->apply("shop-dev/web", std::nullopt);
    CO_ASSERT(applied, applied.error().message);
    a = co_await get(secure, name);
    EXPECT_EQ(a.status, 404);
    EXPECT_EQ(edge->reloads(), 0u);
    const auto log = base::read_file(settings().access_log());
    CO_ASSERT(log, "no access log");
    EXPECT_NE(log->find(R"("service":"shop-dev/web","pod":"web-1")"), std::string::npos) << *log;
    EXPECT_EQ(log->find("secret"), std::string::npos) << "query strings may carry secrets";
    for (std::string_view line : base::split(*log, '\n')) EXPECT_TRUE(line.empty() || base::parse_json(line)) << line;
    co_await edge->stop();
    co_await pod.server->stop(0ms);
  });
}

TEST_F(EdgeTest, NoRequestFailsWhilePodsAreReplacedAndStopped) {
  run([this](FakeHost& host) -> async::Task<> {
    auto edge = std::make_shared<Edge>(host, settings());
    const auto started = co_await edge->start();
    CO_ASSERT(started, started.error().message);
    Pod old = start_pod("web-0", 1ms);
    co_await edge->apply("shop-dev/web", route("web", {old.endpoint}));
    auto load = start_load(host.tasks(), "web.dev.shop.localhost");
    double slowest = 0;
    for (int i = 1; i <= 25; ++i) {
      Pod next = start_pod(fmt::format("web-{}", i), 1ms);
      const auto begun = std::chrono::steady_clock::now();
      auto applied = co_await edge->apply("shop-dev/web", route("web", {old.endpoint, next.endpoint}));
      slowest = std::max(slowest, std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
      CO_ASSERT(applied, applied.error().message);
      co_await async::sleep_for(10ms);
      // As the node agent does it: the slice says terminating, the edge drains by address, and the pod is stopped at
      // once.
      Endpoint ending = old.endpoint;
      ending.ready = false;
      applied = co_await edge->apply("shop-dev/web", route("web", {ending, next.endpoint}));
      CO_ASSERT(applied, applied.error().message);
      co_await edge->drain(old.endpoint.address, 5s);
      co_await old.server->stop(0ms);
      applied = co_await edge->apply("shop-dev/web", route("web", {next.endpoint}));
      CO_ASSERT(applied, applied.error().message);
      old = std::move(next);
    }
    load->stop = true;
    co_await async::sleep_for(100ms);
    EXPECT_EQ(load->failed, 0u) << "of " << load->sent << ": " << load->first_failure;
    EXPECT_GT(load->sent, 200u);
    EXPECT_EQ(edge->reloads(), 0u);
    RecordProperty("requests", static_cast<int>(load->sent));
    std::printf("%zu requests, %zu failed, slowest change %.1f ms\n", load->sent, load->failed, slowest * 1000);
    co_await edge->stop();
    co_await old.server->stop(0ms);
  });
}

TEST_F(EdgeTest, RulesThatHaproxyRefusesAreTakenBack) {
  run([this](FakeHost& host) -> async::Task<> {
    auto edge = std::make_shared<Edge>(host, settings());
    const auto started = co_await edge->start();
    CO_ASSERT(started, started.error().message);
    Pod pod = start_pod("web-0"), next = start_pod("web-1");
    RuleSet rules;
    rules.texts.select = "    http-request set-var(txn.rule) str(r-1) if { var(txn.host) -m str a.test }\n";
    rules.routes["r-1"] = route("r", {pod.endpoint});
    rules.routes["r-1"].host = "r-1";
    rules.routes["r-1"].certificate = "";
    auto applied = co_await edge->apply_rules(rules);
    CO_ASSERT(applied, applied.error().message);
    EXPECT_EQ((co_await get(http_client(), "a.test")).status, 200);
    RuleSet bad = rules;
    bad.texts.select += "    no such line\n";
    bad.routes["r-2"] = rules.routes["r-1"];
    bad.routes["r-2"].host = "r-2";
    EXPECT_FALSE(co_await edge->apply_rules(bad));
    EXPECT_EQ((co_await get(http_client(), "a.test")).status, 200);
    // What follows is told to the process that runs.
    const pid_t before = edge->pid();
    rules.routes["r-1"].endpoints = {next.endpoint};
    applied = co_await edge->apply_rules(rules);
    CO_ASSERT(applied, applied.error().message);
    EXPECT_EQ(edge->pid(), before);
    EXPECT_EQ((co_await get(http_client(), "a.test")).body.substr(0, 5), "web-1");
    co_await edge->stop();
    co_await pod.server->stop(0ms);
    co_await next.server->stop(0ms);
  });
}

TEST_F(EdgeTest, NoRequestFailsWhileProcessesAreReplaced) {
  run([this](FakeHost& host) -> async::Task<> {
    auto edge = std::make_shared<Edge>(host, settings());
    const auto started = co_await edge->start();
    CO_ASSERT(started, started.error().message);
    Pod pod = start_pod("web-0", 1ms);
    co_await edge->apply("shop-dev/web", route("web", {pod.endpoint}));
    auto load = start_load(host.tasks(), "web.dev.shop.localhost");
    for (int i = 0; i < 4; ++i) {
      const pid_t before = edge->pid();
      const auto begun = std::chrono::steady_clock::now();
      const auto reloaded = co_await edge->reload();
      CO_ASSERT(reloaded, reloaded.error().message);
      std::printf("successor in %.1f ms\n",
                  std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun).count());
      EXPECT_NE(edge->pid(), before);
      auto other = co_await edge->apply(fmt::format("shop-dev/n{}", i), route(fmt::format("n{}", i), {pod.endpoint}));
      CO_ASSERT(other, other.error().message);
      const Answer a = co_await get(http_client(), fmt::format("n{}.dev.shop.localhost", i));
      EXPECT_EQ(a.status, 200);
      co_await async::sleep_for(200ms);
    }
    load->stop = true;
    co_await async::sleep_for(100ms);
    EXPECT_EQ(load->failed, 0u) << "of " << load->sent << ": " << load->first_failure;
    EXPECT_GT(load->sent, 200u);
    co_await edge->stop();
    co_await pod.server->stop(0ms);
  });
}

TEST_F(EdgeTest, OutlivesMainstayAndIsAdopted) {
  pid_t pid = 0;
  run([&, this](FakeHost& host) -> async::Task<> {
    auto edge = std::make_shared<Edge>(host, settings());
    const auto started = co_await edge->start();
    CO_ASSERT(started, started.error().message);
    co_await edge->apply("shop-dev/gone", route("gone", {}));
    co_await edge->apply("shop-dev/web", route("web", {}));
    pid = edge->pid();
    co_await edge->stop();
  });
  EXPECT_EQ(::kill(pid, 0), 0) << "it must go on without us";
  const auto engines = platform::detached_engines(dir_);
  ASSERT_EQ(engines.size(), 1u);
  EXPECT_EQ(engines[0].pids, std::vector<pid_t>{pid});
  run([&, this](FakeHost& host) -> async::Task<> {
    Pod pod = start_pod("web-1");
    auto edge = std::make_shared<Edge>(host, settings());
    edge->expect("shop-dev/web", route("web", {pod.endpoint}));
    edge->expect("shop-dev/new", route("new", {pod.endpoint}));
    const auto started = co_await edge->start();
    CO_ASSERT(started, started.error().message);
    EXPECT_EQ(edge->pid(), pid) << "the same process";
    EXPECT_EQ(edge->reloads(), 0u);
    auto client = http_client();
    EXPECT_EQ((co_await get(client, "web.dev.shop.localhost")).status, 200);
    EXPECT_EQ((co_await get(client, "new.dev.shop.localhost")).status, 200);
    EXPECT_EQ((co_await get(client, "gone.dev.shop.localhost")).status, 404);
    co_await edge->stop();
    co_await pod.server->stop(0ms);
  });
  platform::stop_detached_engines(dir_, 2s);
  EXPECT_TRUE(platform::detached_engines(dir_).empty());
}

TEST_F(EdgeTest, ComesBackAfterItsDeath) {
  run([this](FakeHost& host) -> async::Task<> {
    auto edge = std::make_shared<Edge>(host, settings());
    const auto started = co_await edge->start();
    CO_ASSERT(started, started.error().message);
    Pod pod = start_pod("web-1");
    co_await edge->apply("shop-dev/web", route("web", {pod.endpoint}));
    const pid_t before = edge->pid();
    ::kill(before, SIGKILL);
    const auto begun = std::chrono::steady_clock::now();
    Answer a;
    for (int i = 0; i < 500 && a.status != 200; ++i) {
      co_await async::sleep_for(10ms);
      a = co_await get(http_client(), "web.dev.shop.localhost");
    }
    EXPECT_EQ(a.status, 200) << a.error;
    std::printf("back after %.0f ms\n",
                std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun).count());
    EXPECT_NE(edge->pid(), before);
    co_await edge->stop();
    co_await pod.server->stop(0ms);
  });
}

TEST_F(EdgeTest, DrainWaitsForWhatIsUnderWay) {
  run([this](FakeHost& host) -> async::Task<> {
    auto edge = std::make_shared<Edge>(host, settings());
    const auto started = co_await edge->start();
    CO_ASSERT(started, started.error().message);
    Pod slow = start_pod("web-1", 400ms);
    co_await edge->apply("shop-dev/web", route("web", {slow.endpoint}));
    auto done = std::make_shared<Answer>();
    struct Ask {
      static async::Task<> go(std::shared_ptr<Answer> into, std::shared_ptr<net::Client> client) {
        *into = co_await get(client, "web.dev.shop.localhost");
      }
    };
    host.tasks().spawn("slow request", Ask::go(done, http_client()));
    co_await async::sleep_for(100ms);
    const auto begun = std::chrono::steady_clock::now();
    co_await edge->drain(slow.endpoint.address, 5s);
    const auto took = std::chrono::steady_clock::now() - begun;
    EXPECT_GT(took, 200ms) << "the request was still under way";
    EXPECT_LT(took, 2s);
    co_await async::sleep_for(20ms);
    EXPECT_EQ(done->status, 200);
    // Marked: the slice that still says ready does not bring it back.
    co_await edge->apply("shop-dev/web", route("web", {slow.endpoint}));
    EXPECT_EQ((co_await get(http_client(), "web.dev.shop.localhost")).status, 503);
    co_await edge->drain("10.1.2.3", 5s);  // unknown: at once
    co_await edge->stop();
    co_await slow.server->stop(0ms);
  });
}

TEST_F(EdgeTest, IsKnownByItsCommandLineAlsoWhenItsDirectoryIsGone) {
  pid_t pid = 0;
  run([&, this](FakeHost& host) -> async::Task<> {
    auto edge = std::make_shared<Edge>(host, settings());
    const auto started = co_await edge->start();
    CO_ASSERT(started, started.error().message);
    pid = edge->pid();
    const auto mine = [&] {
      for (const EdgeProcess& process : edge_processes()) {
        if (process.pid == pid) return process;
      }
      return EdgeProcess{};
    };
    EXPECT_EQ(mine().data_dir, dir_);
    EXPECT_FALSE(mine().orphaned);
    const fs::path away = dir_.string() + ".away";
    fs::rename(dir_, away);
    EXPECT_TRUE(mine().orphaned);
    fs::rename(away, dir_);
    co_await edge->end();
    EXPECT_EQ(mine().pid, 0);
  });
}

TEST_F(EdgeTest, SaysWhoHoldsItsPort) {
  run([this](FakeHost& host) -> async::Task<> {
    net::Server other(host.runtime(),
                      [](std::shared_ptr<net::Request> r) { return answer("other", 0ms, std::move(r)); });
    auto bound = other.listen(config_.http, std::nullopt);
    CO_ASSERT(bound, bound.error().message);
    auto edge = std::make_shared<Edge>(host, settings());
    const auto started = co_await edge->start();
    EXPECT_FALSE(started);
    if (!started)
      EXPECT_NE(started.error().message.find(std::to_string(config_.http.port)), std::string::npos)
          << started.error().message;
    EXPECT_FALSE(edge->health().ok);
    co_await edge->stop();
    co_await other.stop(0ms);
  });
}

}  // namespace
}  // namespace mainstay::routing
