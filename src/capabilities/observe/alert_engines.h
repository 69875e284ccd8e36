// vmalert and Alertmanager as children of ours. vmalert starts with the first rule, Alertmanager with the first
// receiver. Both are on loopback: vmalert behind a password, Alertmanager behind client certificates of an authority
// made anew at each start, so that local users can neither read alerts nor raise them.
#pragma once
#include <memory>
#include <string>

#include "capabilities/observe/write_relay.h"
#include "crypto/keys.h"

namespace mainstay::observe {

class AlertEngines : public std::enable_shared_from_this<AlertEngines> {
 public:
  AlertEngines(platform::Host& host, std::shared_ptr<MetricsEngine> metrics);
  static bool installed();             // both
  async::Task<base::Result<>> open();  // folders, keys; before all else
  async::Task<> stop();

  // The folder whose *.json are rules, and a check of one file by vmalert itself: kInvalid says what it says.
  std::filesystem::path rules_dir() const { return dir_ / "rules"; }
  async::Task<base::Result<>> check_rules(std::filesystem::path file);
  // Certificates that mail servers are checked by; emptied at each start, and filled as receivers are accepted.
  std::filesystem::path authorities_dir() const { return dir_ / "authorities"; }
  // Rules have changed on disk; the first call starts the engine.
  async::Task<> reload_rules();
  bool rules_loaded() const { return vmalert_started_; }
  // Called whenever an alert begins, goes on or ends, a series is recorded, or the engine has started anew.
  void on_evaluation(std::function<void()> hook);
  async::Task<base::Result<>> check_receivers(std::string config);
  async::Task<> use_receivers(std::string config, bool any);

  async::Task<base::Result<std::string>> ask_rules(std::string target);  // GET of vmalert's API
  platform::Health health() const;

 private:
  platform::EngineOptions vmalert_options();
  platform::EngineOptions alertmanager_options();
  base::Result<> write_keys();
  base::Result<> write_notifiers();

  platform::Host& host_;
  std::shared_ptr<MetricsEngine> metrics_;
  std::filesystem::path dir_;
  std::string password_, receivers_;
  WriteRelay relay_;
  std::uint16_t vmalert_port_ = 0, alertmanager_port_ = 0;
  std::unique_ptr<platform::Engine> vmalert_, alertmanager_;
  std::shared_ptr<net::Client> vmalert_client_, alertmanager_client_;
  bool vmalert_started_ = false, notifies_ = false;
};

}  // namespace mainstay::observe
