// One pass over the world. Internal to gateway/.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "capabilities/routing/gateway/compile.h"

namespace mainstay::routing {

class Compiler {
 public:
  Compiler(const World& world, const base::Config& config) : world_(world), config_(config) {}
  Compiled run();

 private:
  struct Listener {
    std::string gateway, name, hostname, pem, pem_name;
    int port = 0;
    bool tls = false, ok = false;
    std::vector<std::string> kinds;
    const json::value* spec = nullptr;
  };
  struct Claim {
    bool plain = false, tls = false;
    std::string pem, pem_name;
  };
  using Hosts = std::map<std::string, Claim>;
  struct BackendRef {
    std::string ns, name, port_name;
    std::int64_t port = 0, weight = 1;
  };
  struct Targets {
    std::string service;  // the first that is there; its route's own name where none is
    bool none = false;    // none is there
    bool http2 = false;
    std::map<std::string, std::pair<Endpoint, double>> endpoints;  // by address and port, with their share
  };

  void add_gateways();
  void add_listener(const json::value& gateway, const json::value& spec);
  Condition listener_accepted(const Listener& listener) const;
  // `kind` is HTTPRoute or GRPCRoute, which is read as the HTTPRoute that says the same.
  void add_route(const std::string& kind, const json::value& route);
  Targets route_targets(const std::string& kind, const json::value& route, const json::value& rule,
                        Condition& resolved) const;
  void add_ingress(const json::value& ingress);
  void add_ingress_path(const json::value& ingress, const Hosts& hosts, const json::value& path,
                        const std::string& host, std::size_t index, std::string& trouble);
  std::string ingress_class_trouble(const json::value& ingress) const;
  Hosts ingress_hosts(const json::value& ingress, std::string& trouble) const;
  void ingress_certificates(const json::value& ingress, Hosts& hosts, std::string& trouble) const;
  // nullopt: the parent is none of ours.
  std::optional<Condition> attach(const std::string& kind, const json::value& route, const json::value& parent,
                                  Hosts& hosts);
  // What is wrong with the reference, if anything.
  std::optional<Condition> add_backend(const std::string& from_kind, const std::string& from_ns, const BackendRef& ref,
                                       Targets& targets) const;
  // What is wrong with the rule, or who has what it claims.
  std::optional<std::string> add_rule(Rule rule, const Targets& targets, const Hosts& hosts);
  void add_certificates(const Hosts& hosts);
  bool granted(const std::string& from_kind, const std::string& from_ns, const std::string& to_kind,
               const std::string& to_ns, const std::string& to_name) const;
  base::Result<std::string> pem_of(const std::string& from_kind, const std::string& from_ns, const std::string& ns,
                                   const std::string& name) const;
  std::string not_allowed(const std::string& host) const;
  static std::vector<Endpoint> weighted(const Targets& targets);
  static AccessPolicy access_of(const json::value& object);

  const World& world_;
  const base::Config& config_;
  Compiled out_;
  std::vector<Listener> listeners_;
  std::map<std::string, int> attached_;         // by "gateway listener"
  std::map<std::string, std::string> claimed_;  // signature of a match to who has it
  std::set<std::string> certified_;
};

}  // namespace mainstay::routing
