#include "capabilities/cloud/addresses/pools.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/log.h"

namespace mainstay::cloud {
namespace {
using namespace address_resources;
namespace resources = client::resources;
using reconcile::Outcome;

constexpr double kWarnMonths = 24;
constexpr std::chrono::seconds kQuiet{2};  // between two writes of a pool's status: pods come and go in crowds

// What is never given out of the platform's own ranges: network, node and broadcast; the first eleven and the last.
std::vector<Prefix> built_in(const PoolPlan& pool) {
  std::vector<Prefix> out;
  if (pool.purpose == "claims" || pool.range.base.v6) return out;
  const Uint128 first = pool.purpose == "services" ? 11 : 2;
  for (Uint128 i = 0; i < first && i < static_cast<Uint128>(pool.range.size()); ++i)
    out.push_back(Prefix::of({false, pool.range.base.value + i}));
  out.push_back(Prefix::of(pool.range.last()));
  return out;
}

}  // namespace

bool Reservations::reserved(std::string_view pool, std::uint32_t address) const {
  const std::lock_guard lock(mutex_);
  const auto at = ranges_.find(pool);
  return at != ranges_.end() &&
         std::ranges::any_of(at->second, [address](const Prefix& p) { return p.contains(Address{false, address}); });
}

void Reservations::set(const std::string& pool, std::vector<Prefix> ranges) {
  const std::lock_guard lock(mutex_);
  ranges_[pool] = std::move(ranges);
}

Pools::Pools(platform::Host& host, std::shared_ptr<Planner> planner, std::shared_ptr<Reservations> reservations)
    : host_(host),
      client_(host.client(kAddressClient)),
      planner_(std::move(planner)),
      reservations_(std::move(reservations)),
      pools_(host.caches().of(kPools)),
      claims_(host.caches().of(kClaims)),
      pods_(host.caches().of(resources::kPods)),
      services_(host.caches().of(resources::kServices)) {
  // At once, not with the next pass: whoever reserves an address means it from now on.
  pools_->on_change([reservations = reservations_](const client::ObjectPtr&, const client::ObjectPtr& after) {
    if (!after) return;
    const std::string purpose = base::get_string(*after, "spec.purpose", "claims");
    if (purpose == "claims") return;
    std::vector<Prefix> ranges;
    for (const json::value& one : base::get_array(*after, "spec.reservations")) {
      if (const auto range = Prefix::parse(base::get_string(one, "range"))) ranges.push_back(*range);
    }
    reservations->set(purpose, std::move(ranges));
  });
}

async::Task<> Pools::synced() const {
  for (const auto& cache : {pools_, claims_, pods_, services_}) co_await cache->synced();
}

async::Task<> Pools::make_own() {
  const auto object = [](const client::Resource& kind, std::string name, json::object spec) -> json::value {
    return {{"apiVersion", "mainstay.dev/v1"},
            {"kind", kind.kind},
            {"metadata", {{"name", std::move(name)}, {"labels", {{"app.kubernetes.io/managed-by", "mainstay"}}}}},
            {"spec", std::move(spec)}};
  };
  // As the flags have it, with the bits that say nothing cut off.
  const auto canonical = [](const std::string& cidr) {
    auto prefix = Prefix::parse(cidr);
    if (prefix) return prefix->to_string();
    const auto slash = cidr.find('/');
    const auto address = Address::parse(cidr.substr(0, slash));
    if (!address || slash == std::string::npos) return cidr;
    const unsigned length = static_cast<unsigned>(std::atoi(cidr.c_str() + slash + 1));
    if (address->v6 || length < 1 || length > 32) return cidr;
    return Prefix{Address{false, address->value & (~static_cast<Uint128>(0) << (32 - length) & 0xffffffffu)}, length}
        .to_string();
  };
  const std::string pods = canonical(host_.config().pod_cidr), services = canonical(host_.config().service_cidr);
  co_await client_.apply(kNetworks, object(kNetworks, kPlatformNetwork,
                                           {{"ranges", json::array{json::string(pods), json::string(services)}},
                                            {"description", "Pods and Services of this platform"}}));
  for (const auto& [name, cidr] : {std::pair<std::string, std::string>(kPods, pods), {kServices, services}}) {
    co_await client_.apply(kSubnets, object(kSubnets, name, {{"network", kPlatformNetwork}, {"cidr", cidr}}));
    co_await client_.apply(kPools, object(kPools, name, {{"subnet", name}, {"purpose", name}}));
  }
  // An address given to pods that is somewhere else, too, makes for strange failures: say so.
  const AddressPlan plan = planner_->plan();
  for (const NetworkPlan& network : plan.networks) {
    if (network.name == kPlatformNetwork) continue;
    for (const Prefix& range : network.ranges) {
      for (const std::string& cidr : {pods, services}) {
        const auto mine = Prefix::parse(cidr);
        if (mine && mine->overlaps(range))
          base::log::warn("cloud",
                          "{} of this platform overlaps {} of the Network {}: choose another --pod-cidr or "
                          "--service-cidr",
                          cidr, range.to_string(), network.name);
      }
    }
  }
}

std::vector<Prefix> Pools::taken(const PoolPlan& pool, const std::string& except_uid) const {
  std::vector<Prefix> out = pool.reserved;
  for (const client::ObjectPtr& claim : claims_->list()) {
    if (base::get_string(*claim, "status.pool") != pool.name || base::get_string(*claim, "metadata.uid") == except_uid)
      continue;
    if (const auto prefix = Prefix::parse(base::get_string(*claim, "status.prefix"))) out.push_back(*prefix);
  }
  return out;
}

Pools::Usage Pools::usage(const PoolPlan& pool) const {
  std::vector<Prefix> parts = pool.reserved;
  for (const Prefix& one : built_in(pool)) parts.push_back(one);
  Usage out;
  out.size = pool.range.size();
  out.reserved = covered(pool.range, parts);
  const auto add = [&](const std::string& text) {
    if (const auto address = Address::parse(text); address && pool.range.contains(*address))
      parts.push_back(Prefix::of(*address));
  };
  if (pool.purpose == "pods") {
    for (const client::ObjectPtr& pod : pods_->list()) {
      const std::string phase = base::get_string(*pod, "status.phase");
      if (phase != "Succeeded" && phase != "Failed") add(base::get_string(*pod, "status.podIP"));
    }
  } else if (pool.purpose == "services") {
    for (const client::ObjectPtr& service : services_->list()) add(base::get_string(*service, "spec.clusterIP"));
  } else {
    parts = taken(pool, "");
  }
  out.used = covered(pool.range, std::move(parts));
  return out;
}

void Pools::describe(json::value& object, const PoolPlan& pool, const Usage& usage) {
  const base::SystemTime now = host_.clock().now();
  json::value* status = base::find(object, "status");
  if (status == nullptr || !status->is_object()) base::set(object, "status", json::object{});
  json::array history = base::get_array(object, "status.history");
  add_sample(history, now, usage.used);
  const Forecast f = forecast(usage.size, usage.used, read_samples(history), read_plans(object), now);
  base::set(object, "status.observedGeneration", base::get_int(object, "metadata.generation"));
  base::set(object, "status.range", json::string(pool.range.to_string()));
  base::set(object, "status.size", json_number(usage.size));
  base::set(object, "status.used", json_number(usage.used));
  base::set(object, "status.reserved", json_number(usage.reserved));
  base::set(object, "status.history", std::move(history));
  base::set(object, "status.forecast", forecast_json(f));
  const json::value* shown = base::find(object, "status.forecast");
  const std::string day = base::get_string(*shown, "exhaustedAt").substr(0, 10);
  if (usage.used >= usage.size)
    reconcile::set_condition(object, "Capacity", "False", "Exhausted", "every address is given out or reserved", now);
  else if (f.months_left && *f.months_left < kWarnMonths)
    reconcile::set_condition(
        object, "Capacity", "False", "Warning",
        fmt::format("runs out about {} (between {} and {}): add a Subnet and a pool, or free addresses", day,
                    base::get_string(*shown, "earliest", "now").substr(0, 10),
                    f.latest ? base::get_string(*shown, "latest").substr(0, 10) : "never"),
        now);
  else
    reconcile::set_condition(object, "Capacity", "True", "Sufficient",
                             day.empty() ? "does not run out within 50 years" : "runs out about " + day, now);
}

async::Task<Outcome> Pools::reconcile_pool(reconcile::Name name) {
  const client::ObjectPtr object = pools_->get("", name.name);
  if (!object) {
    written_.erase(name.name);
    co_return Outcome::done();
  }
  const AddressPlan plan = planner_->plan();
  const PoolPlan* pool = plan.pool(name.name);
  if (pool == nullptr) co_return Outcome::done();  // its Subnet is gone: admission keeps that from happening
  reconcile::Pass pass(client_, kPools, object);
  describe(pass.object(), *pool, usage(*pool));
  const base::SteadyTime now = host_.clock().steady();
  // A change of the specification is answered at once; of what pods and Services do, not each single one.
  const bool settled =
      base::get_int(*object, "status.observedGeneration") == base::get_int(*object, "metadata.generation");
  const auto last = written_.find(name.name);
  if (settled && last != written_.end() && now - last->second < kQuiet)
    co_return Outcome::after(kQuiet - (now - last->second));
  if (pass.object() != pass.original()) written_[name.name] = now;
  co_await pass.commit();
  co_return Outcome::after(std::chrono::minutes(61));  // the next sample
}

std::vector<reconcile::Name> Pools::waiting(const std::string& pool) const {
  std::vector<reconcile::Name> out;
  for (const client::ObjectPtr& claim : claims_->list()) {
    if (base::get_string(*claim, "spec.pool") == pool && base::get_string(*claim, "status.prefix").empty())
      out.push_back({base::get_string(*claim, "metadata.namespace"), base::get_string(*claim, "metadata.name")});
  }
  return out;
}

// One at a time, and each waits until the copy has what the one before gave out: the claims themselves are the record.
async::Task<Outcome> Pools::reconcile_claim(reconcile::Name name) {
  const client::ObjectPtr claim = claims_->get(name.ns, name.name);
  if (!claim || !base::get_string(*claim, "status.prefix").empty()) co_return Outcome::done();
  const AddressPlan plan = planner_->plan();
  const std::string pool_name = base::get_string(*claim, "spec.pool");
  const PoolPlan* pool = plan.pool(pool_name);
  std::optional<Prefix> found;
  std::string reason = "Exhausted", message;
  if (pool == nullptr) {
    reason = "NoPool";
    message = fmt::format("there is no AddressPool \"{}\"", pool_name);
  } else {
    const std::vector<Prefix> busy = taken(*pool, base::get_string(*claim, "metadata.uid"));
    const unsigned bits = pool->range.base.bits();
    if (const std::string asked = base::get_string(*claim, "spec.address"); !asked.empty()) {
      const auto prefix = Prefix::parse(asked);
      const bool free = prefix && pool->range.contains(*prefix) &&
                        std::ranges::none_of(busy, [&](const Prefix& p) { return p.overlaps(*prefix); });
      if (free) found = *prefix;
      reason = "Taken";
      message = asked + " is given out or reserved";
    } else {
      const auto length = static_cast<unsigned>(base::get_int(*claim, "spec.prefixLength", bits));
      found = find_free(pool->range, busy, length, true);
      message = fmt::format("no free {} is left in the pool {}",
                            length == bits ? "address" : fmt::format("/{}", length), pool_name);
    }
  }
  json::value object = *claim;
  base::set(object, "status.observedGeneration", base::get_int(object, "metadata.generation"));
  base::set(object, "status.phase", found ? "Bound" : "Pending");
  const base::SystemTime now = host_.clock().now();
  if (found) {
    base::set(object, "status.pool", json::string(pool_name));
    base::set(object, "status.prefix", json::string(found->to_string()));
    const bool single = found->length == found->base.bits();
    base::set(object, "status.address", json::string(single ? found->base.to_string() : found->to_string()));
    reconcile::set_condition(object, "Ready", "True", "Bound", "yours until the claim is deleted", now);
  } else {
    reconcile::set_condition(object, "Ready", "False", reason, message, now);
  }
  if (object == *claim) co_return Outcome::done();
  try {
    const json::value kept = co_await client_.update_status(kClaims, std::move(object));
    co_await claims_->caught_up(base::get_string(kept, "metadata.resourceVersion"));
  } catch (const base::StatusError& e) {
    if (!e.is_not_found() && !e.is_conflict()) throw;
    if (e.is_conflict()) co_return Outcome::after(std::chrono::milliseconds(20));
  }
  co_return Outcome::done();
}

json::object Pools::what_if(const std::string& name, double more_a_month, const std::vector<Plan>& more) const {
  const client::ObjectPtr object = pools_->get("", name);
  const AddressPlan plan = planner_->plan();
  const PoolPlan* pool = plan.pool(name);
  if (!object || pool == nullptr) throw base::not_found("addresspools.mainstay.dev", name);
  const Usage now_used = usage(*pool);
  const base::SystemTime now = host_.clock().now();
  std::vector<Sample> history = read_samples(base::get_array(*object, "status.history"));
  std::vector<Plan> plans = read_plans(*object);
  const Forecast before = forecast(now_used.size, now_used.used, history, plans, now);
  plans.insert(plans.end(), more.begin(), more.end());
  // More growth is a steeper line through the same history.
  const double slope = more_a_month / kDaysAMonth;
  if (!before.growth.fitted)
    history = {
        {now - std::chrono::days(2), now_used.used}, {now - std::chrono::days(1), now_used.used}, {now, now_used.used}};
  for (Sample& sample : history)
    sample.used += slope * std::chrono::duration<double, std::ratio<86400>>(sample.time - now).count();
  json::object after = forecast_json(forecast(now_used.size, now_used.used, history, plans, now));
  if (!before.growth.fitted) after["basis"] = more_a_month > 0 ? "what was asked" : "plans";
  return {{"pool", name},
          {"size", json_number(now_used.size)},
          {"used", json_number(now_used.used)},
          {"before", forecast_json(before)},
          {"forecast", std::move(after)}};
}

}  // namespace mainstay::cloud
