// Keeps Alert objects, and the figures in PrometheusRule.status, as the rule engine has them.
//
// The engine writes the state of its alerts as series whenever one begins, goes on or ends: that is told to look(), and
// the whole state is read then and compared with the objects. So whichever part was killed, the next look sets it
// right. Only of rules that it has just loaded does the engine not say when it has first evaluated them: those are
// asked for again, ever more seldom. On the loop.
#pragma once
#include <functional>
#include <memory>

#include "async/sync.h"
#include "capabilities/observe/alert_engines.h"
#include "capabilities/observe/alert_state.h"

namespace mainstay::observe {

class AlertWatch : public std::enable_shared_from_this<AlertWatch> {
 public:
  AlertWatch(platform::Host& host, std::shared_ptr<AlertEngines> engines);
  // `changed` is told of PrometheusRules whose figures have changed.
  void start(std::function<void(reconcile::Name)> changed);
  async::Task<> clear();  // where no engine can be: no alert is there
  void look();            // something may have changed
  void asks(const reconcile::Name& rule, AskedRules rules);
  void forget(const reconcile::Name& rule);
  const RuleFigures* figures_of(const reconcile::Name& rule) const;  // null: not known yet

 private:
  using Self = std::shared_ptr<AlertWatch>;
  static async::Task<> run(Self self);
  // One look; true where there is nothing to look for again.
  async::Task<bool> compare();
  async::Task<bool> write(EngineState state);
  async::Task<bool> end(client::ObjectPtr alert);  // false: it is there still
  async::Task<> raise(boost::json::value alert, client::ObjectPtr before);
  void publish(std::map<reconcile::Name, RuleFigures> figures);

  platform::Host& host_;
  client::ApiClient client_;
  std::shared_ptr<AlertEngines> engines_;
  std::shared_ptr<client::Cache> alerts_, rules_, namespaces_;
  std::map<reconcile::Name, AskedRules> asked_;
  std::map<reconcile::Name, RuleFigures> figures_;
  std::set<std::string> ended_;  // uids of Alerts that were removed and are in the cache yet
  std::function<void(reconcile::Name)> changed_figures_;
  std::unique_ptr<async::Event> changed_;
  bool dirty_ = true;
};

}  // namespace mainstay::observe
