// Tells the node proxy what it needs: which pods are in the mesh, their certificates (from an authority of the mesh's
// own, renewed at half their life), who may call them, and what is behind each service. One coroutine does all
// of it, in passes over what should be; whatever changes asks for another pass. On the loop.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "async/sync.h"
#include "capabilities/routing/mesh/authorization.h"
#include "capabilities/routing/mesh/firewall.h"
#include "client/cache.h"
#include "crypto/keys.h"
#include "net/tcp.h"
#include "platform/engine.h"
#include "platform/host.h"
#include "platform/interfaces/sandbox.h"

namespace mainstay::mesh {

class MeshController final : public platform::SandboxNetwork, public std::enable_shared_from_this<MeshController> {
 public:
  explicit MeshController(platform::Host& host);
  async::Task<> start();  // throws std::runtime_error where the mesh's authority cannot be read
  async::Task<base::Result<>> admit(platform::Sandbox sandbox) override;
  void leave(std::string uid) override;
  platform::Health health() const;

 private:
  using Self = std::shared_ptr<MeshController>;
  struct Member {
    platform::Sandbox sandbox;
    bool told = false;    // the proxy of now has it
    bool walled = false;  // its firewall is there
    std::string certificate_pem;
    std::optional<crypto::PrivateKey> key;
    base::SystemTime renew_at{};
    json::value rules;
    std::string trouble;
  };

  static async::Task<> follow(Self self);
  static async::Task<> follow_counts(Self self, std::shared_ptr<net::TcpConnection> connection);
  async::Task<base::Result<>> pass();
  async::Task<base::Result<>> reach_proxy();
  async::Task<> renew_proxy();
  async::Task<base::Result<>> tell(Member& member);
  async::Task<base::Result<>> tell_edge();
  async::Task<base::Result<>> tell_services();
  async::Task<base::Result<>> wall_node();
  async::Task<base::Result<json::value>> ask(json::object message);
  base::Result<> issue(Member& member, const std::string& ns, const std::string& account);
  json::object message_for(const Member& member, const std::string& identity) const;
  bool meshed(const std::string& ns) const;
  bool needed() const;
  Rules rules_for(const platform::Sandbox& sandbox) const;
  std::string edge_identity() const;
  void changed();
  platform::EngineOptions engine_options() const;

  platform::Host& host_;
  FirewallOptions firewall_;
  std::string socket_;
  std::optional<crypto::Authority> authority_;
  std::unique_ptr<platform::Engine> engine_;
  bool engine_started_ = false, complete_told_ = false;
  std::shared_ptr<client::Cache> pods_, namespaces_, services_, slices_, policies_;
  async::Event wake_, done_;
  std::uint64_t wanted_ = 0, settled_ = 0;
  std::map<std::string, std::shared_ptr<Member>> members_;  // every pod with a network, by uid
  std::set<std::string> to_drop_;                           // uids that the proxy still has
  Member edge_;
  std::uint16_t edge_port_ = 0;
  std::shared_ptr<net::TcpConnection> control_;
  json::object services_told_;
  std::string walled_node_;
  std::string trouble_;
};

}  // namespace mainstay::mesh
