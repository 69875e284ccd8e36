#include "capabilities/routing/edge.h"

#include <sys/resource.h>

#include "base/log.h"

namespace mainstay::routing {
namespace {

constexpr std::string_view kComponent = "edge";
// How long requests under way at a removed server may take before they are cut.
constexpr std::chrono::seconds kLongestDrain{30};

std::string server_path(int slot, const std::string& server) { return fmt::format("{}/{}", slot_name(slot), server); }

// A word of a command; blanks would part it.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == ' ' || c == '\\' || c == ';') out += '\\';
    out += c;
  }
  return out;
}

int slot_of(std::string_view value) {
  int slot = -1;
  if (value.starts_with('s')) std::from_chars(value.data() + 1, value.data() + value.size(), slot);
  return slot;
}

}  // namespace

LiveState read_live_state(const EdgeSettings& settings, std::string_view servers, std::string_view routes,
                          std::string_view reasons, std::string_view certificates) {
  LiveState out;
  for (const ServerLine& line : parse_servers_state(servers)) {
    const int slot = slot_of(line.backend);
    if (slot < 0) continue;
    out.servers[slot][line.name] = {line.address, line.port, !line.drain && !line.maintenance, line.maintenance,
                                    line.weight};
  }
  out.routes = parse_map(routes);
  out.reasons = parse_map(reasons);
  for (const std::string& file : parse_certificate_list(certificates)) {
    const std::string name = std::filesystem::path(file).stem();
    if (file == settings.certificate_file(name)) out.certificates.insert(name);
  }
  return out;
}

Edge::Edge(platform::Host& host, EdgeSettings settings)
    : host_(host),
      settings_(std::move(settings)),
      runtime_(settings_.admin_socket()),
      certificates_(settings_.dir / "certificates", host.authority(), host.clock()),
      turn_given_(host.runtime().executor()),
      changed_(host.runtime().executor()),
      reload_metric_(
          host.metrics().counter("mainstay_edge_reloads_total", "Times a successor process took over at the edge.")),
      apply_metric_(host.metrics().histogram("mainstay_edge_apply_seconds",
                                             "From a changed route to the edge serving it.",
                                             {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5})) {
  engine_ = std::make_unique<platform::Engine>(host, engine_options());
}

platform::EngineOptions Edge::engine_options() {
  platform::EngineOptions o;
  o.name = "haproxy";
  o.argv = {"/usr/sbin/haproxy", "-f", settings_.config_file()};
  o.detached = true;
  o.output_file = settings_.access_log();
  // The engine is this object's and lives no longer.
  o.prepare = [this] { return prepare(); };
  o.ready = [runtime = runtime_](pid_t pid) -> async::Task<bool> {
    struct Ask {
      static async::Task<bool> go(RuntimeApi api, pid_t wanted) {
        const auto info = co_await api.ask("show info");
        co_return info&& parse_info(*info, "Pid") == std::to_string(wanted);
      }
    };
    return Ask::go(runtime, pid);
  };
  o.find_running = [runtime = runtime_]() -> async::Task<pid_t> {
    struct Ask {
      static async::Task<pid_t> go(RuntimeApi api) {
        const auto info = co_await api.ask("show info");
        co_return info ? static_cast<pid_t>(std::atoi(parse_info(*info, "Pid").c_str())) : 0;
      }
    };
    return Ask::go(runtime);
  };
  o.successor_argv = [argv = o.argv, socket = settings_.admin_socket().string()](pid_t old) {
    std::vector<std::string> out = argv;
    // Takes the listening sockets over from the old process, so that no connection is refused in between.
    out.insert(out.end(), {"-x", socket, "-sf", std::to_string(old)});
    return out;
  };
  return o;
}

Edge::Turn::~Turn() {
  if (!edge_) return;
  edge_->turn_taken_ = false;
  edge_->turn_given_.notify_all();
}

async::Task<Edge::Turn> Edge::take_turn() {
  auto self = shared_from_this();
  while (turn_taken_) co_await turn_given_.wait();
  turn_taken_ = true;
  co_return Turn(std::move(self));
}

void Edge::expect(std::string service, Route route) { wanted_[std::move(service)].route = std::move(route); }

async::Task<base::Result<>> Edge::start() {
  auto self = shared_from_this();
  if (settings_.admin_socket().string().size() > 90) {
    co_return base::fail(
        base::ErrorCode::kInvalid,
        fmt::format("the path {} is too long for a socket: choose a --data-dir of at most 70 characters",
                    settings_.admin_socket().string()));
  }
  while (slots_ < static_cast<int>(wanted_.size()) * 3 / 2) slots_ *= 2;
  engine_->on_restart([this] { host_.tasks().spawn("edge after restart", converge_all()); });
  MAINSTAY_CO_TRY_VOID(co_await engine_->start());
  if (!engine_->adopted()) co_return base::Result<>{};
  const Turn turn = co_await take_turn();
  if (co_await learn()) {
    const base::Result<> caught = co_await catch_up();
    if (caught) co_return base::Result<>{};
    base::log::warn(kComponent, "{}; starting a successor", caught.error().message);
  }
  co_return co_await reload_now();
}

async::Task<> Edge::stop() { co_await engine_->stop(); }
async::Task<> Edge::end() { co_await engine_->terminate(); }

platform::Health Edge::health() const {
  platform::Health health = engine_->health();
  if (health.ok) health.message = fmt::format("{} hosts", wanted_.size());
  return health;
}

// ---------------------------------------------------------------------------------------------------- wanted to live

std::vector<Endpoint> Edge::endpoints_of(const Wanted& wanted) const {
  std::vector<Endpoint> out = wanted.route.endpoints;
  for (Endpoint& endpoint : out) endpoint.ready = endpoint.ready && !wanted.drained.contains(endpoint.name);
  return out;
}

async::Task<base::Result<>> Edge::apply(std::string service, std::optional<Route> route) {
  auto self = shared_from_this();
  const base::SteadyTime begun = host_.clock().steady();
  const Turn turn = co_await take_turn();
  const auto known = wanted_.find(service);
  std::optional<Wanted> before;
  if (known != wanted_.end()) before = known->second;
  if (!route) {
    if (!before) co_return base::Result<>{};
    wanted_.erase(service);
    if (before->slot < 0 || !engine_->running()) co_return base::Result<>{};
    auto removed = co_await remove_route(before->route.host, before->slot);
    if (!removed) removed = co_await reload_now();
    co_return removed;
  }
  Wanted& wanted = wanted_[service];
  // A mark lasts as long as its endpoint does.
  std::erase_if(wanted.drained, [&](const std::string& name) {
    return std::none_of(route->endpoints.begin(), route->endpoints.end(), [&](const Endpoint& e) {
      return e.name == name &&
             std::any_of(wanted.route.endpoints.begin(), wanted.route.endpoints.end(),
                         [&e](const Endpoint& old) { return old.name == e.name && old.address == e.address; });
    });
  });
  wanted.route = std::move(*route);
  if (!engine_->running()) co_return base::fail(base::ErrorCode::kUnavailable, engine_->health().message);
  if (before && before->route.host != wanted.route.host && before->slot >= 0) {
    if (auto gone =
            co_await runtime_.tell(fmt::format("del map {} {}", settings_.routes_map().string(), before->route.host));
        gone)
      live_.routes.erase(before->route.host);
  }
  auto done = co_await converge(service);
  if (!done && engine_->running()) {
    base::log::warn(kComponent, "{}; starting a successor", done.error().message);
    done = co_await reload_now();
  }
  apply_metric_.observe(std::chrono::duration<double>(host_.clock().steady() - begun).count());
  co_return done;
}

async::Task<base::Result<>> Edge::converge(std::string service) {
  const auto it = wanted_.find(service);
  if (it == wanted_.end()) co_return base::Result<>{};
  if (it->second.slot < 0) {
    assign_slots();
    if (wanted_[service].slot < 0) {
      slots_ *= 2;
      base::log::info(kComponent, "all places for hosts are taken: starting a successor with {}", slots_);
      co_return co_await reload_now();
    }
  }
  const Wanted wanted = wanted_[service];
  MAINSTAY_CO_TRY_VOID(co_await ensure_certificate(wanted.route.certificate));
  MAINSTAY_CO_TRY_VOID(co_await converge_servers(wanted));
  co_return co_await converge_route(wanted);
}

// Gives each route without a slot one that is empty, servers on their way out included.
void Edge::assign_slots() {
  std::set<int> taken;
  for (const auto& [service, wanted] : wanted_) taken.insert(wanted.slot);
  for (const auto& [slot, servers] : live_.servers) {
    if (!servers.empty()) taken.insert(slot);
  }
  int next = 0;
  for (auto& [service, wanted] : wanted_) {
    if (wanted.slot >= 0) continue;
    while (next < slots_ && taken.contains(next)) ++next;
    if (next >= slots_) return;
    wanted.slot = next++;
  }
}

async::Task<base::Result<>> Edge::converge_route(Wanted wanted) {
  const std::vector<Endpoint> endpoints = endpoints_of(wanted);
  const bool ready = std::any_of(endpoints.begin(), endpoints.end(), [](const Endpoint& e) { return e.ready; });
  if (!ready) {  // a reason that nobody is shown need not be right
    const std::string reason = wanted.route.why_not_ready();
    const auto said = live_.reasons.find(wanted.route.host);
    if (said == live_.reasons.end() || said->second != reason) {
      const char* verb = said == live_.reasons.end() ? "add" : "set";
      MAINSTAY_CO_TRY_VOID(co_await runtime_.tell(
          fmt::format("{} map {} {} {}", verb, settings_.reasons_map().string(), wanted.route.host, escaped(reason))));
      live_.reasons[wanted.route.host] = reason;
    }
  }
  const std::string value = route_value(wanted.route, wanted.slot);
  const auto present = live_.routes.find(wanted.route.host);
  if (present != live_.routes.end() && present->second == value) co_return base::Result<>{};
  const char* verb = present == live_.routes.end() ? "add" : "set";
  MAINSTAY_CO_TRY_VOID(co_await runtime_.tell(
      fmt::format("{} map {} {} {}", verb, settings_.routes_map().string(), wanted.route.host, value)));
  live_.routes[wanted.route.host] = value;
  co_return base::Result<>{};
}

async::Task<base::Result<>> Edge::converge_servers(Wanted wanted) {
  const std::vector<Endpoint> endpoints = endpoints_of(wanted);
  std::set<std::string> kept;
  // New ones first: there is never a moment without a ready one in between.
  for (const Endpoint& endpoint : endpoints) {
    kept.insert(endpoint.name);
    auto& servers = live_.servers[wanted.slot];
    const auto live = servers.find(endpoint.name);
    if (live == servers.end()) {
      if (endpoint.ready) MAINSTAY_CO_TRY_VOID(co_await add_server(wanted.slot, wanted.route, endpoint));
      continue;
    }
    if (live->second.address != endpoint.address || live->second.port != endpoint.port) {
      // The name moved to another address: out with the old one, and the new one comes when that is gone.
      MAINSTAY_CO_TRY_VOID(co_await set_ready(wanted.slot, endpoint.name, false));
      retire(wanted.slot, endpoint.name);
      continue;
    }
    live->second.retiring = false;
    if (live->second.weight != endpoint.weight) {
      MAINSTAY_CO_TRY_VOID(co_await runtime_.tell(
          fmt::format("set server {} weight {}", server_path(wanted.slot, endpoint.name), endpoint.weight)));
      live_.servers[wanted.slot][endpoint.name].weight = endpoint.weight;
    }
    if (live_.servers[wanted.slot][endpoint.name].ready != endpoint.ready)
      MAINSTAY_CO_TRY_VOID(co_await set_ready(wanted.slot, endpoint.name, endpoint.ready));
  }
  std::vector<std::string> gone;
  for (const auto& [name, server] : live_.servers[wanted.slot]) {
    if (!kept.contains(name)) gone.push_back(name);
  }
  for (const std::string& name : gone) {
    MAINSTAY_CO_TRY_VOID(co_await set_ready(wanted.slot, name, false));
    retire(wanted.slot, name);
  }
  co_return base::Result<>{};
}

async::Task<base::Result<>> Edge::add_server(int slot, Route route, Endpoint endpoint) {
  const std::string path = server_path(slot, endpoint.name);
  // Servers that come at run time get none of the defaults: without these two each request has its own connection.
  MAINSTAY_CO_TRY_VOID(
      co_await runtime_.tell(fmt::format("add server {0} {1} pool-max-conn -1 pool-purge-delay 5s; enable server {0}",
                                         path, server_arguments(route, endpoint)),
                             "New server registered."));
  live_.servers[slot][endpoint.name] = {endpoint.address, endpoint.port, true, false, endpoint.weight};
  co_return base::Result<>{};
}

async::Task<base::Result<>> Edge::set_ready(int slot, std::string server, bool ready) {
  LiveServer& live = live_.servers[slot][server];
  if (live.ready == ready) co_return base::Result<>{};
  MAINSTAY_CO_TRY_VOID(co_await runtime_.tell(
      fmt::format("set server {} state {}", server_path(slot, server), ready ? "ready" : "drain")));
  live_.servers[slot][server].ready = ready;
  co_return base::Result<>{};
}

async::Task<base::Result<>> Edge::remove_route(std::string host, int slot) {
  if (live_.routes.contains(host)) {
    MAINSTAY_CO_TRY_VOID(co_await runtime_.tell(fmt::format("del map {} {}", settings_.routes_map().string(), host)));
    live_.routes.erase(host);
  }
  if (live_.reasons.contains(host)) {
    MAINSTAY_CO_TRY_VOID(co_await runtime_.tell(fmt::format("del map {} {}", settings_.reasons_map().string(), host)));
    live_.reasons.erase(host);
  }
  std::vector<std::string> servers;
  for (const auto& [name, server] : live_.servers[slot]) servers.push_back(name);
  for (const std::string& name : servers) {
    MAINSTAY_CO_TRY_VOID(co_await set_ready(slot, name, false));
    retire(slot, name);
  }
  co_return base::Result<>{};
}

// ------------------------------------------------------------------------------------------------------- on the way
// out

void Edge::retire(int slot, std::string server) {
  LiveServer& live = live_.servers[slot][server];
  if (live.retiring) return;
  live.retiring = true;
  host_.tasks().spawn("edge server " + server, finish_server(slot, std::move(server)));
}

async::Task<std::map<std::string, std::uint64_t>> Edge::connections() {
  const auto text = co_await runtime_.ask("show servers conn");
  co_return text ? parse_connections(*text) : std::map<std::string, std::uint64_t>{};
}

// Waits until nothing is under way at the server, then deletes it, unless it is wanted again meanwhile.
async::Task<> Edge::finish_server(int slot, std::string server) {
  auto self = shared_from_this();
  const std::uint64_t generation = generation_;
  const std::string path = server_path(slot, server);
  const base::SteadyTime deadline = host_.clock().steady() + kLongestDrain;
  const auto still = [&] {
    if (generation != generation_) return false;
    const auto servers = live_.servers.find(slot);
    if (servers == live_.servers.end()) return false;
    const auto live = servers->second.find(server);
    return live != servers->second.end() && live->second.retiring;
  };
  std::chrono::milliseconds pause{10};
  bool cut = false;
  while (still()) {
    co_await async::sleep_for(pause);  // HAProxy tells nobody when a connection ends
    pause = std::min(pause * 2, std::chrono::milliseconds(250));
    const auto in_use = co_await connections();
    const auto used = in_use.find(path);
    const bool late = host_.clock().steady() >= deadline;
    if (used != in_use.end() && used->second > 0 && !late) continue;
    const Turn turn = co_await take_turn();
    if (!still()) co_return;
    if (late && !cut) {
      base::log::warn(kComponent, "{} still had requests after {} s: cutting them", path, kLongestDrain.count());
      co_await runtime_.tell("shutdown sessions server " + path);
      cut = true;
    }
    co_await runtime_.tell(fmt::format("set server {} state maint", path));
    const auto deleted = co_await runtime_.tell("del server " + path, "Server deleted.");
    if (!deleted && late && host_.clock().steady() > deadline + kLongestDrain) co_return;  // a reload clears it away
    if (!deleted) continue;  // an idle connection is still being closed
    live_.servers[slot].erase(server);
    if (live_.servers[slot].empty()) live_.servers.erase(slot);
    // Wanted under the same name at another address: now there is room for it.
    for (const auto& [service, wanted] : wanted_) {
      if (wanted.slot == slot) {
        const std::string key = service;
        co_await converge(key);
        break;
      }
    }
    changed_.notify_all();
    co_return;
  }
}

async::Task<> Edge::drain(std::string pod_ip, std::chrono::milliseconds limit) {
  auto self = shared_from_this();
  const base::SteadyTime deadline = host_.clock().steady() + limit;
  std::vector<std::string> services;
  std::set<std::string> paths;
  {
    const Turn turn = co_await take_turn();
    for (auto& [service, wanted] : wanted_) {
      for (const Endpoint& endpoint : wanted.route.endpoints) {
        if (endpoint.address != pod_ip) continue;
        wanted.drained.insert(endpoint.name);
        services.push_back(service);
      }
    }
    for (const std::string& service : services) {
      if (engine_->running()) co_await converge(service);
    }
    // Also what is on its way out already: the slice may have been first.
    for (const auto& [slot, servers] : live_.servers) {
      for (const auto& [name, server] : servers) {
        if (server.address == pod_ip) paths.insert(server_path(slot, name));
      }
    }
  }
  std::chrono::milliseconds pause{2};
  // Twice nothing: a request may be between the choice of its server and its connection.
  for (int quiet = 0; !paths.empty() && quiet < 2 && host_.clock().steady() < deadline && engine_->running();) {
    const auto in_use = co_await connections();
    const bool busy = std::any_of(paths.begin(), paths.end(), [&in_use](const std::string& path) {
      const auto used = in_use.find(path);
      return used != in_use.end() && used->second > 0;
    });
    quiet = busy ? 0 : quiet + 1;
    co_await async::sleep_for(pause);
    if (busy) pause = std::min(pause * 2, std::chrono::milliseconds(50));
  }
}

}  // namespace mainstay::routing
