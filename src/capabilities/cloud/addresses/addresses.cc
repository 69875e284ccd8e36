#include "capabilities/cloud/addresses/addresses.h"

#include "capabilities/cloud/addresses/pools.h"

namespace mainstay::embedded {
base::EmbeddedFiles addresses_files();
}

namespace mainstay::cloud {
namespace {
using namespace address_resources;
namespace resources = client::resources;
using ContextPtr = std::shared_ptr<api::RequestContext>;

async::Task<> start(std::shared_ptr<Planner> planner, std::shared_ptr<Pools> pools) {
  co_await planner->synced();
  co_await pools->synced();
  co_await pools->make_own();
}

double positive(const json::value& body, std::string_view field) {
  const json::value* value = base::find(body, field);
  if (value == nullptr || value->is_null()) return 0;
  if (!value->is_number() || value->to_number<double>() < 0 || value->to_number<double>() > 1e30)
    throw base::bad_request(fmt::format("{}: must be a number, 0 or more", field));
  return value->to_number<double>();
}

// {"pool": …, "addressesPerMonth": 100, "plans": […]} or {"subnet": {"network": …, "prefixLength": 24}}, or both.
async::Task<net::Response> what_if(std::shared_ptr<Planner> planner, std::shared_ptr<Pools> pools, base::SystemTime now,
                                   ContextPtr context) {
  const std::string text = co_await context->http->body->read_all(64 * 1024);
  auto body = base::parse_json(text.empty() ? "{}" : text, 8);
  if (!body || !body->is_object()) throw base::bad_request("the body is not a JSON object");
  json::object answer;
  const std::string pool = base::get_string(*body, "pool");
  if (!pool.empty()) {
    const std::vector<Plan> plans =
        read_plans({{"metadata", {{"name", pool}}}, {"spec", {{"plans", base::get_array(*body, "plans")}}}});
    for (const Plan& plan : plans)
      if (plan.by <= now)
        throw base::bad_request(
            fmt::format("plans: {} is over: what it took is in what is used", base::rfc3339(plan.by)));
    answer = pools->what_if(pool, positive(*body, "addressesPerMonth"), plans);
  }
  if (const json::value* subnet = base::find(*body, "subnet"); subnet != nullptr && subnet->is_object()) {
    json::object verdict;
    try {
      const SubnetPlan would = planner->dry_run({{"metadata", {{"name", ""}}}, {"spec", *subnet}});
      verdict = {{"allowed", true}, {"cidr", would.cidr.to_string()}, {"size", would.cidr.size()}};
    } catch (const base::StatusError& e) {
      // The Subnet has no name yet.
      std::string reason = e.message();
      if (constexpr std::string_view nameless = "Subnet \"\" is invalid: "; reason.starts_with(nameless))
        reason.erase(0, nameless.size());
      verdict = {{"allowed", false}, {"reason", reason}};
    }
    answer["subnet"] = std::move(verdict);
  }
  if (answer.empty()) throw base::bad_request("name a pool (with addressesPerMonth or plans), or a subnet to try");
  co_return net::Response::json(200, answer);
}

void add_controllers(platform::Host& host, std::shared_ptr<Pools> pools) {
  const auto name_of = [](std::string name) {
    return [name](const json::value&) { return std::vector<reconcile::Name>{{"", name}}; };
  };
  const auto pool_of = [](const json::value& claim) {
    return std::vector<reconcile::Name>{{"", base::get_string(claim, "spec.pool")}};
  };
  reconcile::ControllerOptions options;
  options.name = "address-pools";
  options.primary = kPools;
  options.also = {{kClaims, pool_of}, {resources::kPods, name_of(kPods)}, {resources::kServices, name_of(kServices)}};
  host.add_controller(options, [pools](reconcile::Name name) { return pools->reconcile_pool(std::move(name)); });
  reconcile::ControllerOptions claims;
  claims.name = "address-claims";
  claims.primary = kClaims;
  claims.workers = 1;  // so that no address is given twice
  claims.also = {
      {kPools, [pools](const json::value& pool) { return pools->waiting(base::get_string(pool, "metadata.name")); }},
      {kClaims, [pools](const json::value& claim) { return pools->waiting(base::get_string(claim, "spec.pool")); }}};
  host.add_controller(claims, [pools](reconcile::Name name) { return pools->reconcile_claim(std::move(name)); });
}

}  // namespace

void register_addresses(platform::Host& host) {
  host.add_files(embedded::addresses_files());
  auto planner = std::make_shared<Planner>(host);
  auto reservations = std::make_shared<Reservations>();
  host.provide<platform::AddressReservations>(reservations);
  auto pools = std::make_shared<Pools>(host, planner, reservations);
  add_address_admission(host, planner);
  host.on_start("addresses", [planner, pools] { return start(planner, pools); });
  add_controllers(host, pools);
  api::Route route;
  route.method = "POST";
  route.pattern = "/apis/mainstay.dev/v1/ipam/what-if";
  route.permission = api::Require([](const api::RequestContext&) {
    return api::Attributes{"get", "mainstay.dev", "addresspools", "what-if", "", "", ""};
  });
  route.summary = "What a pool's forecast would be with more growth, and whether a Subnet would fit; changes nothing";
  route.handler = [planner, pools, clock = &host.clock()](ContextPtr c) {
    return what_if(planner, pools, clock->now(), std::move(c));
  };
  host.api().add_route(std::move(route));
}

}  // namespace mainstay::cloud
