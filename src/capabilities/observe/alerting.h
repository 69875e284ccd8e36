// Keeps the alert engines in step with PrometheusRule and AlertReceiver objects, and answers what fires to whom it
// concerns.
//
// One object's mistake must not stop the others' rules: each is checked by the engine's own parser before it joins, and
// its last good version stays in effect.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "capabilities/observe/alert_config.h"
#include "capabilities/observe/alert_engines.h"
#include "capabilities/observe/alert_watch.h"
#include "capabilities/observe/scope.h"

namespace mainstay::observe {

inline const client::Resource kPrometheusRules{"monitoring.coreos.com", "v1", "prometheusrules", true,
                                               "PrometheusRule"};
inline const client::Resource kAlertReceivers{"mainstay.dev", "v1", "alertreceivers", true, "AlertReceiver"};

// What the engine answers about rules or alerts, less what the scope does not see. `answer` is vmalert's JSON.
boost::json::value visible_rules(boost::json::value answer, const Scope& scope);
boost::json::value visible_alerts(boost::json::value answer, const Scope& scope);

class Alerting : public std::enable_shared_from_this<Alerting> {
 public:
  Alerting(platform::Host& host, std::shared_ptr<MetricsEngine> metrics);
  static void add_to(platform::Host& host, std::shared_ptr<Alerting> self);

 private:
  using Self = std::shared_ptr<Alerting>;
  static async::Task<> start(Self self);
  static async::Task<reconcile::Outcome> reconcile_rule(Self self, reconcile::Name name);
  static async::Task<reconcile::Outcome> reconcile_receiver(Self self, reconcile::Name name);
  static async::Task<net::Response> answer(Self self, std::shared_ptr<api::RequestContext> context, bool rules);
  // Whether the engine's file has changed.
  async::Task<base::Result<bool>> accept_rule(client::ObjectPtr rule, std::filesystem::path file);
  async::Task<> say(client::Resource resource, client::ObjectPtr object, base::Result<> accepted);
  Owner owner_of(const std::string& ns) const;
  std::filesystem::path file_of(const reconcile::Name& name) const;
  FindSecret secrets_of(const std::string& ns) const;

  platform::Host& host_;
  client::ApiClient client_;
  std::shared_ptr<AlertEngines> engines_;
  std::shared_ptr<client::Cache> rules_, receivers_, namespaces_, secrets_;
  std::map<reconcile::Name, ReceiverConfig> accepted_;
  std::shared_ptr<AlertWatch> watch_;
  reconcile::Controller* rules_controller_ = nullptr;
  base::Result<> open_ = base::fail(base::ErrorCode::kUnavailable, "the engines are starting");
};

}  // namespace mainstay::observe
