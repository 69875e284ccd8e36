#include "capabilities/cloud/addresses/planner.h"

#include <algorithm>

namespace mainstay::cloud {
namespace {
using namespace address_resources;

// Longer than any write takes between admission and the copies.
constexpr std::chrono::seconds kPending{20};

bool own(const api::AdmissionRequest& request) {
  return request.user.name == std::string("system:mainstay:") + kAddressClient;
}

[[noreturn]] void refuse(const api::AdmissionRequest& request, std::string field, std::string message) {
  throw base::invalid(request.type->kind, request.name, {{std::move(field), "FieldValueInvalid", std::move(message)}});
}

void check_unchanged(const api::AdmissionRequest& request, std::initializer_list<const char*> fields) {
  if (request.old_object == nullptr) return;
  for (const char* field : fields) {
    if (base::get_string(*request.old_object, field) != base::get_string(*request.object, field))
      refuse(request, field, "cannot be changed: what was given out would move; make another, and delete this one");
  }
}

SubnetPlan read_subnet(const json::value& object, const Prefix& cidr) {
  return {base::get_string(object, "metadata.name"), base::get_string(object, "spec.network"),
          base::get_string(object, "spec.parent"), cidr};
}

}  // namespace

Planner::Planner(platform::Host& host)
    : clock_(host.clock()),
      networks_(host.caches().of(kNetworks)),
      subnets_(host.caches().of(kSubnets)),
      pools_(host.caches().of(kPools)),
      claims_(host.caches().of(kClaims)),
      namespaces_(host.caches().of(client::resources::kNamespaces)) {}

async::Task<> Planner::synced() const {
  for (const auto& cache : {networks_, subnets_, pools_, claims_, namespaces_}) co_await cache->synced();
}

AddressPlan Planner::plan() const {
  AddressPlan out;
  const auto each = [this](const std::shared_ptr<client::Cache>& cache, const auto& take) {
    std::map<std::string, const json::value*> objects;
    const auto kept = cache->list();
    for (const client::ObjectPtr& object : kept) objects[base::get_string(*object, "metadata.name")] = object.get();
    for (const auto& [key, pending] : pending_) {
      if (pending.plural == cache->resource().plural && pending.until > clock_.steady())
        objects.try_emplace(base::get_string(pending.object, "metadata.name"), &pending.object);
    }
    for (const auto& [name, object] : objects) {
      try {
        take(*object);
      } catch (const base::StatusError&) {
        // Of an earlier version, or its Subnet is gone: it takes no part.
      }
    }
  };
  each(networks_, [&out](const json::value& object) { out.networks.push_back(read_network(object)); });
  each(subnets_, [&out](const json::value& object) {
    if (const auto cidr = Prefix::parse(base::get_string(object, "spec.cidr")))
      out.subnets.push_back(read_subnet(object, *cidr));
  });
  each(pools_, [&out](const json::value& object) { out.pools.push_back(read_pool(object, out)); });
  return out;
}

void Planner::remember(const api::AdmissionRequest& request) {
  const base::SteadyTime now = clock_.steady();
  std::erase_if(pending_, [now](const auto& entry) { return entry.second.until < now; });
  if (request.dry_run || request.name.empty()) return;
  pending_[request.type->plural + "/" + request.name] = {request.type->plural, *request.object, now + kPending};
}

void Planner::admit_network(api::AdmissionRequest& request) {
  const NetworkPlan network = read_network(*request.object);
  if (!own(request)) {
    if (request.name == kPlatformNetwork)
      refuse(request, "metadata.name", "this Network is the platform's own: its ranges are the flags of `mainstay up`");
    check_network(network, plan(), host_routes());
  }
  remember(request);
}

void Planner::admit_subnet(api::AdmissionRequest& request) {
  if (!own(request) && base::get_string(*request.object, "spec.network") == kPlatformNetwork)
    refuse(request, "spec.network", "this Network is the platform's own");
  if (!own(request)) check_unchanged(request, {"spec.network", "spec.parent"});
  const AddressPlan plan = this->plan();
  std::string text = base::get_string(*request.object, "spec.cidr");
  if (text.empty() && request.old_object != nullptr) text = base::get_string(*request.old_object, "spec.cidr");
  if (text.empty()) text = choose_cidr(*request.object, plan).to_string();
  base::set(*request.object, "spec.cidr", json::string(text));
  if (!own(request)) check_unchanged(request, {"spec.cidr"});
  const auto cidr = Prefix::parse(text);
  if (!cidr) refuse(request, "spec.cidr", cidr.error().message);
  if (!own(request) && request.old_object == nullptr)
    check_subnet(read_subnet(*request.object, *cidr), plan, host_routes());
  remember(request);
}

SubnetPlan Planner::dry_run(json::value subnet) const {
  const AddressPlan plan = this->plan();
  const std::string text = base::get_string(subnet, "spec.cidr");
  const auto cidr = text.empty() ? base::Result<Prefix>(choose_cidr(subnet, plan)) : Prefix::parse(text);
  if (!cidr) throw base::invalid("Subnet", "", {{"spec.cidr", "FieldValueInvalid", cidr.error().message}});
  SubnetPlan out = read_subnet(subnet, *cidr);
  check_subnet(out, plan, host_routes());
  return out;
}

void Planner::admit_pool(api::AdmissionRequest& request) {
  if (!own(request)) {
    check_unchanged(request, {"spec.subnet", "spec.range", "spec.purpose"});
    const std::string purpose = base::get_string(*request.object, "spec.purpose", "claims");
    if (request.old_object == nullptr && purpose != "claims")
      refuse(request, "spec.purpose", "pools of pods and services are the platform's own; leave it out");
  }
  const AddressPlan plan = this->plan();
  const PoolPlan pool = read_pool(*request.object, plan);
  read_plans(*request.object);
  // The platform's own ranges may have changed with the flags; a reservation outside is of no effect then.
  if (!own(request)) check_pool(pool, plan);
  remember(request);
}

void Planner::admit_claim(const api::AdmissionRequest& request) const {
  if (request.old_object != nullptr) return;
  const std::string name = base::get_string(*request.object, "spec.pool");
  const client::ObjectPtr pool = pools_->get("", name);
  if (!pool) refuse(request, "spec.pool", fmt::format("there is no AddressPool \"{}\" (mainstay ipam list)", name));
  if (base::get_string(*pool, "spec.purpose", "claims") != "claims")
    refuse(request, "spec.pool",
           "the platform gives these addresses to pods and Services; an administrator may reserve "
           "some (AddressPool.spec.reservations)");
  const client::ObjectPtr ns = namespaces_->get("", request.ns);
  const std::string team = ns ? base::label(*ns, "mainstay.dev/team") : "";
  const json::array& teams = base::get_array(*pool, "spec.teams");
  if (!teams.empty() && std::ranges::find(teams, json::value(team)) == teams.end())
    throw base::forbidden(
        fmt::format("the AddressPool {} is not open to namespaces of team \"{}\" (spec.teams)", name, team));
  const auto range = Prefix::parse(base::get_string(*pool, "status.range"));
  const std::string asked = base::get_string(*request.object, "spec.address");
  std::int64_t length = base::get_int(*request.object, "spec.prefixLength", -1);
  if (!asked.empty()) {
    const auto prefix = Prefix::parse(asked);
    if (!prefix) refuse(request, "spec.address", prefix.error().message);
    if (range && !range->contains(*prefix))
      refuse(request, "spec.address", fmt::format("{} does not lie within {}", asked, range->to_string()));
    if (length >= 0 && length != prefix->length) refuse(request, "spec.prefixLength", "is not that of spec.address");
    length = prefix->length;
  }
  const std::int64_t bits = range ? range->base.bits() : 32;
  const std::int64_t shortest = base::get_int(*pool, "spec.largestClaim", bits);
  if (length >= 0 && (length < shortest || length > bits))
    refuse(request, "spec.prefixLength",
           fmt::format("/{}: this pool gives blocks from /{} to /{} (AddressPool.spec.largestClaim)", length, shortest,
                       bits));
}

void Planner::admit_deletion(const api::AdmissionRequest& request) const {
  if (own(request) || request.old_object == nullptr) return;
  const std::string name = base::get_string(*request.old_object, "metadata.name");
  const std::string& plural = request.type->plural;
  std::string user;
  if (plural == kNetworks.plural) user = name == kPlatformNetwork ? "the platform" : users_of_network(name, plan());
  if (plural == kSubnets.plural)
    user = base::get_string(*request.old_object, "spec.network") == kPlatformNetwork ? "the platform"
                                                                                     : users_of_subnet(name, plan());
  if (plural == kPools.plural && base::get_string(*request.old_object, "spec.purpose", "claims") != "claims")
    user = "the platform";
  if (plural == kPools.plural && user.empty()) {
    for (const client::ObjectPtr& claim : claims_->list()) {
      if (base::get_string(*claim, "spec.pool") == name)
        user = fmt::format("AddressClaim {}/{}", base::get_string(*claim, "metadata.namespace"),
                           base::get_string(*claim, "metadata.name"));
    }
  }
  if (!user.empty())
    throw base::conflict(plural + ".mainstay.dev", name, fmt::format("it is in use by {}; delete that first", user));
}

async::Task<> Planner::admit(api::AdmissionRequest& request) {
  if (!networks_->has_synced() || !subnets_->has_synced() || !pools_->has_synced()) {
    if (!co_await async::with_timeout(synced(), std::chrono::seconds(10)))
      throw base::unavailable("the address plan is still being read: try again in a moment");
  }
  const std::string& plural = request.type->plural;
  if (request.operation == api::Operation::kDelete) {
    pending_.erase(plural + "/" + request.name);
    admit_deletion(request);
  } else if (plural == kNetworks.plural) {
    admit_network(request);
  } else if (plural == kSubnets.plural) {
    admit_subnet(request);
  } else if (plural == kPools.plural) {
    admit_pool(request);
  } else {
    admit_claim(request);
  }
}

void add_address_admission(platform::Host& host, std::shared_ptr<Planner> planner) {
  api::AdmissionPlugin plugin;
  plugin.name = "addresses";
  plugin.mutating = true;  // a Subnet that names no prefix gets one
  plugin.matches = [](const api::AdmissionRequest& request) {
    if (request.type->group != "mainstay.dev" || !request.subresource.empty()) return false;
    for (const client::Resource& one : {kNetworks, kSubnets, kPools, kClaims}) {
      if (request.type->plural == one.plural) return true;
    }
    return false;
  };
  plugin.admit = [planner](api::AdmissionRequest& request) { return planner->admit(request); };
  host.api().add_admission(std::move(plugin));
}

}  // namespace mainstay::cloud
