#include "capabilities/observe/metrics_engine.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>

#include "base/encoding.h"
#include "base/files.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/status.h"
#include "capabilities/observe/scope.h"

namespace mainstay::observe {
namespace fs = std::filesystem;
namespace {

constexpr const char* kProgram = "/usr/bin/victoria-metrics";
constexpr std::uint64_t kMemoryLimit = 256u << 20;  // the cgroup's; its own budget is a part of it
// Pods that come and go together are told of together.
constexpr std::chrono::milliseconds kGather{300};
// How long the engine of a Mainstay that was killed may take to write what it holds in memory.
constexpr std::chrono::seconds kPredecessor{10};
constexpr std::chrono::milliseconds kLookAgain{50};

// Whether somebody holds the engine's lock on its data. Blocking for a moment.
bool locked(const fs::path& data) {
  const int fd = ::open((data / "flock.lock").c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool held = ::flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  ::close(fd);
  return held;
}

}  // namespace

std::uint16_t free_port(std::uint16_t remembered) {
  for (const std::uint16_t wanted : {remembered, std::uint16_t{0}}) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return 0;
    const int yes = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(wanted);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    const bool bound = ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                       ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
    ::close(fd);
    if (bound) return ntohs(address.sin_port);
  }
  return 0;
}

std::uint16_t remembered_port(const fs::path& file) {
  std::uint16_t before = 0;
  if (const auto text = base::read_file(file, 16)) before = static_cast<std::uint16_t>(std::atoi(text->c_str()));
  const std::uint16_t port = free_port(before);
  if (port != before) static_cast<void>(base::write_file(file, std::to_string(port), 0600));
  return port;
}

async::Task<base::Result<std::string>> whole_answer(std::shared_ptr<net::BodyReader> body, std::size_t max) {
  try {
    co_return co_await body->read_all(max);
  } catch (const base::StatusError& e) {
    co_return base::fail(base::ErrorCode::kUnavailable, "the engine's answer: " + e.message());
  }
}

async::Task<bool> engine_answers(std::shared_ptr<net::Client> client, std::string path) {
  net::ClientRequest request;
  request.target = std::move(path);
  auto response = co_await client->send(std::move(request));
  if (!response) co_return false;
  const auto body = co_await whole_answer(response->body, 64 * 1024);
  co_return body && response->status == 200;
}

MetricsEngine::MetricsEngine(platform::Host& host)
    : host_(host), dir_(host.config().dir("metrics")), password_(base::random_hex(24)) {}

bool MetricsEngine::installed() { return ::access(kProgram, X_OK) == 0; }

std::string MetricsEngine::origin() const { return fmt::format("http://127.0.0.1:{}", port_); }

platform::EngineOptions MetricsEngine::options() const {
  platform::EngineOptions o;
  o.name = "victoria-metrics";
  o.argv = {kProgram,
            "-envflag.enable",
            "-envflag.prefix=MAINSTAY_",
            fmt::format("-httpListenAddr=127.0.0.1:{}", port_),
            "-storageDataPath=" + (dir_ / "data").string(),
            "-promscrape.config=" + (dir_ / "scrape.json").string(),
            "-promscrape.suppressScrapeErrors",
            "-retentionPeriod=30d",
            "-memory.allowedBytes=40MB",
            "-search.latencyOffset=1s",
            "-search.maxQueryDuration=20s",
            "-search.maxUniqueTimeseries=100000",
            "-search.maxSamplesPerQuery=50000000",
            "-storage.minFreeDiskSpaceBytes=100MB",
            "-loggerLevel=WARN",
            "-loggerDisableTimestamps"};
  o.env = {{"MAINSTAY_httpAuth_username", std::string(kUser)},
           {"MAINSTAY_httpAuth_password", password_},
           {"MAINSTAY_metricsAuthKey", password_},
           {"MAINSTAY_flagsAuthKey", password_},
           {"MAINSTAY_pprofAuthKey", password_},
           {"GOGC", "50"},
           {"GOMEMLIMIT", "120MiB"}};
  o.memory_limit_bytes = kMemoryLimit;
  o.death_signal = SIGTERM;  // it keeps what it scraped in memory for up to ten seconds, and writes it then
  o.start_limit = std::chrono::seconds(30);
  return o;
}

base::Result<> MetricsEngine::open() {
  MAINSTAY_TRY_VOID(base::make_directories(dir_, 0700));
  port_ = remembered_port(dir_ / "port");
  up_ = std::make_unique<async::Event>(host_.runtime().executor());
  return {};
}

async::Task<> MetricsEngine::until_running(std::chrono::seconds limit) {
  const base::SteadyTime end = host_.clock().steady() + limit;
  while (!running()) {
    const auto left = end - host_.clock().steady();
    if (!up_ || left <= left.zero() || !co_await up_->wait_for(left)) co_return;
  }
}

async::Task<> MetricsEngine::start() {
  const auto self = shared_from_this();
  pods_ = host_.caches().of(client::resources::kPods);
  namespaces_ = host_.caches().of(client::resources::kNamespaces);
  co_await pods_->synced();
  co_await namespaces_->synced();
  changed_ = std::make_unique<async::Event>(host_.runtime().executor());
  auto client = net::Client::create(host_.runtime().executor(), origin());
  if (!client) {
    base::log::error("metrics", "{}", client.error().message);
    co_return;
  }
  client_ = *client;
  platform::EngineOptions o = options();
  // The engine is this object's and lives no longer.
  o.prepare = [this] { return prepare(); };
  o.ready = [client = client_](pid_t) { return engine_answers(client, "/health"); };
  engine_ = std::make_unique<platform::Engine>(host_, std::move(o));
  engine_->on_restart([weak = weak_from_this()] {
    if (const auto engine = weak.lock()) engine->up_->notify_all();
  });
  const auto mark = [weak = weak_from_this()](const client::ObjectPtr&, const client::ObjectPtr&) {
    const auto engine = weak.lock();
    if (!engine) return;
    engine->dirty_ = true;
    engine->changed_->notify_all();
  };
  pods_->on_change(mark);
  namespaces_->on_change(mark);
  if (auto started = co_await engine_->start(); !started)
    base::log::error("metrics", "{}: metrics and alerts wait for it", started.error().message);
  up_->notify_all();
  host_.tasks().spawn("scrape targets", follow_targets(self));
}

async::Task<> MetricsEngine::stop() {
  if (engine_) co_await engine_->terminate();
}

// Before each start: the predecessor's end, a certificate to scrape the platform's own endpoints with, and the targets.
async::Task<base::Result<>> MetricsEngine::prepare() {
  // The lock of a process that is no child of ours any more tells nobody when it is free.
  const base::SteadyTime begun = host_.clock().steady();
  while (locked(dir_ / "data") && host_.clock().steady() - begun < kPredecessor) co_await async::sleep_for(kLookAgain);
  crypto::CertificateRequest request;
  request.common_name = std::string(kScraper);
  request.client = true;
  const crypto::PrivateKey key = crypto::PrivateKey::generate();
  MAINSTAY_CO_TRY(const std::string certificate, host_.authority().issue(request, key.public_pem(), host_.clock()));
  const std::function<base::Result<>()> write = [dir = dir_, certificate, pem = key.to_pem(),
                                                 ca = host_.authority().certificate_pem()]() -> base::Result<> {
    MAINSTAY_TRY_VOID(base::write_file(dir / "ca.crt", ca, 0600));
    MAINSTAY_TRY_VOID(base::write_file(dir / "client.crt", certificate, 0600));
    return base::write_file(dir / "client.key", pem, 0600);
  };
  MAINSTAY_CO_TRY_VOID(co_await host_.runtime().blocking(write));
  written_.clear();
  co_return write_targets();
}

base::Result<> MetricsEngine::write_targets() {
  std::vector<PodTarget> targets;
  for (const client::ObjectPtr& pod : pods_->list()) {
    auto target =
        pod_target(*pod, team_of(*namespaces_, base::get_string(*pod, "metadata.namespace")), host_.config().pod_cidr);
    if (!target) continue;
    target->workload = workload_of(*pod);
    targets.push_back(*std::move(target));
  }
  std::sort(targets.begin(), targets.end());
  ScrapeSettings settings;
  const std::string& host = host_.config().listen.host;
  const bool any = host == "0.0.0.0" || host == "::";
  settings.api = base::HostPort{any ? "127.0.0.1" : host, host_.config().listen.port}.to_string();
  settings.ca = dir_ / "ca.crt";
  settings.certificate = dir_ / "client.crt";
  settings.key = dir_ / "client.key";
  std::string text = boost::json::serialize(scrape_config(settings, targets));
  if (text == written_) return {};
  MAINSTAY_TRY_VOID(base::write_file(dir_ / "scrape.json", text, 0600));
  written_ = std::move(text);
  if (running()) ::kill(engine_->pid(), SIGHUP);
  return {};
}

async::Task<> MetricsEngine::follow_targets(std::shared_ptr<MetricsEngine> self) {
  for (;;) {
    while (!self->dirty_) co_await self->changed_->wait();
    co_await async::sleep_for(kGather);
    self->dirty_ = false;
    if (auto written = self->write_targets(); !written)
      base::log::error("metrics", "cannot write the scrape targets: {}", written.error().message);
  }
}

async::Task<base::Result<net::ClientResponse>> MetricsEngine::send(net::ClientRequest request) {
  if (!running()) co_return base::fail(base::ErrorCode::kUnavailable, health().message);
  request.headers.set("Authorization", "Basic " + base::base64(fmt::format("{}:{}", kUser, password_)));
  co_return co_await client_->send(std::move(request));
}

platform::Health MetricsEngine::health() const {
  if (!installed()) return {false, "victoria-metrics is not installed: apt-get install victoria-metrics"};
  if (!engine_) return {true, "victoria-metrics is starting"};
  return engine_->health();
}

}  // namespace mainstay::observe
