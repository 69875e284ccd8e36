#include "capabilities/observe/alert_watch.h"

#include "base/log.h"
#include "base/status.h"
#include "capabilities/observe/alerting.h"

namespace mainstay::observe {
namespace {
namespace json = boost::json;
using reconcile::Name;

// Rules of one group are evaluated one after the other, and so are their alerts written.
constexpr std::chrono::milliseconds kGather{100};
constexpr std::chrono::seconds kFirstAgain{1}, kLastAgain{60};

Name name_of(const json::value& object) {
  return {base::get_string(object, "metadata.namespace"), base::get_string(object, "metadata.name")};
}

bool fires(const json::value& alert) { return base::get_string(alert, "status.state") == "firing"; }

}  // namespace

AlertWatch::AlertWatch(platform::Host& host, std::shared_ptr<AlertEngines> engines)
    : host_(host),
      client_(host.client("alerts")),
      engines_(std::move(engines)),
      alerts_(host.caches().of(kAlerts)),
      rules_(host.caches().of(kPrometheusRules)),
      namespaces_(host.caches().of(client::resources::kNamespaces)) {}

void AlertWatch::start(std::function<void(Name)> changed) {
  changed_figures_ = std::move(changed);
  changed_ = std::make_unique<async::Event>(host_.runtime().executor());
  host_.tasks().spawn("alerts", run(shared_from_this()));
}

async::Task<> AlertWatch::clear() {
  co_await alerts_->synced();
  for (const client::ObjectPtr& alert : alerts_->list()) {
    const Name name = name_of(*alert);
    try {
      co_await client_.remove(kAlerts, name.ns, name.name);
    } catch (const base::StatusError& e) {
      base::log::warn("alerts", "Alert {}/{} cannot be removed: {}", name.ns, name.name, e.message());
    }
  }
}

void AlertWatch::look() {
  dirty_ = true;
  if (changed_) changed_->notify_all();
}

void AlertWatch::asks(const Name& rule, AskedRules rules) {
  AskedRules& known = asked_[rule];
  if (known == rules && figures_.contains(rule)) return;
  known = std::move(rules);
  look();
}

void AlertWatch::forget(const Name& rule) {
  if (asked_.erase(rule) == 0) return;
  figures_.erase(rule);
  look();
}

const RuleFigures* AlertWatch::figures_of(const Name& rule) const {
  const auto found = figures_.find(rule);
  return found == figures_.end() ? nullptr : &found->second;
}

async::Task<> AlertWatch::run(Self self) {
  co_await self->alerts_->synced();
  co_await self->rules_->synced();
  co_await self->namespaces_->synced();
  bool settled = false;
  std::chrono::seconds again = kFirstAgain;
  for (;;) {
    if (!self->dirty_) {
      if (settled) {
        co_await self->changed_->wait();
      } else if (!co_await self->changed_->wait_for(again)) {
        again = std::min(again * 2, kLastAgain);
        self->dirty_ = true;
      }
      continue;
    }
    co_await async::sleep_for(kGather);
    self->dirty_ = false;
    settled = co_await self->compare();
    if (settled) again = kFirstAgain;
  }
}

async::Task<bool> AlertWatch::compare() {
  const auto body = co_await engines_->ask_rules("/api/v1/rules");
  if (!body) co_return false;
  const auto answer = base::parse_json(*body);
  if (!answer) {
    base::log::warn("alerts", "vmalert answers what is not JSON");
    co_return false;
  }
  EngineState state = engine_state(*answer, asked_, [this](const std::string& ns) {
    const client::ObjectPtr found = namespaces_->get("", ns);
    return found && base::get_string(*found, "metadata.deletionTimestamp").empty();
  });
  co_return co_await write(std::move(state));
}

async::Task<bool> AlertWatch::write(EngineState state) {
  bool settled = state.unsettled.empty();
  for (const auto& [name, figures] : state.figures) settled &= figures.error.empty();
  std::set<std::string> still_there;
  for (const client::ObjectPtr& alert : alerts_->list()) {
    const std::string uid = base::get_string(*alert, "metadata.uid");
    if (ended_.contains(uid)) {
      still_there.insert(uid);
      continue;
    }
    const RuleKey key = rule_of_alert(*alert);
    const Name rule{std::get<0>(key), std::get<1>(key)};
    const auto wanted = state.alerts.find(name_of(*alert));
    if (wanted != state.alerts.end()) {
      if (auto changed = updated_alert(*alert, wanted->second)) {
        state.alerts[wanted->first] = *std::move(changed);
        co_await raise(state.alerts[wanted->first], alert);
      }
      state.alerts.erase(wanted->first);
    } else if (state.unsettled.contains(key)) {
      ++(fires(*alert) ? state.figures[rule].firing : state.figures[rule].pending);
    } else if (!asked_.contains(rule) && rules_->get(rule.ns, rule.name)) {
      settled = false;  // Mainstay has just started and not looked at the rule yet
    } else if (co_await end(alert)) {
      still_there.insert(uid);
    } else {
      settled = false;
    }
  }
  ended_ = std::move(still_there);
  for (auto& [name, alert] : state.alerts) co_await raise(std::move(alert), nullptr);
  publish(std::move(state.figures));
  co_return settled;
}

async::Task<> AlertWatch::raise(json::value alert, client::ObjectPtr before) {
  const std::string ns = base::get_string(alert, "metadata.namespace");
  try {
    json::value written = before ? co_await client_.update(kAlerts, std::move(alert))
                                 : co_await client_.create(kAlerts, ns, std::move(alert));
    const std::string version = base::get_string(written, "metadata.resourceVersion");
    if (fires(written) && (!before || !fires(*before))) {
      std::string text = alert_text(written);
      co_await client_.event(std::move(written), "Warning", "AlertFiring", std::move(text));
    }
    co_await alerts_->caught_up(version);
  } catch (const base::StatusError& e) {
    // Its namespace goes, or somebody else changed it: the next evaluation looks again.
    base::log::debug("alerts", "Alert in {}: {}", ns, e.message());
  }
}

async::Task<bool> AlertWatch::end(client::ObjectPtr alert) {
  const Name name = name_of(*alert);
  try {
    if (fires(*alert)) co_await client_.event(*alert, "Normal", "AlertResolved", alert_text(*alert));
    co_await client_.remove(kAlerts, name.ns, name.name);
    co_return true;
  } catch (const base::StatusError& e) {
    base::log::debug("alerts", "Alert {}/{}: {}", name.ns, name.name, e.message());
  }
  co_return false;
}

void AlertWatch::publish(std::map<Name, RuleFigures> figures) {
  for (auto& [name, now] : figures) {
    // It was deleted while the engine was asked.
    if (!asked_.contains(name)) continue;
    const auto known = figures_.find(name);
    if (known != figures_.end() && known->second == now) continue;
    figures_[name] = now;
    changed_figures_(name);
  }
}

}  // namespace mainstay::observe
