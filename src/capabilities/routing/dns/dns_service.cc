#include "capabilities/routing/dns/dns_service.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>

#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "capabilities/routing/dns/records.h"

namespace mainstay::routing::dns {
namespace {

using client::ObjectPtr;
constexpr std::string_view kServiceLabel = "kubernetes.io/service-name";
constexpr std::size_t kUdpReply = 1232;

std::string name_of(const json::value& object) { return base::get_string(object, "metadata.name"); }
std::string ns_of(const json::value& object) { return base::get_string(object, "metadata.namespace"); }

// Of this machine, as others see it; where the edge listens on all addresses no one of them is named.
std::string own_address(const std::string& bridge) {
  ifaddrs* all = nullptr;
  std::string found = "127.0.0.1";
  if (::getifaddrs(&all) != 0) return found;
  for (const ifaddrs* at = all; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != AF_INET || bridge == at->ifa_name) continue;
    if ((at->ifa_flags & IFF_LOOPBACK) != 0 || (at->ifa_flags & IFF_UP) == 0) continue;
    char text[INET_ADDRSTRLEN] = "";
    ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(at->ifa_addr)->sin_addr, text, sizeof text);
    found = text;
    break;
  }
  ::freeifaddrs(all);
  return found;
}

std::vector<base::HostPort> machine_resolvers(const std::string& except) {
  const auto text = base::read_file("/etc/resolv.conf", 64u << 10);
  return text ? upstreams_of(*text, except) : std::vector<base::HostPort>{};
}

}  // namespace

DnsService::DnsService(platform::Host& host)
    : host_(host),
      services_(host.caches().of(client::resources::kServices)),
      slices_(host.caches().of(client::resources::kEndpointSlices)),
      pods_(host.caches().of(client::resources::kPods)) {
  const base::Config& config = host.config();
  auto forwarder =
      std::make_shared<Forwarder>(host.clock(), [except = config.node_address()] { return machine_resolvers(except); });
  responder_ = std::make_shared<Responder>(host.tasks(), std::move(forwarder), host.metrics(), config.pod_cidr);
  edge_address_ = config.https.port != 0 ? config.https.host : config.http.host;
  if (edge_address_ == "0.0.0.0" || edge_address_ == "::") edge_address_ = own_address(config.bridge);
}

std::shared_ptr<DnsService> DnsService::add_to(platform::Host& host) {
  if (!host.config().compute && host.config().dns.port == 0) return nullptr;
  auto self = std::make_shared<DnsService>(host);
  platform::CapabilityInfo info;
  info.name = "dns";
  info.title = "Ingress and traffic routing";
  info.number = 5;
  info.part = "DNS";
  info.provider = "built-in";
  info.lost_without = "nothing finds anything by its name: pods fall back to this machine's resolvers";
  info.health = [self] { return health(self); };
  host.add_capability(std::move(info));
  host.provide<platform::PodDns>(self);
  host.on_start("dns", [self] { return start(self); });
  host.on_stop("dns", [self] { return stop(self); });
  return self;
}

void DnsService::add_zones() {
  const base::Config& config = host_.config();
  Zones& zones = responder_->zones();
  const std::string cluster_server = fmt::format("ns.dns.{}", kClusterDomain);
  const std::string server = *wire_name(cluster_server);
  zones.add_zone(*wire_name(kClusterDomain), server, true);
  for (const std::string& cidr : {config.pod_cidr, config.service_cidr}) {
    for (const std::string& zone : reverse_zones(cidr)) zones.add_zone(*wire_name(zone), server, true);
  }
  std::vector<Record> own = host_records(cluster_server, config.node_address());
  if (const auto domain = wire_name(config.domain); domain && domain->size() > 1) {
    const std::string domain_server = "ns." + config.domain;
    if (const auto wire = wire_name(domain_server)) zones.add_zone(*domain, *wire, false);
    const bool anywhere = config.dns.port == 0 || config.dns.host == "0.0.0.0" || config.dns.host == "::";
    for (const auto& [host, address] : {std::pair{domain_server, anywhere ? edge_address_ : config.dns.host},
                                        std::pair{config.domain, edge_address_}}) {
      for (Record& record : host_records(host, address)) own.push_back(std::move(record));
    }
  }
  zones.set("own", std::move(own));
}

void DnsService::follow_objects() {
  const auto self = shared_from_this();
  services_->on_change([self](const ObjectPtr& before, const ObjectPtr& after) {
    const json::value& object = after ? *after : *before;
    self->service_changed(ns_of(object), name_of(object));
  });
  slices_->on_change([self](const ObjectPtr& before, const ObjectPtr& after) {
    for (const ObjectPtr& slice : {before, after}) {
      if (slice) self->service_changed(ns_of(*slice), base::label(*slice, kServiceLabel));
    }
  });
  pods_->on_change([self](const ObjectPtr& before, const ObjectPtr& after) {
    const json::value& object = after ? *after : *before;
    self->responder_->zones().set(fmt::format("pod/{}/{}", ns_of(object), name_of(object)),
                                  after ? pod_records(*after) : std::vector<Record>{});
  });
}

void DnsService::service_changed(const std::string& ns, const std::string& name) {
  const ObjectPtr service = services_->get(ns, name);
  std::vector<ObjectPtr> slices;
  if (service && base::get_string(*service, "spec.clusterIP") == "None") {
    for (ObjectPtr& slice : slices_->list(ns)) {
      if (base::label(*slice, kServiceLabel) == name) slices.push_back(std::move(slice));
    }
  }
  responder_->zones().set(fmt::format("service/{}/{}", ns, name),
                          service ? service_records(*service, slices) : std::vector<Record>{});
}

void DnsService::set_hosts(const std::string& source, const std::vector<std::string>& hosts) {
  Zones& zones = responder_->zones();
  const auto domain = wire_name(host_.config().domain);
  std::vector<Record> records;
  std::set<std::string> foreign;
  for (const std::string& host : hosts) {
    const auto wire = wire_name(host);
    if (!wire) continue;
    bool inside = false;
    for (std::string_view rest = *wire; domain && !rest.empty(); rest = parent_name(rest))
      inside = inside || rest == *domain;
    // A host of somebody else's domain is a zone of its own here: of its neighbours we know nothing, so there is none
    // for a star.
    if (!inside && host.starts_with('*')) continue;
    if (!inside) foreign.insert(*wire);
    for (Record& record : host_records(host, edge_address_)) records.push_back(std::move(record));
  }
  for (auto& [host, sources] : foreign_) {
    if (!foreign.contains(host)) sources.erase(source);
  }
  std::erase_if(foreign_, [&zones](const auto& entry) {
    if (entry.second.empty()) zones.remove_zone(entry.first);
    return entry.second.empty();
  });
  for (const std::string& host : foreign) {
    if (foreign_[host].empty()) zones.add_zone(host, *wire_name("ns." + host_.config().domain), false);
    foreign_[host].insert(source);
  }
  zones.set("host/" + source, std::move(records));
}

async::Task<std::string> DnsService::answer_tcp(std::shared_ptr<Responder> responder, Door door, std::string message,
                                                net::Peer from) {
  co_return co_await responder->answer_whole(std::move(message), from, door);
}

base::Result<> DnsService::listen(const base::HostPort& at, Door door) {
  // The bridge is made after us, so that its first pod already finds its name server.
  const bool later = door == Door::kPods;
  const auto executor = host_.runtime().executor();
  Listener listener;
  MAINSTAY_TRY(listener.udp, net::DatagramServer::open(executor, at, later));
  listener.tcp = std::make_unique<net::FramedServer>(
      executor, [responder = responder_, door](std::string message, net::Peer from) {
        return answer_tcp(responder, door, std::move(message), from);
      });
  if (auto bound = listener.tcp->listen(listener.udp->local(), later); !bound) return std::unexpected(bound.error());
  auto answer = [responder = responder_, udp = std::weak_ptr(listener.udp), door](
                    std::string_view message, const net::Peer& from, std::span<char> out) {
    return responder->answer(message, from, door, out, [udp, from](std::string reply) {
      if (const auto server = udp.lock()) server->send(from, reply);
    });
  };
  host_.tasks().spawn("dns " + at.to_string(), net::DatagramServer::serve(listener.udp, std::move(answer), kUdpReply));
  served_.push_back(listener.udp->local().to_string());
  listeners_.push_back(std::move(listener));
  return {};
}

async::Task<> DnsService::start(std::shared_ptr<DnsService> self) {
  const base::Config& config = self->host_.config();
  co_await self->services_->synced();
  co_await self->slices_->synced();
  co_await self->pods_->synced();
  self->add_zones();
  self->follow_objects();
  std::vector<std::pair<base::HostPort, Door>> doors;
  if (config.compute) doors.emplace_back(base::HostPort{config.node_address(), 53}, Door::kPods);
  if (config.dns.port != 0) doors.emplace_back(config.dns, Door::kOutside);
  for (const auto& [at, door] : doors) {
    const auto done = self->listen(at, door);
    if (done && door == Door::kPods) self->pods_served_ = true;
    if (done) continue;
    // All else goes on: pods use the machine's resolvers, and the status says what is missing.
    base::log::error("dns", "{}", done.error().message);
    self->troubles_.push_back(done.error().message);
  }
}

async::Task<> DnsService::stop(std::shared_ptr<DnsService> self) {
  for (Listener& listener : self->listeners_) co_await listener.tcp->stop();
}

async::Task<platform::Health> DnsService::health(std::shared_ptr<DnsService> self) {
  if (!self->troubles_.empty()) co_return platform::Health{false, base::join(self->troubles_, "; ")};
  co_return platform::Health{
      true, fmt::format("{} names at {}", self->responder_->zones().names(), base::join(self->served_, " and "))};
}

}  // namespace mainstay::routing::dns
