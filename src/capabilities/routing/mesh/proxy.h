// The node proxy: carries what meshed pods send each other over mutually authenticated TLS. Within each pod's network
// namespace it listens for what the pod sends (redirected there, in plain text that never leaves the namespace) and for
// what others send it (TLS). Keys are in its memory alone. It decides nothing by itself but by what it was told last,
// and goes on while Mainstay is down. On the loop.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "async/runtime.h"
#include "async/sync.h"
#include "capabilities/routing/mesh/authorization.h"
#include "capabilities/routing/mesh/sockets.h"
#include "net/tcp.h"

namespace mainstay::mesh {

// A pod as the proxy is told of it; the edge is one too, with no address and no network namespace of its own.
struct MeshPod {
  std::string uid, ip, network_namespace, identity;
  std::string certificate_pem, private_key_pem, authority_pem;
  Rules rules;
};

class Proxy : public std::enable_shared_from_this<Proxy> {
 public:
  explicit Proxy(async::Runtime& runtime);
  // Makes the pod's listeners, or gives those that are there new keys and rules: open connections go on. Gives the port
  // on which it listens for what the pod sends.
  base::Result<std::uint16_t> put(MeshPod pod);
  void drop(const std::string& uid);
  void keep_only(const std::vector<std::string>& uids);
  // Takes no more connections, and resumes when those it has are over.
  async::Task<> drain();
  // "10.96.0.9:80" to the endpoints behind it.
  void set_services(std::map<std::string, std::vector<std::string>> services) { services_ = std::move(services); }

  struct Flow {
    std::string source, destination;
    bool allowed = false;
    auto operator<=>(const Flow&) const = default;
  };
  // Connections decided on since the last call.
  std::map<Flow, std::uint64_t> take_counts() { return std::exchange(counts_, {}); }
  async::Event& counted() { return counted_; }
  async::Task<> stop();

 private:
  struct Member;
  using Self = std::shared_ptr<Proxy>;
  struct Side;
  static async::Task<> accept_loop(Self self, std::shared_ptr<Member> member,
                                   std::shared_ptr<net::TcpListener> listener, const Side* side);
  static async::Task<> serve(Self self, std::shared_ptr<Member> member, int fd, const Side* side);
  static async::Task<> serve_sent(Self self, std::shared_ptr<Member> member, int fd);
  static async::Task<> serve_received(Self self, std::shared_ptr<Member> member, int fd);
  std::optional<Destination> endpoint_for(const Destination& wanted) const;
  void count(const std::string& source, const std::string& destination, bool allowed, const std::string& why);

  async::TaskGroup tasks_;
  async::Event counted_;
  std::map<std::string, std::shared_ptr<Member>> members_;  // by uid
  std::map<std::string, std::shared_ptr<Member>> by_ip_;
  std::map<std::string, std::vector<std::string>> services_;
  std::map<Flow, std::uint64_t> counts_;
  struct Said {
    std::chrono::steady_clock::time_point at;
    std::uint64_t left_out = 0;  // since then
  };
  std::map<Flow, Said> said_;  // refusals that were logged
};

// `mainstay mesh-proxy --socket PATH`: runs the proxy, told what to do over the socket.
int proxy_main(int argc, char** argv);

}  // namespace mainstay::mesh
