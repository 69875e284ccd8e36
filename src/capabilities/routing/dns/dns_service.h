// The platform's name server: keeps the zones as objects change and serves them on the pods' bridge and on --dns.
#pragma once
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "capabilities/routing/dns/responder.h"
#include "net/framed.h"
#include "platform/host.h"
#include "platform/interfaces/pod_dns.h"

namespace mainstay::routing::dns {

class DnsService final : public platform::PodDns, public std::enable_shared_from_this<DnsService> {
 public:
  explicit DnsService(platform::Host& host);
  // Registers the status row, the hooks and the interface. Null where no name server is asked for.
  static std::shared_ptr<DnsService> add_to(platform::Host& host);
  // "" where the pods' address could not be bound.
  std::string nameserver() const override { return pods_served_ ? host_.config().node_address() : ""; }
  // Hosts that the edge serves for this source; replaces what the source said before.
  void set_hosts(const std::string& source, const std::vector<std::string>& hosts);

 private:
  struct Listener {
    std::shared_ptr<net::DatagramServer> udp;
    std::unique_ptr<net::FramedServer> tcp;
  };
  static async::Task<> start(std::shared_ptr<DnsService> self);
  static async::Task<> stop(std::shared_ptr<DnsService> self);
  static async::Task<platform::Health> health(std::shared_ptr<DnsService> self);
  static async::Task<std::string> answer_tcp(std::shared_ptr<Responder> responder, Door door, std::string message,
                                             net::Peer from);
  base::Result<> listen(const base::HostPort& at, Door door);
  void add_zones();
  void follow_objects();
  void service_changed(const std::string& ns, const std::string& name);

  platform::Host& host_;
  std::shared_ptr<Responder> responder_;
  std::shared_ptr<client::Cache> services_, slices_, pods_;
  std::vector<Listener> listeners_;
  std::map<std::string, std::set<std::string>> foreign_;  // hosts outside the platform's domain, by who names them
  std::string edge_address_;
  std::vector<std::string> served_, troubles_;
  bool pods_served_ = false;
};

}  // namespace mainstay::routing::dns
