#include "capabilities/observe/alert_engines.h"

#include <unistd.h>

#include <csignal>

#include "async/process.h"
#include "base/encoding.h"
#include "base/files.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/strings.h"

namespace mainstay::observe {
namespace fs = std::filesystem;
namespace {
namespace json = boost::json;

constexpr const char* kVmalert = "/usr/bin/vmalert";
constexpr const char* kAlertmanager = "/usr/bin/prometheus-alertmanager";
constexpr const char* kAmtool = "/usr/bin/amtool";
constexpr std::chrono::seconds kMetricsFirst{20};

async::Task<base::Result<>> metrics_first(std::shared_ptr<MetricsEngine> metrics) {
  co_await metrics->until_running(kMetricsFirst);
  co_return base::Result<>{};
}

async::Task<base::Result<>> check(std::vector<std::string> argv) {
  async::ProcessOptions o;
  o.argv = std::move(argv);
  o.env = {{"PATH", "/usr/bin:/bin"}};
  o.merge_stderr = true;
  const auto output = co_await async::run_process(std::move(o), "", std::chrono::seconds(20), 64u << 10);
  if (!output) co_return std::unexpected(output.error());
  if (output->status.ok()) co_return base::Result<>{};
  // The last line says what is wrong.
  std::string_view text = base::trim(output->out);
  if (const auto line = text.rfind('\n'); line != std::string_view::npos) text.remove_prefix(line + 1);
  if (const auto tab = text.find("main.go"); tab != std::string_view::npos && text.find('\t', tab) != text.npos)
    text.remove_prefix(text.find('\t', tab) + 1);
  co_return base::fail(base::ErrorCode::kInvalid, std::string(text.substr(0, 1000)));
}

}  // namespace

AlertEngines::AlertEngines(platform::Host& host, std::shared_ptr<MetricsEngine> metrics)
    : host_(host),
      metrics_(std::move(metrics)),
      dir_(host.config().dir("alerts")),
      password_(base::random_hex(24)),
      relay_(host, metrics_, password_) {}

bool AlertEngines::installed() {
  return ::access(kVmalert, X_OK) == 0 && ::access(kAlertmanager, X_OK) == 0 && ::access(kAmtool, X_OK) == 0;
}

base::Result<> AlertEngines::write_keys() {
  const crypto::Authority authority = crypto::Authority::create("mainstay alerts", host_.clock());
  MAINSTAY_TRY_VOID(base::write_file(dir_ / "ca.crt", authority.certificate_pem(), 0600));
  for (const char* name : {"server", "client"}) {
    crypto::CertificateRequest request;
    request.common_name = name;
    request.server = request.client = true;
    request.ip_addresses = {"127.0.0.1"};
    const crypto::PrivateKey key = crypto::PrivateKey::generate();
    MAINSTAY_TRY(const std::string certificate, authority.issue(request, key.public_pem(), host_.clock()));
    MAINSTAY_TRY_VOID(base::write_file(dir_ / fmt::format("{}.crt", name), certificate, 0600));
    MAINSTAY_TRY_VOID(base::write_file(dir_ / fmt::format("{}.key", name), key.to_pem(), 0600));
    if (std::string_view(name) == "server") continue;
    net::ClientOptions options;
    options.tls = {authority.certificate_pem(), certificate, key.to_pem()};
    MAINSTAY_TRY(alertmanager_client_,
                 net::Client::create(host_.runtime().executor(),
                                     fmt::format("https://127.0.0.1:{}", alertmanager_port_), std::move(options)));
  }
  const json::object web{{"tls_server_config",
                          {{"cert_file", (dir_ / "server.crt").string()},
                           {"key_file", (dir_ / "server.key").string()},
                           {"client_auth_type", "RequireAndVerifyClientCert"},
                           {"client_ca_file", (dir_ / "ca.crt").string()}}}};
  return base::write_file(dir_ / "web.json", json::serialize(web), 0600);
}

// Whom vmalert tells: nobody while nobody receives.
base::Result<> AlertEngines::write_notifiers() {
  json::object config{{"static_configs", json::array{}}};
  if (notifies_) {
    config["static_configs"] =
        json::array{{{"targets", json::array{json::value(fmt::format("127.0.0.1:{}", alertmanager_port_))}}}};
    config["scheme"] = "https";
    config["tls_config"] = {{"ca_file", (dir_ / "ca.crt").string()},
                            {"cert_file", (dir_ / "client.crt").string()},
                            {"key_file", (dir_ / "client.key").string()}};
  }
  return base::write_file(dir_ / "notifiers.json", json::serialize(config), 0600);
}

async::Task<base::Result<>> AlertEngines::open() {
  std::error_code ignored;
  fs::remove_all(authorities_dir(), ignored);
  for (const fs::path& folder : {dir_, rules_dir(), authorities_dir(), dir_ / "checked", dir_ / "data"})
    MAINSTAY_CO_TRY_VOID(base::make_directories(folder, 0700));
  vmalert_port_ = remembered_port(dir_ / "vmalert.port");
  alertmanager_port_ = remembered_port(dir_ / "alertmanager.port");
  MAINSTAY_CO_TRY_VOID(relay_.open(remembered_port(dir_ / "relay.port")));
  MAINSTAY_CO_TRY_VOID(write_keys());
  MAINSTAY_CO_TRY_VOID(write_notifiers());
  MAINSTAY_CO_TRY(vmalert_client_,
                  net::Client::create(host_.runtime().executor(), fmt::format("http://127.0.0.1:{}", vmalert_port_)));
  vmalert_ = std::make_unique<platform::Engine>(host_, vmalert_options());
  alertmanager_ = std::make_unique<platform::Engine>(host_, alertmanager_options());
  co_return base::Result<>{};
}

platform::EngineOptions AlertEngines::vmalert_options() {
  const std::string metrics = metrics_->origin();
  platform::EngineOptions o;
  o.name = "vmalert";
  o.argv = {kVmalert,
            "-envflag.enable",
            "-envflag.prefix=MAINSTAY_",
            fmt::format("-httpListenAddr=127.0.0.1:{}", vmalert_port_),
            "-rule=" + (rules_dir() / "*.json").string(),
            "-notifier.config=" + (dir_ / "notifiers.json").string(),
            "-datasource.url=" + metrics,
            "-remoteWrite.url=" + relay_.origin(),
            "-remoteRead.url=" + metrics,
            "-remoteWrite.flushInterval=1s",
            "-evaluationInterval=10s",
            "-datasource.queryStep=1m",
            "-memory.allowedBytes=20MB",
            "-loggerLevel=WARN",
            "-loggerDisableTimestamps"};
  const std::string user(MetricsEngine::kUser);
  o.env = {{"MAINSTAY_httpAuth_username", user},
           {"MAINSTAY_httpAuth_password", password_},
           {"MAINSTAY_metricsAuthKey", password_},
           {"MAINSTAY_flagsAuthKey", password_},
           {"MAINSTAY_pprofAuthKey", password_},
           {"GOGC", "50"},
           {"GOMEMLIMIT", "48MiB"}};
  for (const auto& [what, password] : {std::pair("datasource", metrics_->password()),
                                       {"remoteRead", metrics_->password()},
                                       {"remoteWrite", password_}}) {
    o.env[fmt::format("MAINSTAY_{}_basicAuth_username", what)] = user;
    o.env[fmt::format("MAINSTAY_{}_basicAuth_password", what)] = password;
  }
  o.memory_limit_bytes = 128u << 20;
  // As it starts it asks since when its alerts are active, and once only.
  o.prepare = [metrics = metrics_] { return metrics_first(metrics); };
  o.ready = [client = vmalert_client_](pid_t) { return engine_answers(client, "/health"); };
  return o;
}

platform::EngineOptions AlertEngines::alertmanager_options() {
  platform::EngineOptions o;
  o.name = "alertmanager";
  o.argv = {kAlertmanager,
            "--config.file=" + (dir_ / "alertmanager.json").string(),
            "--storage.path=" + (dir_ / "data").string(),
            "--web.config.file=" + (dir_ / "web.json").string(),
            fmt::format("--web.listen-address=127.0.0.1:{}", alertmanager_port_),
            "--cluster.listen-address=",
            "--log.level=warn"};
  o.env = {{"GOGC", "50"}, {"GOMEMLIMIT", "64MiB"}};
  o.memory_limit_bytes = 128u << 20;
  o.ready = [client = alertmanager_client_](pid_t) { return engine_answers(client, "/-/ready"); };
  return o;
}

async::Task<> AlertEngines::stop() {
  if (vmalert_) co_await vmalert_->terminate();
  if (alertmanager_) co_await alertmanager_->terminate();
  co_await relay_.stop();
}

void AlertEngines::on_evaluation(std::function<void()> hook) {
  vmalert_->on_restart(hook);
  relay_.on_write(std::move(hook));
}

async::Task<base::Result<>> AlertEngines::check_rules(fs::path file) {
  co_return co_await check({kVmalert, "-dryRun", "-loggerDisableTimestamps", "-rule=" + file.string()});
}

async::Task<> AlertEngines::reload_rules() {
  if (vmalert_->running()) {
    ::kill(vmalert_->pid(), SIGHUP);
  } else if (!std::exchange(vmalert_started_, true)) {
    // From here on the engine itself starts it again.
    if (auto started = co_await vmalert_->start(); !started) base::log::error("alerts", "{}", started.error().message);
  }
}

async::Task<base::Result<>> AlertEngines::check_receivers(std::string config) {
  const fs::path file = dir_ / "checked" / "alertmanager.json";
  MAINSTAY_CO_TRY_VOID(base::write_file(file, config, 0600));
  auto checked = co_await check({kAmtool, "check-config", file.string()});
  std::error_code ignored;
  fs::remove(file, ignored);
  co_return checked;
}

async::Task<> AlertEngines::use_receivers(std::string config, bool any) {
  if (config == receivers_) co_return;
  if (auto written = base::write_file(dir_ / "alertmanager.json", config, 0600); !written) {
    base::log::error("alerts", "{}", written.error().message);
    co_return;
  }
  receivers_ = std::move(config);
  if (alertmanager_->running()) {
    ::kill(alertmanager_->pid(), SIGHUP);
  } else if (any && !std::exchange(notifies_, true)) {
    if (auto started = co_await alertmanager_->start(); !started)
      base::log::error("alerts", "{}", started.error().message);
    if (auto written = write_notifiers(); !written) base::log::error("alerts", "{}", written.error().message);
    if (vmalert_->running()) ::kill(vmalert_->pid(), SIGHUP);
  }
}

async::Task<base::Result<std::string>> AlertEngines::ask_rules(std::string target) {
  if (!vmalert_ || !vmalert_->running()) co_return base::fail(base::ErrorCode::kUnavailable, health().message);
  net::ClientRequest request;
  request.target = std::move(target);
  request.headers.set("Authorization", "Basic " + base::base64(fmt::format("{}:{}", MetricsEngine::kUser, password_)));
  MAINSTAY_CO_TRY(net::ClientResponse response, co_await vmalert_client_->send(std::move(request)));
  MAINSTAY_CO_TRY(std::string body, co_await whole_answer(response.body, 32u << 20));
  if (response.status != 200)
    co_return base::fail(base::ErrorCode::kUnavailable, fmt::format("vmalert answers {}", response.status));
  co_return body;
}

platform::Health AlertEngines::health() const {
  if (!installed())
    return {false,
            "vmalert or Alertmanager is not installed: apt-get install victoria-metrics prometheus-alertmanager"};
  if (!vmalert_) return {true, "vmalert is starting"};
  if (!vmalert_->running()) return vmalert_->health();
  if (alertmanager_->running()) return {true, "vmalert and Alertmanager run"};
  if (notifies_) return alertmanager_->health();
  return {true, "no AlertReceiver yet: alerts are shown, and sent to nobody"};
}

}  // namespace mainstay::observe
