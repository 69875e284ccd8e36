#include "capabilities/routing/mesh/controller.h"

#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stdexcept>

#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "capabilities/routing/mesh/mesh.h"
#include "net/connect.h"
#include "platform/nftables.h"

namespace mainstay::mesh {
namespace {

const client::Resource kPolicies{"mainstay.dev", "v1", "authorizationpolicies", true, "AuthorizationPolicy"};
constexpr const char* kTable = "the mesh's rules";
constexpr std::size_t kMaxLine = 1u << 20;
constexpr const char *kTeamLabel = "mainstay.dev/team", *kEnvironmentLabel = "mainstay.dev/environment";

async::Task<pid_t> pid_at(std::string socket) {
  auto fd = co_await net::connect_unix(socket, std::chrono::seconds(2));
  if (!fd) co_return 0;
  net::TcpConnection connection(co_await boost::asio::this_coro::executor, *fd);
  if (!co_await connection.write("{\"op\":\"pid\"}\n")) co_return 0;
  const auto line = co_await connection.read_line(kMaxLine);
  const auto answer = line ? base::parse_json(*line) : base::parse_json("{}");
  co_return answer ? static_cast<pid_t>(base::get_int(*answer, "pid")) : 0;
}
async::Task<bool> is_pid_at(std::string socket, pid_t pid) { co_return co_await pid_at(std::move(socket)) == pid; }

// Whether a process runs another file than we do: after an upgrade, also one at the same path.
bool runs_another_program(pid_t pid) {
  struct stat own{}, theirs{};
  return ::stat("/proc/self/exe", &own) == 0 && ::stat(fmt::format("/proc/{}/exe", pid).c_str(), &theirs) == 0 &&
         (own.st_dev != theirs.st_dev || own.st_ino != theirs.st_ino);
}

// Endpoints of every port of every service, as the proxy takes them.
json::object services_map(const client::Cache& services, const client::Cache& slices) {
  std::map<std::pair<std::string, std::string>, std::vector<client::ObjectPtr>> by_service;
  for (client::ObjectPtr& slice : slices.list()) {
    const std::string name = base::label(*slice, "kubernetes.io/service-name");
    if (!name.empty()) by_service[{base::get_string(*slice, "metadata.namespace"), name}].push_back(std::move(slice));
  }
  json::object out;
  for (const client::ObjectPtr& service : services.list()) {
    const std::string ip = base::get_string(*service, "spec.clusterIP");
    if (ip.empty() || ip == "None") continue;
    const auto& own =
        by_service[{base::get_string(*service, "metadata.namespace"), base::get_string(*service, "metadata.name")}];
    for (const json::value& port : base::get_array(*service, "spec.ports")) {
      json::array endpoints;
      for (const client::ObjectPtr& slice : own) {
        std::int64_t target = 0;
        for (const json::value& offered : base::get_array(*slice, "ports")) {
          if (base::get_string(offered, "name") == base::get_string(port, "name"))
            target = base::get_int(offered, "port");
        }
        for (const json::value& endpoint : base::get_array(*slice, "endpoints")) {
          if (target <= 0 || !base::get_bool(endpoint, "conditions.ready", true)) continue;
          for (const json::value& address : base::get_array(endpoint, "addresses")) {
            if (address.is_string())
              endpoints.emplace_back(fmt::format("{}:{}", std::string_view(address.as_string()), target));
          }
        }
      }
      out[fmt::format("{}:{}", ip, base::get_int(port, "port"))] = std::move(endpoints);
    }
  }
  return out;
}

}  // namespace

MeshController::MeshController(platform::Host& host)
    : host_(host),
      firewall_{host.config().pod_cidr, host.config().service_cidr, host.config().node_address()},
      socket_(host.config().dir("run") / "mesh.sock"),
      wake_(host.runtime().executor()),
      done_(host.runtime().executor()) {}

void MeshController::changed() {
  ++wanted_;
  wake_.notify_all();
}

std::string MeshController::edge_identity() const {
  return spiffe_id(host_.config().domain, "mainstay-system", "edge");
}

platform::EngineOptions MeshController::engine_options() const {
  platform::EngineOptions o;
  o.name = "mesh-proxy";
  o.argv = {"/proc/self/exe", "mesh-proxy", "--socket", socket_};
  o.detached = true;
  o.memory_limit_bytes = 512u << 20;
  o.ready = [socket = socket_](pid_t pid) { return is_pid_at(socket, pid); };
  o.find_running = [socket = socket_] { return pid_at(socket); };
  o.successor_argv = [argv = o.argv](pid_t) { return argv; };
  return o;
}

async::Task<> MeshController::start() {
  const auto pki = host_.config().dir("pki");
  base::Clock* clock = &host_.clock();
  auto authority = co_await host_.runtime().blocking(
      [pki, clock] { return crypto::Authority::open(pki / "mesh.crt", pki / "mesh.key", *clock); });
  if (!authority) throw std::runtime_error(authority.error().message);
  authority_ = *std::move(authority);
  const std::weak_ptr<MeshController> weak = weak_from_this();
  for (const auto& [cache, resource] :
       {std::pair{&pods_, &client::resources::kPods}, std::pair{&namespaces_, &client::resources::kNamespaces},
        std::pair{&services_, &client::resources::kServices}, std::pair{&slices_, &client::resources::kEndpointSlices},
        std::pair{&policies_, &kPolicies}}) {
    *cache = host_.caches().of(*resource);
    co_await (*cache)->synced();
    (*cache)->on_change([weak](const client::ObjectPtr&, const client::ObjectPtr&) {
      if (const auto self = weak.lock()) self->changed();
    });
  }
  engine_ = std::make_unique<platform::Engine>(host_, engine_options());
  engine_->on_restart([weak] {
    const auto self = weak.lock();
    if (!self) return;
    self->control_.reset();
    self->changed();
  });
  host_.tasks().spawn("mesh", follow(shared_from_this()));
}

bool MeshController::meshed(const std::string& ns) const {
  const client::ObjectPtr object = namespaces_->get("", ns);
  return object && base::label(*object, kMeshLabel) == "true";
}

bool MeshController::needed() const {
  if (!to_drop_.empty()) return true;
  for (const auto& [uid, member] : members_) {
    if (member->walled || member->told || meshed(member->sandbox.ns)) return true;
  }
  return false;
}

Rules MeshController::rules_for(const platform::Sandbox& sandbox) const {
  // The default of NetworkPolicies: its own environment and the team's namespace, never another environment.
  std::vector<std::string> callers{sandbox.ns};
  const client::ObjectPtr own = namespaces_->get("", sandbox.ns);
  const std::string team = own ? base::label(*own, kTeamLabel) : "",
                    environment = own ? base::label(*own, kEnvironmentLabel) : "";
  for (const client::ObjectPtr& ns : namespaces_->list()) {
    const std::string name = base::get_string(*ns, "metadata.name"), theirs = base::label(*ns, kEnvironmentLabel);
    if (team.empty() || name == sandbox.ns || base::label(*ns, kTeamLabel) != team) continue;
    if (environment.empty() || theirs.empty() || theirs == environment) callers.push_back(name);
  }
  const client::ObjectPtr pod = pods_->get(sandbox.ns, sandbox.pod);
  const json::value nothing = json::object{{"metadata", json::object{{"namespace", sandbox.ns}}}};
  return rules_of(pod ? *pod : nothing, policies_->list(sandbox.ns), callers, {edge_identity()});
}

async::Task<base::Result<>> MeshController::admit(platform::Sandbox sandbox) {
  const auto self = shared_from_this();
  const std::string uid = sandbox.uid;
  auto member = std::make_shared<Member>();
  member->sandbox = std::move(sandbox);
  members_[uid] = member;
  to_drop_.erase(uid);
  if (!meshed(member->sandbox.ns)) co_return base::Result<>{};
  changed();
  const std::uint64_t mine = wanted_;
  while (settled_ < mine) co_await done_.wait();
  if (!member->trouble.empty()) co_return base::fail(base::ErrorCode::kUnavailable, "mesh: " + member->trouble);
  if (!member->told || !member->walled)
    co_return base::fail(base::ErrorCode::kUnavailable, trouble_.empty() ? "mesh: not ready" : "mesh: " + trouble_);
  co_return base::Result<>{};
}

void MeshController::leave(std::string uid) {
  const auto found = members_.find(uid);
  if (found == members_.end()) return;
  const bool told = found->second->told;
  members_.erase(found);
  if (!told) return;
  to_drop_.insert(std::move(uid));
  changed();
}

base::Result<> MeshController::issue(Member& member, const std::string& ns, const std::string& account) {
  if (member.key && host_.clock().now() < member.renew_at) return {};
  crypto::CertificateRequest request;
  request.common_name = account.substr(0, 60);
  request.uris = {spiffe_id(host_.config().domain, ns, account)};
  request.client = request.server = true;
  request.lifetime = host_.config().mesh_certificate_lifetime;
  crypto::PrivateKey key = crypto::PrivateKey::generate();
  MAINSTAY_TRY(member.certificate_pem, authority_->issue(request, key.public_pem(), host_.clock()));
  member.key = std::move(key);
  member.renew_at = host_.clock().now() + host_.config().mesh_certificate_lifetime / 2;
  member.told = false;
  return {};
}

json::object MeshController::message_for(const Member& member, const std::string& identity) const {
  return {{"op", "pod"},
          {"uid", member.sandbox.uid},
          {"ip", member.sandbox.ip},
          {"networkNamespace", member.sandbox.network_namespace},
          {"identity", identity},
          {"certificate", member.certificate_pem},
          {"key", member.key->to_pem()},
          {"authority", authority_->certificate_pem()},
          {"rules", member.rules}};
}

async::Task<base::Result<json::value>> MeshController::ask(json::object message) {
  const auto connection = control_;
  const auto failed = [this](std::string why) {
    control_.reset();
    return base::fail(base::ErrorCode::kUnavailable, std::move(why));
  };
  if (!connection || !co_await connection->write(json::serialize(message) + "\n"))
    co_return failed("the mesh proxy does not listen");
  const auto line = co_await connection->read_line(kMaxLine);
  if (!line) co_return failed("the mesh proxy does not answer");
  auto answer = base::parse_json(*line);
  if (!answer) co_return failed("the mesh proxy answers nonsense");
  if (const std::string error = base::get_string(*answer, "error"); !error.empty())
    co_return base::fail(base::ErrorCode::kUnavailable, error);
  co_return *std::move(answer);
}

// A proxy that an earlier version of this program has left goes on with the connections it has; new ones are for one of
// this version. Where that does not come up the old one stays in charge.
async::Task<> MeshController::renew_proxy() {
  const pid_t pid = engine_->pid();
  if (!engine_->adopted() || !runs_another_program(pid)) co_return;
  const auto replaced = co_await engine_->replace();
  if (replaced)
    base::log::info("mesh", "the node proxy of an earlier version (process {}) has a successor and finishes", pid);
  else
    base::log::error("mesh", "the node proxy of an earlier version (process {}) stays: {}", pid,
                     replaced.error().message);
}

// The proxy is started when the first pod needs it; one that runs from before is taken up.
async::Task<base::Result<>> MeshController::reach_proxy() {
  if (!engine_started_) {
    MAINSTAY_CO_TRY_VOID(co_await engine_->start());
    engine_started_ = true;
    co_await renew_proxy();
  }
  if (control_) co_return base::Result<>{};
  MAINSTAY_CO_TRY(const int fd, co_await net::connect_unix(socket_, std::chrono::seconds(5)));
  control_ = std::make_shared<net::TcpConnection>(host_.runtime().executor(), fd);
  MAINSTAY_CO_TRY(const int counts, co_await net::connect_unix(socket_, std::chrono::seconds(5)));
  host_.tasks().spawn("mesh counts", follow_counts(shared_from_this(), std::make_shared<net::TcpConnection>(
                                                                           host_.runtime().executor(), counts)));
  // It may be another process than the one that was told before.
  for (const auto& [uid, member] : members_) member->told = false;
  edge_.told = false;
  services_told_.clear();
  complete_told_ = false;
  json::array uids{json::value("edge")};
  for (const auto& [uid, member] : members_) {
    if (meshed(member->sandbox.ns)) uids.emplace_back(uid);
  }
  MAINSTAY_CO_TRY_VOID(co_await ask({{"op", "keep"}, {"uids", std::move(uids)}}));
  to_drop_.clear();
  co_return base::Result<>{};
}

async::Task<base::Result<>> MeshController::tell(Member& member) {
  MAINSTAY_CO_TRY_VOID(issue(member, member.sandbox.ns, member.sandbox.service_account));
  json::value rules = to_json(rules_for(member.sandbox));
  if (!member.told || rules != member.rules) {
    member.rules = std::move(rules);
    const std::string identity = spiffe_id(host_.config().domain, member.sandbox.ns, member.sandbox.service_account);
    MAINSTAY_CO_TRY_VOID(co_await ask(message_for(member, identity)));
    member.told = true;
  }
  if (!member.walled) {
    MAINSTAY_CO_TRY_VOID(
        co_await platform::load_nft_rules(pod_firewall(firewall_), kTable, member.sandbox.network_namespace));
    member.walled = true;
  }
  co_return base::Result<>{};
}

async::Task<base::Result<>> MeshController::tell_edge() {
  edge_.sandbox.uid = "edge";
  MAINSTAY_CO_TRY_VOID(issue(edge_, "mainstay-system", "edge"));
  if (edge_.told) co_return base::Result<>{};
  edge_.rules = to_json(Rules{});
  MAINSTAY_CO_TRY(const json::value answer, co_await ask(message_for(edge_, edge_identity())));
  edge_port_ = static_cast<std::uint16_t>(base::get_int(answer, "port"));
  edge_.told = true;
  co_return base::Result<>{};
}

async::Task<base::Result<>> MeshController::tell_services() {
  json::object map = services_map(*services_, *slices_);
  if (map == services_told_) co_return base::Result<>{};
  MAINSTAY_CO_TRY_VOID(co_await ask({{"op", "services"}, {"map", map}}));
  services_told_ = std::move(map);
  co_return base::Result<>{};
}

async::Task<base::Result<>> MeshController::wall_node() {
  std::set<std::string> ips;
  for (const auto& [uid, member] : members_) {
    if (member->told) ips.insert(member->sandbox.ip);
  }
  const passwd* user = ::getpwnam("haproxy");
  if (user == nullptr) user = ::getpwnam("nobody");
  if (user == nullptr) co_return base::Result<>{};
  std::string text = node_firewall(host_.config().bridge + "-mesh", user->pw_uid, edge_port_, ips);
  if (text == walled_node_) co_return base::Result<>{};
  MAINSTAY_CO_TRY_VOID(co_await platform::load_nft_rules(text, kTable));
  walled_node_ = std::move(text);
  co_return base::Result<>{};
}

async::Task<base::Result<>> MeshController::pass() {
  if (!needed()) co_return base::Result<>{};
  MAINSTAY_CO_TRY_VOID(co_await reach_proxy());
  MAINSTAY_CO_TRY_VOID(co_await tell_edge());
  MAINSTAY_CO_TRY_VOID(co_await tell_services());
  const auto members = members_;  // it changes while we wait
  for (const auto& [uid, member] : members) {
    if (!members_.contains(uid)) continue;
    if (meshed(member->sandbox.ns)) {
      const auto told = co_await tell(*member);
      member->trouble = told ? "" : told.error().message;
      if (!told && !control_) co_return told;
    } else if (member->walled || member->told) {
      // The label was taken away.
      if (const auto opened =
              co_await platform::load_nft_rules(remove_pod_firewall(), kTable, member->sandbox.network_namespace);
          !opened)
        base::log::warn("mesh", "{}", opened.error().message);
      member->walled = member->told = false;
      to_drop_.insert(uid);
    }
  }
  MAINSTAY_CO_TRY_VOID(co_await wall_node());
  while (!to_drop_.empty()) {
    const std::string uid = *to_drop_.begin();
    MAINSTAY_CO_TRY_VOID(co_await ask({{"op", "drop"}, {"uid", uid}}));
    to_drop_.erase(uid);
  }
  if (!complete_told_) {
    // One without the operation has no predecessor either.
    (void)co_await ask({{"op", "complete"}});
    complete_told_ = true;
  }
  co_return base::Result<>{};
}

async::Task<> MeshController::follow(Self self) {
  MeshController& c = *self;
  for (;;) {
    if (c.settled_ >= c.wanted_) {
      // Certificates are renewed at half their life; nothing tells of the time but the time.
      if (!co_await c.wake_.wait_for(c.host_.config().mesh_certificate_lifetime / 10)) c.changed();
      continue;
    }
    const std::uint64_t upto = c.wanted_;
    const auto done = co_await c.pass();
    c.trouble_ = done ? "" : done.error().message;
    c.settled_ = upto;
    c.done_.notify_all();
    if (done) continue;
    base::log::warn("mesh", "{}", c.trouble_);
    co_await c.wake_.wait_for(std::chrono::seconds(1));
    c.changed();
  }
}

async::Task<> MeshController::follow_counts(Self self, std::shared_ptr<net::TcpConnection> connection) {
  if (!co_await connection->write("{\"op\":\"counts\"}\n")) co_return;
  while (const auto line = co_await connection->read_line(kMaxLine)) {
    const auto message = base::parse_json(*line);
    if (!message) co_return;
    for (const json::value& entry : base::get_array(*message, "counts")) {
      const std::string source = base::get_string(entry, "source"),
                        destination = base::get_string(entry, "destination");
      const bool ok = base::get_bool(entry, "allowed");
      if (!ok) base::log::info("mesh", "refused {} to {}", source, destination);
      self->host_.metrics()
          .counter("mainstay_mesh_connections_total", "Connections in the mesh by who called whom, and the decision.",
                   {{"source", source}, {"destination", destination}, {"allowed", ok ? "true" : "false"}})
          .add(static_cast<double>(base::get_int(entry, "count")));
    }
  }
  // The proxy is gone: the pass that finds it again opens another.
  self->control_.reset();
  self->changed();
}

platform::Health MeshController::health() const {
  if (!trouble_.empty()) return {false, trouble_};
  std::size_t count = 0;
  for (const auto& [uid, member] : members_) count += member->told ? 1 : 0;
  if (!engine_started_) return {true, fmt::format("no namespace with pods is labelled {}", kMeshLabel)};
  if (const platform::Health engine = engine_->health(); !engine.ok) return engine;
  return {true, fmt::format("{} pods in the mesh", count)};
}

}  // namespace mainstay::mesh
