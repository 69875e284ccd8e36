// The edge: keeps HAProxy serving the routes it is told of, by its runtime API where it can, by a successor process
// where it must, losing no request either way. On the loop; changes are made one at a time.
//
// `wanted_` is what should be, `live_` what the running process has as far as is known. Whatever fails ends in a
// reload, which makes them the same again. HAProxy outlives Mainstay: at start it is asked what it has, and only the
// difference is told.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "async/sync.h"
#include "capabilities/routing/certificates.h"
#include "capabilities/routing/edge_config.h"
#include "capabilities/routing/route.h"
#include "capabilities/routing/runtime_api.h"
#include "platform/engine.h"
#include "platform/interfaces/traffic.h"

namespace mainstay::routing {

struct LiveServer {
  std::string address;
  std::uint16_t port = 0;
  bool ready = false;
  bool retiring = false;  // on its way out: drained, then deleted
  std::uint16_t weight = 1;
  bool operator==(const LiveServer&) const = default;
};
// What a process has in memory.
struct LiveState {
  std::map<std::string, std::string> routes;                 // host to value
  std::map<std::string, std::string> reasons;                // host to sentence
  std::map<int, std::map<std::string, LiveServer>> servers;  // by slot, by name
  std::set<std::string> certificates;                        // names
};
// From the answers of a running process. Servers in maintenance are retiring. Pure.
LiveState read_live_state(const EdgeSettings& settings, std::string_view servers, std::string_view routes,
                          std::string_view reasons, std::string_view certificates);

// Rules, checked and rendered, with what they lead to.
struct RuleSet {
  RuleTexts texts;
  std::map<std::string, Route> routes;  // by rule key
  std::map<std::string, HostCertificate> certificates;
};

class Edge final : public platform::TrafficDrain, public std::enable_shared_from_this<Edge> {
 public:
  Edge(platform::Host& host, EdgeSettings settings);

  // Before start(): a route to begin with.
  void expect(std::string service, Route route);
  // Adopts the HAProxy that runs, or starts one. Errors: HAProxy is not installed (kNotFound), a port is taken, ….
  async::Task<base::Result<>> start();
  async::Task<> stop();  // HAProxy keeps serving
  async::Task<> end();   // HAProxy ends, too
  // Makes the edge serve this for the service ("ns/name"), or nothing of it; resumes when it does.
  async::Task<base::Result<>> apply(std::string service, std::optional<Route> route);
  // The same for all rules at once. What changes pods, weights or a certificate's text is told to the running process;
  // other rules or hosts need a successor. Where that will not start, the rules before stay and the error is given.
  void expect_rules(RuleSet rules);
  async::Task<base::Result<>> apply_rules(RuleSet rules);
  async::Task<> drain(std::string pod_ip, std::chrono::milliseconds limit) override;
  // A successor with everything rendered anew; also makes a new access log where the old one is large.
  async::Task<base::Result<>> reload();
  platform::Health health() const;
  // Renews certificates and turns the log over, until cancelled.
  async::Task<> keep_up();

  pid_t pid() const { return engine_->pid(); }
  std::size_t reloads() const { return reload_count_; }

 private:
  struct Wanted {
    Route route;
    int slot = -1;
    std::set<std::string> drained;  // endpoints that may get nothing new, whatever their slice says
  };
  // Who changes HAProxy holds one.
  class Turn {
   public:
    explicit Turn(std::shared_ptr<Edge> edge) : edge_(std::move(edge)) {}
    Turn(Turn&& other) = default;
    ~Turn();

   private:
    std::shared_ptr<Edge> edge_;
  };
  async::Task<Turn> take_turn();

  // All of these with a turn held.
  async::Task<base::Result<>> converge(std::string service);
  async::Task<base::Result<>> converge_route(Wanted wanted);
  async::Task<base::Result<>> converge_servers(Wanted wanted);
  async::Task<base::Result<>> add_server(int slot, Route route, Endpoint endpoint);
  async::Task<base::Result<>> set_ready(int slot, std::string server, bool ready);
  async::Task<base::Result<>> ensure_certificate(std::string name);
  async::Task<base::Result<>> tell_certificate(std::string name, std::string pem, bool known);
  async::Task<base::Result<>> remove_route(std::string host, int slot);
  async::Task<base::Result<>> remove_strangers();
  async::Task<base::Result<>> update_rules(RuleSet rules);
  void install(RuleSet rules);
  async::Task<base::Result<>> reload_now();
  async::Task<base::Result<>> write_files();
  async::Task<base::Result<>> catch_up();
  async::Task<bool> learn();  // reads live_ from the running process; false where it cannot be used as it is
  void assign_slots();
  void retire(int slot, std::string server);

  async::Task<> finish_server(int slot, std::string server);
  async::Task<base::Result<>> prepare();
  async::Task<> converge_all();
  async::Task<std::map<std::string, std::uint64_t>> connections();
  std::vector<Endpoint> endpoints_of(const Wanted& wanted) const;
  platform::EngineOptions engine_options();

  platform::Host& host_;
  EdgeSettings settings_;
  RuntimeApi runtime_;
  Certificates certificates_;
  std::unique_ptr<platform::Engine> engine_;
  std::map<std::string, Wanted> wanted_;  // by "ns/name"
  LiveState live_;
  RuleSet rules_;
  int slots_ = 256;
  std::uint64_t generation_ = 0;  // of the process: grows with each
  std::size_t reload_count_ = 0;
  bool turn_taken_ = false;
  async::Event turn_given_;
  async::Event changed_;
  base::Counter& reload_metric_;
  base::Histogram& apply_metric_;
};

}  // namespace mainstay::routing
