#include "capabilities/routing/mesh/proxy.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <random>

#include "base/log.h"
#include "capabilities/routing/mesh/firewall.h"
#include "crypto/keys.h"

namespace mainstay::mesh {
namespace {

constexpr std::chrono::seconds kHandshakeLimit{5}, kConnectLimit{5};
constexpr std::size_t kMaxFlows = 2000;
// Connections under way at a time that a pod has made, and as many that it was sent. One pod with all of the proxy's
// descriptors would leave none for the others', which may be other teams'. The edge has its own limit (maxconn).
constexpr int kMostOfAPod = 1024, kMostOfTheEdge = 8192;

std::string identity_of(const net::TlsPeer& peer) {
  const auto info = crypto::inspect_certificate(peer.certificate_pem);
  return info && info->uris.size() == 1 ? info->uris.front() : "";
}

std::optional<Destination> parse_destination(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  Destination out{std::string(text.substr(0, colon)), 0};
  const auto [end, error] = std::from_chars(text.data() + colon + 1, text.data() + text.size(), out.port);
  if (error != std::errc() || end != text.data() + text.size() || out.port == 0) return std::nullopt;
  return out;
}

// The edge comes to the pod's own listener, and says by the server name which port it means.
std::string name_for(std::uint16_t port) { return fmt::format("port-{}.mesh", port); }
std::uint16_t port_from(std::string_view name) {
  std::uint16_t port = 0;
  if (name.starts_with("port-")) std::from_chars(name.data() + 5, name.data() + name.size(), port);
  return port;
}

}  // namespace

struct Proxy::Member {
  MeshPod pod;
  Namespace network;
  std::shared_ptr<net::MutualTls> tls;
  std::shared_ptr<net::TcpListener> sent, received;
  std::uint16_t port = 0;
  int sent_open = 0, received_open = 0;
  ~Member() { close(); }
  void close() {
    if (sent) sent->close();
    if (received) received->close();
  }
};

struct Proxy::Side {
  async::Task<> (*serve)(Self, std::shared_ptr<Member>, int);
  int Member::* open;
};

Proxy::Proxy(async::Runtime& runtime) : tasks_(runtime.executor(), "mesh"), counted_(runtime.executor()) {}

base::Result<std::uint16_t> Proxy::put(MeshPod pod) {
  MAINSTAY_TRY(auto tls, net::MutualTls::make(pod.certificate_pem, pod.private_key_pem, pod.authority_pem));
  const auto known = members_.find(pod.uid);
  if (known != members_.end() && known->second->pod.network_namespace == pod.network_namespace &&
      known->second->pod.ip == pod.ip) {
    known->second->tls = std::move(tls);
    known->second->pod = std::move(pod);
    return known->second->port;
  }
  drop(pod.uid);
  static constexpr Side kSent{&Proxy::serve_sent, &Member::sent_open},
      kReceived{&Proxy::serve_received, &Member::received_open};
  auto member = std::make_shared<Member>();
  member->tls = std::move(tls);
  MAINSTAY_TRY(member->network, Namespace::open(pod.network_namespace));
  MAINSTAY_TRY(const int sent, member->network.listen("127.0.0.1", pod.ip.empty() ? 0 : kOutboundPort));
  member->port = local_port(sent);
  member->sent = std::make_shared<net::TcpListener>(tasks_.executor(), sent);
  if (!pod.ip.empty()) {
    MAINSTAY_TRY(const int received, member->network.listen("0.0.0.0", kInboundPort));
    member->received = std::make_shared<net::TcpListener>(tasks_.executor(), received);
    tasks_.spawn("received", accept_loop(shared_from_this(), member, member->received, &kReceived));
    by_ip_[pod.ip] = member;
  }
  tasks_.spawn("sent", accept_loop(shared_from_this(), member, member->sent, &kSent));
  member->pod = std::move(pod);
  members_[member->pod.uid] = member;
  return member->port;
}

void Proxy::drop(const std::string& uid) {
  const auto found = members_.find(uid);
  if (found == members_.end()) return;
  const auto at = by_ip_.find(found->second->pod.ip);
  if (at != by_ip_.end() && at->second == found->second) by_ip_.erase(at);
  found->second->close();
  members_.erase(found);
}

void Proxy::keep_only(const std::vector<std::string>& uids) {
  std::vector<std::string> gone;
  for (const auto& [uid, member] : members_) {
    if (std::ranges::find(uids, uid) == uids.end()) gone.push_back(uid);
  }
  for (const std::string& uid : gone) drop(uid);
}

void Proxy::count(const std::string& source, const std::string& destination, bool allowed, const std::string& why) {
  Flow flow{source.empty() ? "unknown" : source, destination, allowed};
  if (counts_.size() >= kMaxFlows && !counts_.contains(flow)) flow = {"overflow", "overflow", allowed};
  ++counts_[flow];
  counted_.notify_all();
  if (allowed) return;
  // A pod can have as many refused as it likes: a line a second tells of them.
  const auto now = std::chrono::steady_clock::now();
  if (said_.size() >= kMaxFlows && !said_.contains(flow)) said_.clear();
  const auto [said, first] = said_.try_emplace(flow, Said{now});
  if (!first && now - said->second.at < std::chrono::seconds(1)) {
    ++said->second.left_out;
    return;
  }
  const std::uint64_t before = std::exchange(said->second, Said{now}).left_out;
  base::log::warn("mesh", "refused: {} to {}: {}{}", flow.source, flow.destination, why,
                  before > 0 ? fmt::format(" (and {} before)", before) : "");
}

std::optional<Destination> Proxy::endpoint_for(const Destination& wanted) const {
  const auto service = services_.find(fmt::format("{}:{}", wanted.address, wanted.port));
  if (service == services_.end()) return wanted;
  if (service->second.empty()) return std::nullopt;
  static thread_local std::minstd_rand random{std::random_device{}()};
  return parse_destination(service->second[random() % service->second.size()]);
}

async::Task<> Proxy::accept_loop(Self self, std::shared_ptr<Member> member, std::shared_ptr<net::TcpListener> listener,
                                 const Side* side) {
  for (;;) {
    const int fd = co_await listener->accept();
    if (fd < 0) co_return;
    const int most = member->pod.ip.empty() ? kMostOfTheEdge : kMostOfAPod;
    if (int& open = member.get()->*side->open; open < most) {
      ++open;
      self->tasks_.spawn("connection", serve(self, member, fd, side));
      continue;
    }
    ::close(fd);
    const bool sent = side->open == &Member::sent_open;
    self->count(sent ? member->pod.identity : "", sent ? "unknown" : member->pod.identity, false,
                fmt::format("the pod has {} connections already", most));
  }
}

async::Task<> Proxy::serve(Self self, std::shared_ptr<Member> member, int fd, const Side* side) {
  struct Leave {
    ~Leave() { --open; }
    int& open;
  };
  const Leave leave{member.get()->*side->open};
  co_await side->serve(self, member, fd);
}

// What a pod (or the edge) sends: to the proxy's side of the destination, over TLS.
async::Task<> Proxy::serve_sent(Self self, std::shared_ptr<Member> member, int fd) {
  auto near = std::make_shared<net::TcpConnection>(self->tasks_.executor(), fd);
  const std::string source = member->pod.identity;
  const auto wanted = original_destination(fd);
  if (!wanted) co_return;  // nobody's but one who came to this port by himself
  const auto target = self->endpoint_for(*wanted);
  if (!target) co_return;
  auto made = member->network.socket();
  if (!made) {
    base::log::error("mesh", "{}", made.error().message);
    co_return;
  }
  auto far = std::make_shared<net::TcpConnection>(self->tasks_.executor(), *made);
  if (!member->pod.ip.empty() && target->address == member->pod.ip) {
    // To itself: it does not leave the namespace.
    if (co_await net::connect_socket(far->fd(), target->address, target->port, kConnectLimit))
      co_await net::relay(self->tasks_, near, far);
    co_return;
  }
  const auto peer = self->by_ip_.find(target->address);
  if (peer == self->by_ip_.end()) {
    self->count(source, fmt::format("{}:{}", target->address, target->port), false,
                "the destination is not in the mesh, and nothing leaves a meshed pod in plain text");
    co_return;
  }
  const std::string expected = peer->second->pod.identity;
  const bool edge = member->pod.ip.empty();
  const auto connected =
      co_await net::connect_socket(far->fd(), target->address, edge ? kInboundPort : target->port, kConnectLimit);
  if (!connected) {
    base::log::debug("mesh", "{} to {}: {}", source, expected, connected.error().message);
    co_return;
  }
  const auto shown = co_await far->connect_tls(member->tls, name_for(target->port), kHandshakeLimit);
  if (!shown || identity_of(*shown) != expected) {
    self->count(source, expected, false, shown ? "it is " + identity_of(*shown) : shown.error().message);
    co_return;
  }
  co_await net::relay(self->tasks_, near, far);
}

// What others send a pod: whoever proves an identity that the pod's rules let in is connected to the pod, within its
// namespace.
async::Task<> Proxy::serve_received(Self self, std::shared_ptr<Member> member, int fd) {
  auto far = std::make_shared<net::TcpConnection>(self->tasks_.executor(), fd);
  const auto wanted = original_destination(fd);
  const std::string address = peer_address(fd);
  const auto peer = co_await far->accept_tls(member->tls, kHandshakeLimit);
  const std::string destination = member->pod.identity;
  if (!peer) {
    self->count("", destination, false, fmt::format("{}: {}", address, peer.error().message));
    co_return;
  }
  const std::string source = identity_of(*peer);
  const std::uint16_t port = wanted ? wanted->port : port_from(peer->server_name);
  if (port == 0 || port == kInboundPort || port == kOutboundPort || !allowed(member->pod.rules, source, port)) {
    self->count(source, destination, false, fmt::format("no AuthorizationPolicy lets it reach port {}", port));
    co_return;
  }
  self->count(source, destination, true, "");
  auto made = member->network.socket();
  if (!made) co_return;
  auto near = std::make_shared<net::TcpConnection>(self->tasks_.executor(), *made);
  if (co_await net::connect_socket(near->fd(), member->pod.ip, port, kConnectLimit))
    co_await net::relay(self->tasks_, far, near);
}

async::Task<> Proxy::drain() {
  const auto self = shared_from_this();
  keep_only({});
  co_await tasks_.join();
}

async::Task<> Proxy::stop() {
  const auto self = shared_from_this();
  tasks_.cancel();
  co_await tasks_.join();
  members_.clear();
  by_ip_.clear();
}

}  // namespace mainstay::mesh
