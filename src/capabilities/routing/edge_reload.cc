// The parts of the edge that deal with whole processes: files, start, successor, adoption, upkeep.
#include "base/files.h"
#include "base/log.h"
#include "capabilities/routing/edge.h"

namespace mainstay::routing {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kComponent = "edge";
constexpr std::uintmax_t kLargestLog = 64u << 20;
constexpr int kOldLogs = 3;

using Texts = std::vector<std::pair<fs::path, std::string>>;

// HAProxy reads these once, at its start, so they need not survive a power cut: renamed into place, not synced.
base::Result<> write_texts(const EdgeSettings& settings, const Texts& texts) {
  for (const char* folder : {"", "pages", "empty"})
    MAINSTAY_TRY_VOID(base::make_directories(settings.dir / folder, 0755));
  for (const auto& [path, text] : texts) MAINSTAY_TRY_VOID(base::write_file(path, text, 0644));
  return {};
}

// A user's own is written as it is, others are issued.
base::Result<> keep_certificate(const Certificates& certificates, const EdgeSettings& settings,
                                const std::string& name) {
  const auto own = settings.host_certificates.find(name);
  if (own != settings.host_certificates.end() && !own->second.pem.empty()) {
    MAINSTAY_TRY_VOID(base::make_directories(settings.certificate_file(name).parent_path(), 0700));
    return base::write_file(settings.certificate_file(name), own->second.pem, 0600);
  }
  MAINSTAY_TRY_VOID(certificates.ensure(name, certificate_hosts(settings, name)));
  return {};
}

void turn_log_over(const fs::path& log) {
  std::error_code error;
  if (fs::file_size(log, error) <= kLargestLog || error) return;
  for (int i = kOldLogs - 1; i >= 1; --i)
    fs::rename(fmt::format("{}.{}", log.string(), i), fmt::format("{}.{}", log.string(), i + 1), error);
  fs::rename(log, log.string() + ".1", error);
}

}  // namespace

async::Task<base::Result<>> Edge::ensure_certificate(std::string name) {
  const bool known = live_.certificates.contains(name);
  if (known || name.empty()) co_return base::Result<>{};
  const std::vector<std::string> names = certificate_hosts(settings_, name);
  const Certificates* certificates = &certificates_;
  MAINSTAY_CO_TRY(Certificates::Made made, co_await host_.runtime().blocking([certificates, name, names] {
    return certificates->ensure(name, names);
  }));
  co_return co_await tell_certificate(name, std::move(made.pem), known);
}

// A known one is replaced, for new handshakes.
async::Task<base::Result<>> Edge::tell_certificate(std::string name, std::string pem, bool known) {
  if (settings_.https.port == 0) co_return base::Result<>{};
  const std::string file = settings_.certificate_file(name);
  std::string lines;  // an empty line would end the command
  for (std::string_view rest = pem; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    if (!line.empty()) lines.append(line).push_back('\n');
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
  }
  if (!known)
    MAINSTAY_CO_TRY_VOID(
        co_await runtime_.tell("new ssl cert " + file, fmt::format("New empty certificate store '{}'!", file)));
  MAINSTAY_CO_TRY_VOID(
      co_await runtime_.tell(fmt::format("set ssl cert {} <<\n{}", file, lines),
                             fmt::format("Transaction {} for certificate {}!", known ? "created" : "created", file)));
  MAINSTAY_CO_TRY(const std::string committed, co_await runtime_.ask("commit ssl cert " + file));
  if (committed.find("Success!") == std::string::npos)
    co_return base::fail(base::ErrorCode::kConflict,
                         fmt::format("haproxy: commit ssl cert {}: {}", file, committed.substr(0, 300)));
  if (!known) {
    MAINSTAY_CO_TRY(const std::string listed, co_await runtime_.ask(fmt::format(
                                                  "add ssl crt-list {} <<\n{}\n", settings_.certificate_list().string(),
                                                  certificate_list_line(settings_, name))));
    if (listed.find("Success!") == std::string::npos)
      co_return base::fail(base::ErrorCode::kConflict,
                           fmt::format("haproxy: add ssl crt-list {}: {}", file, listed.substr(0, 300)));
  }
  live_.certificates.insert(name);
  co_return base::Result<>{};
}

// Writes everything wanted and takes it for live: the next process will have exactly this.
async::Task<base::Result<>> Edge::write_files() {
  assign_slots();
  LiveState next;
  std::map<int, const Route*> by_slot;
  std::vector<std::unique_ptr<Route>> routes;
  std::string hosts, reasons;
  std::set<std::string> names;
  for (const auto& [service, wanted] : wanted_) {
    if (wanted.slot < 0 || wanted.slot >= slots_) continue;
    auto route = std::make_unique<Route>(wanted.route);
    route->endpoints = endpoints_of(wanted);
    next.routes[route->host] = route_value(*route, wanted.slot);
    next.reasons[route->host] = route->why_not_ready();
    hosts += fmt::format("{} {}\n", route->host, next.routes[route->host]);
    reasons += fmt::format("{} {}\n", route->host, next.reasons[route->host]);
    for (const Endpoint& e : route->endpoints) {
      if (e.ready) next.servers[wanted.slot][e.name] = {e.address, e.port, true, false, e.weight};
    }
    if (!route->certificate.empty()) names.insert(route->certificate);
    by_slot[wanted.slot] = route.get();
    routes.push_back(std::move(route));
  }
  for (const auto& [name, certificate] : settings_.host_certificates) names.insert(name);
  next.certificates = names;
  next.certificates.insert(std::string(kDefaultCertificate));
  std::string list =
      fmt::format("{} [alpn h2,http/1.1]\n", settings_.certificate_file(std::string(kDefaultCertificate)).string());
  for (const std::string& name : names) list += certificate_list_line(settings_, name) + "\n";
  Texts texts{{settings_.routes_map(), hosts},
              {settings_.reasons_map(), reasons},
              {settings_.certificate_list(), list},
              {settings_.config_file(), render_config(settings_, slots_, by_slot)}};
  for (auto& [file, text] : error_pages(settings_)) texts.emplace_back(settings_.page(file), text);
  const Certificates* certificates = &certificates_;
  const EdgeSettings settings = settings_;
  auto written =
      co_await host_.runtime().blocking([certificates, settings, names, texts = std::move(texts)]() -> base::Result<> {
        MAINSTAY_TRY_VOID(certificates->ensure(std::string(kDefaultCertificate),
                                               {settings.domain, "*." + settings.domain}, {settings.https.host}));
        for (const std::string& name : names) MAINSTAY_TRY_VOID(keep_certificate(*certificates, settings, name));
        MAINSTAY_TRY_VOID(write_texts(settings, texts));
        turn_log_over(settings.access_log());
        return {};
      });
  if (!written) co_return written;
  live_ = std::move(next);
  ++generation_;
  co_return base::Result<>{};
}

// Called by the engine before each start of its own.
async::Task<base::Result<>> Edge::prepare() {
  const Turn turn = co_await take_turn();
  co_return co_await write_files();
}

async::Task<base::Result<>> Edge::reload() {
  const Turn turn = co_await take_turn();
  co_return co_await reload_now();
}

async::Task<base::Result<>> Edge::reload_now() {
  MAINSTAY_CO_TRY_VOID(co_await write_files());
  auto replaced = co_await engine_->replace();
  if (!replaced) {
    // The old process serves on with what it had, which is not what live_ says now.
    if (!co_await learn()) base::log::warn(kComponent, "the edge serves on with its previous configuration");
    co_return replaced;
  }
  ++reload_count_;
  reload_metric_.add();
  co_return base::Result<>{};
}

async::Task<bool> Edge::learn() {
  const auto info = co_await runtime_.ask("show info");
  if (!info) co_return false;
  const std::string description = parse_info(*info, "description");
  const auto last_space = description.rfind(' ');
  const int slots = last_space == std::string::npos ? 0 : std::atoi(description.c_str() + last_space);
  if (slots < slots_ || description != frame_description(settings_, slots)) co_return false;
  const auto servers = co_await runtime_.ask("show servers state");
  const auto routes = co_await runtime_.ask(fmt::format("show map {}", settings_.routes_map().string()));
  const auto reasons = co_await runtime_.ask(fmt::format("show map {}", settings_.reasons_map().string()));
  base::Result<std::string> list = "";
  if (settings_.https.port != 0)
    list = co_await runtime_.ask(fmt::format("show ssl crt-list {}", settings_.certificate_list().string()));
  if (!servers || !routes || !reasons || !list) co_return false;
  slots_ = slots;
  live_ = read_live_state(settings_, *servers, *routes, *reasons, *list);
  ++generation_;
  co_return true;
}

// After learn(): keeps each host in the slot where it is, tells the differences.
async::Task<base::Result<>> Edge::catch_up() {
  std::map<std::string, int> slot_of_host;
  for (const auto& [host, value] : live_.routes) slot_of_host[host] = std::atoi(value.c_str() + 1);
  std::vector<std::string> services;
  for (auto& [service, wanted] : wanted_) {
    const auto at = slot_of_host.find(wanted.route.host);
    wanted.slot = at == slot_of_host.end() ? -1 : at->second;
    services.push_back(service);
  }
  MAINSTAY_CO_TRY_VOID(co_await remove_strangers());
  for (const std::string& service : services) MAINSTAY_CO_TRY_VOID(co_await converge(service));
  // What these hold now nobody knows from outside.
  const auto certificates = settings_.host_certificates;
  for (const auto& [name, certificate] : certificates) {
    if (!live_.certificates.contains(name))
      co_return base::fail(base::ErrorCode::kConflict, "a certificate is missing");
    if (!certificate.pem.empty()) MAINSTAY_CO_TRY_VOID(co_await tell_certificate(name, certificate.pem, true));
  }
  co_return base::Result<>{};
}

// Hosts of Services that were deleted while nobody looked, and servers in slots that are nobody's.
async::Task<base::Result<>> Edge::remove_strangers() {
  std::set<std::string> hosts;
  std::set<int> slots;
  for (const auto& [service, wanted] : wanted_) {
    hosts.insert(wanted.route.host);
    slots.insert(wanted.slot);
  }
  std::vector<std::string> gone;
  for (const auto& [host, value] : live_.routes) {
    if (!hosts.contains(host)) gone.push_back(host);
  }
  for (const std::string& host : gone)
    MAINSTAY_CO_TRY_VOID(co_await remove_route(host, std::atoi(live_.routes[host].c_str() + 1)));
  std::vector<std::pair<int, std::string>> servers;
  for (auto& [slot, named] : live_.servers) {
    for (auto& [name, server] : named) {
      const bool half_deleted = server.retiring;
      server.retiring = false;
      if (half_deleted || !slots.contains(slot)) servers.emplace_back(slot, name);
    }
  }
  for (const auto& [slot, name] : servers) {
    MAINSTAY_CO_TRY_VOID(co_await set_ready(slot, name, false));
    retire(slot, name);
  }
  co_return base::Result<>{};
}

// HAProxy died and was started with what was wanted then: tell it what has changed since.
async::Task<> Edge::converge_all() {
  auto self = shared_from_this();
  const Turn turn = co_await take_turn();
  std::vector<std::string> services;
  for (const auto& [service, wanted] : wanted_) services.push_back(service);
  base::Result<> done;
  for (const std::string& service : services) {
    if (done) done = co_await converge(service);
  }
  if (done) done = co_await remove_strangers();
  if (!done) done = co_await reload_now();
  if (!done) base::log::error(kComponent, "{}", done.error().message);
}

async::Task<> Edge::keep_up() {
  auto self = shared_from_this();
  base::SystemTime renew_at = host_.clock().now();
  while (true) {
    co_await async::sleep_for(std::chrono::seconds(20));
    std::error_code error;
    if (fs::file_size(settings_.access_log(), error) > kLargestLog && !error) {
      if (auto done = co_await reload(); !done)
        base::log::error(kComponent, "cannot turn the access log over: {}", done.error().message);
    }
    if (host_.clock().now() < renew_at) continue;
    renew_at = host_.clock().now() + std::chrono::hours(24);
    const Turn turn = co_await take_turn();
    const std::set<std::string> names = live_.certificates;
    const Certificates* certificates = &certificates_;
    for (const std::string& name : names) {
      const auto own = settings_.host_certificates.find(name);
      if (own != settings_.host_certificates.end() && !own->second.pem.empty()) continue;  // its owner renews it
      const std::vector<std::string> dns = name == kDefaultCertificate
                                               ? std::vector<std::string>{settings_.domain, "*." + settings_.domain}
                                               : certificate_hosts(settings_, name);
      const std::vector<std::string> ips =
          name == kDefaultCertificate ? std::vector<std::string>{settings_.https.host} : std::vector<std::string>{};
      auto made = co_await host_.runtime().blocking(
          [certificates, name, dns, ips] { return certificates->ensure(name, dns, ips); });
      base::Result<> told;
      if (!made) {
        told = std::unexpected(made.error());
      } else if (made->fresh) {
        told = co_await tell_certificate(name, std::move(made->pem), true);
      }
      if (!told) base::log::error(kComponent, "certificate {}: {}; trying again tomorrow", name, told.error().message);
    }
  }
}

}  // namespace mainstay::routing
