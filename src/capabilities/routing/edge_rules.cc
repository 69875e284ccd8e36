// The part of the edge that deals with rules: all of them change together.
#include "base/files.h"
#include "base/log.h"
#include "capabilities/routing/edge.h"

namespace mainstay::routing {
namespace {

constexpr std::string_view kPrefix = "rule/";  // beside "ns/name" of Services, whose namespace is no such word

// Whether two sets of certificates differ in more than their text.
bool same_hosts(const std::map<std::string, HostCertificate>& a, const std::map<std::string, HostCertificate>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    return x.first == y.first && x.second.hosts == y.second.hosts && x.second.pem.empty() == y.second.pem.empty();
  });
}

}  // namespace

void Edge::install(RuleSet rules) {
  std::erase_if(wanted_, [&rules](const auto& entry) {
    return entry.first.starts_with(kPrefix) && !rules.routes.contains(entry.first.substr(kPrefix.size()));
  });
  for (const auto& [key, route] : rules.routes) wanted_[std::string(kPrefix) + key].route = route;
  settings_.rules = rules.texts;
  settings_.host_certificates = rules.certificates;
  rules_ = std::move(rules);
}

void Edge::expect_rules(RuleSet rules) { install(std::move(rules)); }

async::Task<base::Result<>> Edge::apply_rules(RuleSet rules) {
  auto self = shared_from_this();
  const Turn turn = co_await take_turn();
  const bool same_frame = rules.texts == rules_.texts && same_hosts(rules.certificates, rules_.certificates);
  const bool same_routes =
      std::equal(rules.routes.begin(), rules.routes.end(), rules_.routes.begin(), rules_.routes.end(),
                 [](const auto& a, const auto& b) { return a.first == b.first; });
  if (!engine_->running()) {
    install(std::move(rules));
    co_return base::fail(base::ErrorCode::kUnavailable, engine_->health().message);
  }
  if (same_frame && same_routes) {
    auto updated = co_await update_rules(std::move(rules));
    if (!updated && engine_->running()) {
      base::log::warn("edge", "{}; starting a successor", updated.error().message);
      updated = co_await reload_now();
    }
    co_return updated;
  }
  RuleSet before = rules_;
  install(std::move(rules));
  auto replaced = co_await reload_now();
  if (!replaced) {
    // One rule must not keep all other changes from being served.
    base::log::error("edge", "the new rules are not served: {}", replaced.error().message);
    install(std::move(before));
    // The old process serves on as it was, in its own places.
    if (co_await learn()) static_cast<void>(co_await catch_up());
  }
  co_return replaced;
}

async::Task<base::Result<>> Edge::update_rules(RuleSet rules) {
  const auto certificates = rules.certificates;
  for (const auto& [name, certificate] : certificates) {
    if (certificate.pem == rules_.certificates.at(name).pem) continue;
    const auto file = settings_.certificate_file(name);
    MAINSTAY_CO_TRY_VOID(
        co_await host_.runtime().blocking([file, pem = certificate.pem] { return base::write_file(file, pem, 0600); }));
    MAINSTAY_CO_TRY_VOID(co_await tell_certificate(name, certificate.pem, true));
  }
  std::vector<std::string> changed;
  for (const auto& [key, route] : rules.routes) {
    if (rules_.routes.at(key) != route) changed.push_back(std::string(kPrefix) + key);
  }
  install(std::move(rules));
  for (const std::string& key : changed) MAINSTAY_CO_TRY_VOID(co_await converge(key));
  co_return base::Result<>{};
}

}  // namespace mainstay::routing
