#include "capabilities/observe/alerting.h"

#include "base/encoding.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "base/strings.h"

namespace mainstay::observe {
namespace fs = std::filesystem;
namespace {
namespace json = boost::json;
using reconcile::Name;
using reconcile::Outcome;

// The rules or receivers of the namespaces that a changed namespace may concern: its own, and its team's.
std::vector<Name> names_near(const client::Cache& cache, const json::value& ns) {
  std::vector<Name> out;
  for (const std::string& near : {base::get_string(ns, "metadata.name"), base::label(ns, "mainstay.dev/team")}) {
    if (near.empty()) continue;
    for (const client::ObjectPtr& object : cache.list(near))
      out.push_back({near, base::get_string(*object, "metadata.name")});
  }
  return out;
}

bool refers_to(const json::value& receiver, const std::string& secret) {
  for (const char* path : {"spec.webhook.urlFrom.name", "spec.webhook.tokenFrom.name", "spec.email.passwordFrom.name"})
    if (base::get_string(receiver, path) == secret) return true;
  return false;
}

// "<ns>/<object>/<group>", as rule_file() names groups.
std::string namespace_of_group(std::string_view name) { return std::string(name.substr(0, name.find('/'))); }

}  // namespace

json::value visible_alerts(json::value answer, const Scope& scope) {
  json::value* data = base::find(answer, "data");
  if (!data || !data->is_object()) return answer;
  json::array kept;
  for (const auto& alert : base::get_array(*data, "alerts")) {
    if (scope.sees(base::get_string(alert, "labels.namespace"))) kept.push_back(alert);
  }
  data->as_object()["alerts"] = std::move(kept);
  return answer;
}

json::value visible_rules(json::value answer, const Scope& scope) {
  json::value* data = base::find(answer, "data");
  if (!data || !data->is_object()) return answer;
  json::array kept;
  for (const auto& group : base::get_array(*data, "groups")) {
    const std::string ns = namespace_of_group(base::get_string(group, "name"));
    // Everybody may see what the platform watches their workloads for.
    if (ns != kPlatformNamespace && !scope.sees(ns)) continue;
    json::value copy = group;
    copy.as_object().erase("file");
    for (auto& rule : copy.as_object()["rules"].as_array()) {
      if (scope.all || !rule.is_object()) continue;
      json::array alerts;
      for (const auto& alert : base::get_array(rule, "alerts")) {
        if (scope.sees(base::get_string(alert, "labels.namespace"))) alerts.push_back(alert);
      }
      if (ns == kPlatformNamespace && base::get_string(rule, "type") == "alerting")
        rule.as_object()["state"] = alerts.empty() ? "inactive" : base::get_string(rule, "state");
      rule.as_object()["alerts"] = std::move(alerts);
    }
    kept.push_back(std::move(copy));
  }
  data->as_object()["groups"] = std::move(kept);
  return answer;
}

Alerting::Alerting(platform::Host& host, std::shared_ptr<MetricsEngine> metrics)
    : host_(host),
      client_(host.client("alerts")),
      engines_(std::make_shared<AlertEngines>(host, std::move(metrics))),
      rules_(host.caches().of(kPrometheusRules)),
      receivers_(host.caches().of(kAlertReceivers)),
      namespaces_(host.caches().of(client::resources::kNamespaces)),
      secrets_(host.caches().of(client::resources::kSecrets)),
      watch_(std::make_shared<AlertWatch>(host, engines_)) {}

Owner Alerting::owner_of(const std::string& ns) const {
  Owner owner{ns, team_of(*namespaces_, ns), {}};
  if (owner.whole_team()) {
    for (const client::ObjectPtr& object : namespaces_->list()) {
      const std::string name = base::get_string(*object, "metadata.name");
      if (base::label(*object, "mainstay.dev/team") == owner.team && base::check_dns_label(name))
        owner.namespaces.push_back(name);
    }
  }
  if (owner.namespaces.empty()) owner.namespaces.push_back(ns);
  return owner;
}

fs::path Alerting::file_of(const Name& name) const {
  // Neither a namespace nor an object's name holds "@".
  return engines_->rules_dir() / fmt::format("{}@{}.json", name.ns, name.name);
}

FindSecret Alerting::secrets_of(const std::string& ns) const {
  return [cache = secrets_, ns](const std::string& name, const std::string& key) -> std::optional<std::string> {
    const client::ObjectPtr secret = cache->get(ns, name);
    if (!secret) return std::nullopt;
    const json::value* value = base::find(*secret, {"data", key});
    if (!value || !value->is_string()) return std::nullopt;
    auto plain = base::base64_decode(value->as_string());
    return plain ? std::optional(*std::move(plain)) : std::nullopt;
  };
}

async::Task<> Alerting::start(Self self) {
  if (!AlertEngines::installed() || !MetricsEngine::installed()) {
    self->open_ = base::fail(base::ErrorCode::kUnavailable,
                             "no alert can fire: apt-get install victoria-metrics prometheus-alertmanager");
    co_await self->watch_->clear();
    co_return;
  }
  self->open_ = co_await self->engines_->open();
  if (!self->open_) {
    base::log::error("alerts", "{}: no alert can fire", self->open_.error().message);
    co_await self->watch_->clear();
    co_return;
  }
  co_await self->rules_->synced();
  co_await self->receivers_->synced();
  co_await self->namespaces_->synced();
  co_await self->secrets_->synced();
  // Rules whose objects were deleted while nobody looked.
  std::set<std::string> known;
  for (const client::ObjectPtr& rule : self->rules_->list())
    known.insert(
        self->file_of({base::get_string(*rule, "metadata.namespace"), base::get_string(*rule, "metadata.name")}));
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(self->engines_->rules_dir(), ignored)) {
    if (!known.contains(entry.path())) fs::remove(entry.path(), ignored);
  }
  self->engines_->on_evaluation([weak = std::weak_ptr(self->watch_)] {
    if (const auto watch = weak.lock()) watch->look();
  });
  self->watch_->start([controller = self->rules_controller_](const Name& name) { controller->enqueue(name); });
}

async::Task<base::Result<bool>> Alerting::accept_rule(client::ObjectPtr rule, fs::path file) {
  const Owner owner = owner_of(base::get_string(*rule, "metadata.namespace"));
  MAINSTAY_CO_TRY(const json::object made, rule_file(*rule, owner));
  const std::string text = json::serialize(made);
  if (const auto there = base::read_file(file); there && *there == text) co_return false;
  const fs::path candidate = engines_->rules_dir().parent_path() / "checked" / file.filename();
  MAINSTAY_CO_TRY_VOID(base::write_file(candidate, text, 0600));
  const auto checked = co_await engines_->check_rules(candidate);
  std::error_code ignored;
  fs::remove(candidate, ignored);
  if (!checked) co_return std::unexpected(checked.error());
  MAINSTAY_CO_TRY_VOID(base::write_file(file, text, 0600));
  co_return true;
}

async::Task<> Alerting::say(client::Resource resource, client::ObjectPtr object, base::Result<> accepted) {
  const bool rule = resource == kPrometheusRules;
  reconcile::Pass pass(client_, std::move(resource), object);
  const bool away = !accepted && accepted.error().code == base::ErrorCode::kUnavailable;
  pass.set_condition("Accepted", accepted.has_value(),
                     accepted ? "Loaded"
                     : away   ? "NoEngine"
                              : "Refused",
                     accepted ? "" : accepted.error().message, host_.clock());
  base::set(pass.object(), "status.observedGeneration", base::get_int(*object, "metadata.generation"));
  const Name name{base::get_string(*object, "metadata.namespace"), base::get_string(*object, "metadata.name")};
  if (const RuleFigures* figures = rule ? watch_->figures_of(name) : nullptr) {
    base::set(pass.object(), "status.firing", figures->firing);
    base::set(pass.object(), "status.pending", figures->pending);
    pass.set_condition("Evaluated", figures->error.empty(), figures->error.empty() ? "Evaluated" : "Failed",
                       figures->error, host_.clock());
  } else if (rule && !open_) {
    for (const char* member : {"status.firing", "status.pending"}) base::erase(pass.object(), member);
  }
  try {
    co_await pass.commit();
  } catch (const base::StatusError& e) {
    if (!e.is_not_found()) throw;
  }
}

async::Task<Outcome> Alerting::reconcile_rule(Self self, Name name) {
  const client::ObjectPtr rule = self->rules_->get(name.ns, name.name);
  if (!self->open_) {
    if (rule) co_await self->say(kPrometheusRules, rule, self->open_);
    co_return Outcome::done();
  }
  const fs::path file = self->file_of(name);
  if (!rule) {
    std::error_code ignored;
    if (fs::remove(file, ignored)) co_await self->engines_->reload_rules();
    self->watch_->forget(name);
    co_return Outcome::done();
  }
  const auto changed = co_await self->accept_rule(rule, file);
  if (changed && (*changed || !self->engines_->rules_loaded())) co_await self->engines_->reload_rules();
  // What the engine has of it: where it is refused, its last good version.
  const auto text = base::read_file(file);
  const auto loaded = text ? base::parse_json(*text) : base::Result<json::value>(json::value());
  self->watch_->asks(name, loaded ? asked_rules(*loaded) : AskedRules());
  base::Result<> accepted;
  if (!changed) accepted = std::unexpected(changed.error());
  co_await self->say(kPrometheusRules, rule, accepted);
  co_return Outcome::done();
}

async::Task<Outcome> Alerting::reconcile_receiver(Self self, Name name) {
  const client::ObjectPtr object = self->receivers_->get(name.ns, name.name);
  if (!self->open_) {
    if (object) co_await self->say(kAlertReceivers, object, self->open_);
    co_return Outcome::done();
  }
  if (!object) {
    self->accepted_.erase(name);
  } else {
    base::Result<> accepted;
    auto made = receiver_config(*object, self->owner_of(name.ns), self->secrets_of(name.ns),
                                self->engines_->authorities_dir().string());
    if (made && !made->authority.empty()) {
      if (auto written = base::write_file(made->authority_file, made->authority, 0600); !written)
        made = std::unexpected(written.error());
    }
    if (!made) {
      accepted = std::unexpected(made.error());
    } else {
      accepted = co_await self->engines_->check_receivers(json::serialize(alertmanager_config({*made})));
      if (accepted) self->accepted_[name] = *std::move(made);
    }
    // What a receiver was is no guide to where alerts should go now: a refused one gets none.
    if (!accepted) self->accepted_.erase(name);
    co_await self->say(kAlertReceivers, object, accepted);
  }
  std::vector<ReceiverConfig> all;
  for (const auto& [key, config] : self->accepted_) all.push_back(config);
  co_await self->engines_->use_receivers(json::serialize(alertmanager_config(all)), !all.empty());
  co_return Outcome::done();
}

async::Task<net::Response> Alerting::answer(Self self, std::shared_ptr<api::RequestContext> context, bool rules) {
  co_await self->namespaces_->synced();
  const Scope scope = scope_of(self->host_.api().authorizer(), context->user, *self->namespaces_, "metrics");
  const auto body = co_await self->engines_->ask_rules(rules ? "/api/v1/rules" : "/api/v1/alerts");
  if (!body)
    co_return net::Response::json(503,
                                  {{"status", "error"}, {"errorType", "unavailable"}, {"error", body.error().message}});
  auto parsed = base::parse_json(*body);
  if (!parsed) throw base::internal_error("vmalert answers what is not JSON");
  co_return net::Response::json(
      200, rules ? visible_rules(*std::move(parsed), scope) : visible_alerts(*std::move(parsed), scope));
}

void Alerting::add_to(platform::Host& host, Self self) {
  host.on_start("alerts", [self] { return start(self); });
  host.on_stop("alerts", [self] { return self->engines_->stop(); });
  reconcile::ControllerOptions rules{"alert-rules", kPrometheusRules, {}, 1};
  rules.also.push_back({client::resources::kNamespaces,
                        [cache = self->rules_](const json::value& ns) { return names_near(*cache, ns); }});
  self->rules_controller_ =
      &host.add_controller(std::move(rules), [self](Name name) { return reconcile_rule(self, std::move(name)); });
  reconcile::ControllerOptions receivers{"alert-receivers", kAlertReceivers, {}, 1};
  receivers.also.push_back({client::resources::kNamespaces,
                            [cache = self->receivers_](const json::value& ns) { return names_near(*cache, ns); }});
  receivers.also.push_back({client::resources::kSecrets, [cache = self->receivers_](const json::value& secret) {
                              std::vector<Name> out;
                              const std::string ns = base::get_string(secret, "metadata.namespace");
                              for (const client::ObjectPtr& r : cache->list(ns)) {
                                if (refers_to(*r, base::get_string(secret, "metadata.name")))
                                  out.push_back({ns, base::get_string(*r, "metadata.name")});
                              }
                              return out;
                            }});
  host.add_controller(std::move(receivers), [self](Name name) { return reconcile_receiver(self, std::move(name)); });
  const api::Authenticated permission{
      "Each answer is confined to the namespaces in which the caller has get on metrics (group mainstay.dev)"};
  host.api().add_route({"GET", "/prometheus/api/v1/rules", permission, "Alert and recording rules, and their state",
                        [self](std::shared_ptr<api::RequestContext> c) { return answer(self, std::move(c), true); },
                        nullptr});
  host.api().add_route({"GET", "/prometheus/api/v1/alerts", permission, "Alerts that fire or are about to",
                        [self](std::shared_ptr<api::RequestContext> c) { return answer(self, std::move(c), false); },
                        nullptr});
  platform::CapabilityInfo info;
  info.name = "alerts";
  info.title = "Observability";
  info.number = 6;
  info.part = "alerts";
  const bool there = AlertEngines::installed();
  info.provider = there ? "built-in" : "none";
  info.engine = there ? "vmalert, Alertmanager" : "apt-get install victoria-metrics prometheus-alertmanager";
  info.lost_without = "Nobody is told when a workload fails: its users are the first to notice.";
  struct Ask {
    static async::Task<platform::Health> go(Self self) { co_return self->engines_->health(); }
  };
  info.health = [self] { return Ask::go(self); };
  host.add_capability(std::move(info));
}

}  // namespace mainstay::observe
