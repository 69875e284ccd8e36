// VictoriaMetrics as a child of ours: keeps samples below DIR/metrics, scrapes what targets.h says, answers queries on
// loopback to those who know a password made anew at each start, which no file and no argument holds.
//
// Whoever cannot read root's memory can neither write samples nor read them past the rights checked in
// prometheus_routes.cc. It ends with Mainstay, also after a kill -9, and writes what it holds in memory before. A kill
// -9 of itself loses what it had scraped within the last ten seconds, which was acknowledged to nobody.
#pragma once
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "async/sync.h"
#include "capabilities/observe/targets.h"
#include "client/cache.h"
#include "net/client.h"
#include "platform/engine.h"

namespace mainstay::observe {

// A port of loopback that was free a moment ago; `remembered` where it still is.
std::uint16_t free_port(std::uint16_t remembered);
// The engines' ports, kept so that they are the same after a restart.
std::uint16_t remembered_port(const std::filesystem::path& file);
// An engine's answer in one piece; kUnavailable where it broke off, or is longer than `max` bytes.
async::Task<base::Result<std::string>> whole_answer(std::shared_ptr<net::BodyReader> body, std::size_t max);
// Whether an engine answers 200 there.
async::Task<bool> engine_answers(std::shared_ptr<net::Client> client, std::string path);

class MetricsEngine : public std::enable_shared_from_this<MetricsEngine> {
 public:
  explicit MetricsEngine(platform::Host& host);
  // Where the program is not installed: false, and nothing starts.
  static bool installed();
  // The folder and the port, before start(): what others tell their engines.
  base::Result<> open();
  async::Task<> start();
  async::Task<> stop();
  // One request to the engine's HTTP API, with the password. kUnavailable where it does not run.
  async::Task<base::Result<net::ClientResponse>> send(net::ClientRequest request);
  platform::Health health() const;
  bool running() const { return engine_ && engine_->running(); }
  async::Task<> until_running(std::chrono::seconds limit);
  std::string origin() const;
  const std::string& password() const { return password_; }
  static constexpr std::string_view kUser = "mainstay";
  // Whom its certificate names where it scrapes the platform; bootstrap/roles.yaml gives it the right.
  static constexpr std::string_view kScraper = "system:mainstay:metrics-scraper";

 private:
  static async::Task<> follow_targets(std::shared_ptr<MetricsEngine> self);
  async::Task<base::Result<>> prepare();
  base::Result<> write_targets();  // and tells the engine where they changed
  platform::EngineOptions options() const;

  platform::Host& host_;
  std::filesystem::path dir_;
  std::string password_;
  std::uint16_t port_ = 0;
  std::unique_ptr<platform::Engine> engine_;
  std::shared_ptr<net::Client> client_;
  std::shared_ptr<client::Cache> pods_, namespaces_;
  std::unique_ptr<async::Event> changed_, up_;
  bool dirty_ = true;
  std::string written_;
};

}  // namespace mainstay::observe
