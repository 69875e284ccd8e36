#include "capabilities/cloud/addresses/plan_rules.h"

#include <fmt/format.h>

#include <algorithm>

namespace mainstay::cloud {
namespace {

[[noreturn]] void refuse(std::string_view kind, const std::string& name, std::string field, std::string message) {
  throw base::invalid(kind, name, {{std::move(field), "FieldValueInvalid", std::move(message)}});
}

Prefix parse_field(std::string_view kind, const std::string& name, const std::string& field, const std::string& text) {
  const auto prefix = Prefix::parse(text);
  if (!prefix) refuse(kind, name, field, prefix.error().message);
  return *prefix;
}

// Ranges that are nobody's to give out (RFC 6890): this host, loopback, link-local, multicast, reserved.
const std::vector<Prefix>& special() {
  static const std::vector<Prefix> ranges = [] {
    std::vector<Prefix> out;
    for (const char* text :
         {"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/8", "fe80::/10", "ff00::/8"})
      out.push_back(*Prefix::parse(text));
    return out;
  }();
  return ranges;
}

template <class T>
const T* by_name(const std::vector<T>& all, std::string_view name) {
  const auto at = std::ranges::find(all, name, &T::name);
  return at == all.end() ? nullptr : &*at;
}

std::vector<Prefix> parents_of(const json::value& subnet, const std::string& name, const AddressPlan& plan) {
  const std::string parent = base::get_string(subnet, "spec.parent"),
                    network = base::get_string(subnet, "spec.network");
  if (parent.empty()) {
    const NetworkPlan* found = plan.network(network);
    if (found == nullptr) refuse("Subnet", name, "spec.network", fmt::format("there is no Network \"{}\"", network));
    return found->ranges;
  }
  const SubnetPlan* found = plan.subnet(parent);
  if (found == nullptr) refuse("Subnet", name, "spec.parent", fmt::format("there is no Subnet \"{}\"", parent));
  return {found->cidr};
}

// What lies directly below the same parent, and in pools of the parent: the neighbours that must be apart.
std::vector<std::pair<std::string, Prefix>> neighbours(const std::string& name, const std::string& network,
                                                       const std::string& parent, const AddressPlan& plan) {
  std::vector<std::pair<std::string, Prefix>> out;
  for (const SubnetPlan& other : plan.subnets) {
    if (other.name != name && other.network == network && other.parent == parent)
      out.emplace_back("Subnet " + other.name, other.cidr);
  }
  for (const PoolPlan& pool : plan.pools) {
    if (!parent.empty() && pool.subnet == parent) out.emplace_back("AddressPool " + pool.name, pool.range);
  }
  return out;
}

}  // namespace

const NetworkPlan* AddressPlan::network(std::string_view name) const { return by_name(networks, name); }
const SubnetPlan* AddressPlan::subnet(std::string_view name) const { return by_name(subnets, name); }
const PoolPlan* AddressPlan::pool(std::string_view name) const { return by_name(pools, name); }

NetworkPlan read_network(const json::value& object) {
  NetworkPlan out;
  out.name = base::get_string(object, "metadata.name");
  out.external = base::get_bool(object, "spec.external");
  for (const json::value& range : base::get_array(object, "spec.ranges")) {
    out.ranges.push_back(parse_field("Network", out.name, fmt::format("spec.ranges[{}]", out.ranges.size()),
                                     range.is_string() ? std::string(range.get_string()) : ""));
  }
  return out;
}

PoolPlan read_pool(const json::value& object, const AddressPlan& plan) {
  PoolPlan out;
  out.name = base::get_string(object, "metadata.name");
  out.subnet = base::get_string(object, "spec.subnet");
  out.purpose = base::get_string(object, "spec.purpose", "claims");
  const SubnetPlan* subnet = plan.subnet(out.subnet);
  if (subnet == nullptr)
    refuse("AddressPool", out.name, "spec.subnet", fmt::format("there is no Subnet \"{}\"", out.subnet));
  const std::string range = base::get_string(object, "spec.range");
  out.range = range.empty() ? subnet->cidr : parse_field("AddressPool", out.name, "spec.range", range);
  for (const json::value& one : base::get_array(object, "spec.reservations"))
    out.reserved.push_back(parse_field("AddressPool", out.name,
                                       fmt::format("spec.reservations[{}].range", out.reserved.size()),
                                       base::get_string(one, "range")));
  return out;
}

std::vector<Plan> read_plans(const json::value& pool) {
  std::vector<Plan> out;
  for (const json::value& one : base::get_array(pool, "spec.plans")) {
    std::string by = base::get_string(one, "by");
    if (by.size() == 10) by += "T00:00:00Z";
    const auto time = base::parse_rfc3339(by);
    if (!time)
      refuse("AddressPool", base::get_string(pool, "metadata.name"), fmt::format("spec.plans[{}].by", out.size()),
             "must be a date such as 2027-03-01, or a time as RFC 3339 writes it");
    const json::value* count = base::find(one, "addresses");
    out.push_back({*time, count != nullptr && count->is_number() ? count->to_number<double>() : 0});
  }
  return out;
}

void check_network(const NetworkPlan& network, const AddressPlan& plan, const std::vector<HostRoute>& routes) {
  for (std::size_t i = 0; i < network.ranges.size(); ++i) {
    const Prefix& range = network.ranges[i];
    const auto stop = [&](std::string message) {
      refuse("Network", network.name, fmt::format("spec.ranges[{}]", i), range.to_string() + " " + std::move(message));
    };
    for (const Prefix& other : special()) {
      if (range.overlaps(other))
        stop(fmt::format("overlaps {}, which is not for networks (RFC 6890)", other.to_string()));
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (range.overlaps(network.ranges[j])) stop(fmt::format("overlaps spec.ranges[{}]", j));
    }
    for (const NetworkPlan& other : plan.networks) {
      if (other.name == network.name) continue;
      for (const Prefix& taken : other.ranges) {
        if (range.overlaps(taken))
          stop(fmt::format("overlaps {} of the {}Network {}", taken.to_string(), other.external ? "external " : "",
                           other.name));
      }
    }
    // What is imported is routed somewhere, of course.
    for (const HostRoute& route : routes) {
      if (!network.external && range.overlaps(route.destination))
        stop(fmt::format(
            "overlaps {}, which this machine routes to {}; where that is another network of yours, import it "
            "with spec.external: true",
            route.destination.to_string(), route.device));
    }
  }
  for (const SubnetPlan& subnet : plan.subnets) {
    if (subnet.network != network.name) continue;
    const bool held = std::ranges::any_of(network.ranges, [&](const Prefix& r) { return r.contains(subnet.cidr); });
    if (!held || network.external)
      refuse("Network", network.name, "spec",
             fmt::format("the Subnet {} ({}) would be left outside; delete it first", subnet.name,
                         subnet.cidr.to_string()));
  }
}

void check_subnet(const SubnetPlan& subnet, const AddressPlan& plan, const std::vector<HostRoute>& routes) {
  const auto stop = [&](std::string field, std::string message) {
    refuse("Subnet", subnet.name, std::move(field), std::move(message));
  };
  const NetworkPlan* network = plan.network(subnet.network);
  if (network == nullptr) stop("spec.network", fmt::format("there is no Network \"{}\"", subnet.network));
  if (network->external) stop("spec.network", "the Network is external: its addresses are given out elsewhere");
  const SubnetPlan* parent = subnet.parent.empty() ? nullptr : plan.subnet(subnet.parent);
  if (!subnet.parent.empty() && (parent == nullptr || parent->network != subnet.network))
    stop("spec.parent", fmt::format("there is no Subnet \"{}\" in this Network", subnet.parent));
  const bool held = parent != nullptr ? parent->cidr.contains(subnet.cidr) && subnet.cidr.length > parent->cidr.length
                                      : std::ranges::any_of(network->ranges,
                                                            [&](const Prefix& r) { return r.contains(subnet.cidr); });
  if (!held)
    stop("spec.cidr",
         fmt::format("{} does not lie within {}", subnet.cidr.to_string(),
                     parent != nullptr ? "the Subnet " + parent->name + " (" + parent->cidr.to_string() + ")"
                                       : "the ranges of the Network " + network->name));
  for (const HostRoute& route : routes) {
    if (subnet.cidr.overlaps(route.destination))
      stop("spec.cidr", fmt::format("{} overlaps {}, which this machine routes to {}", subnet.cidr.to_string(),
                                    route.destination.to_string(), route.device));
  }
  for (const auto& [what, taken] : neighbours(subnet.name, subnet.network, subnet.parent, plan)) {
    if (subnet.cidr.overlaps(taken))
      stop("spec.cidr", fmt::format("{} overlaps {} of the {}", subnet.cidr.to_string(), taken.to_string(), what));
  }
}

void check_pool(const PoolPlan& pool, const AddressPlan& plan) {
  const auto stop = [&](std::string field, std::string message) {
    refuse("AddressPool", pool.name, std::move(field), std::move(message));
  };
  const SubnetPlan* subnet = plan.subnet(pool.subnet);
  if (subnet == nullptr) stop("spec.subnet", fmt::format("there is no Subnet \"{}\"", pool.subnet));
  if (!subnet->cidr.contains(pool.range))
    stop("spec.range", fmt::format("{} does not lie within {}", pool.range.to_string(), subnet->cidr.to_string()));
  for (const SubnetPlan& other : plan.subnets) {
    if (other.parent == pool.subnet && other.network == subnet->network && other.cidr.overlaps(pool.range))
      stop("spec.range",
           fmt::format("{} overlaps the Subnet {} ({})", pool.range.to_string(), other.name, other.cidr.to_string()));
  }
  for (const PoolPlan& other : plan.pools) {
    if (other.name != pool.name && other.subnet == pool.subnet && other.range.overlaps(pool.range))
      stop("spec.range", fmt::format("{} overlaps the AddressPool {} ({})", pool.range.to_string(), other.name,
                                     other.range.to_string()));
  }
  for (std::size_t i = 0; i < pool.reserved.size(); ++i) {
    if (!pool.range.contains(pool.reserved[i]))
      stop(fmt::format("spec.reservations[{}].range", i),
           fmt::format("{} does not lie within {}", pool.reserved[i].to_string(), pool.range.to_string()));
  }
}

std::string users_of_network(const std::string& name, const AddressPlan& plan) {
  for (const SubnetPlan& subnet : plan.subnets) {
    if (subnet.network == name) return "Subnet " + subnet.name;
  }
  return "";
}

std::string users_of_subnet(const std::string& name, const AddressPlan& plan) {
  for (const SubnetPlan& subnet : plan.subnets) {
    if (subnet.parent == name) return "Subnet " + subnet.name;
  }
  for (const PoolPlan& pool : plan.pools) {
    if (pool.subnet == name) return "AddressPool " + pool.name;
  }
  return "";
}

Prefix choose_cidr(const json::value& subnet, const AddressPlan& plan) {
  const std::string name = base::get_string(subnet, "metadata.name");
  const std::int64_t length = base::get_int(subnet, "spec.prefixLength");
  if (length < 1 || length > 128)
    refuse("Subnet", name, "spec.cidr", "missing: give a prefix, or a prefixLength to be given a free one");
  const bool v6 = base::get_int(subnet, "spec.ipVersion", length > 32 ? 6 : 4) == 6;
  std::vector<Prefix> taken;
  for (const auto& [what, prefix] :
       neighbours(name, base::get_string(subnet, "spec.network"), base::get_string(subnet, "spec.parent"), plan))
    taken.push_back(prefix);
  for (const Prefix& within : parents_of(subnet, name, plan)) {
    if (within.base.v6 != v6) continue;
    if (const auto found = find_free(within, taken, static_cast<unsigned>(length))) return *found;
  }
  refuse("Subnet", name, "spec.prefixLength", fmt::format("no free /{} is left", length));
}

}  // namespace mainstay::cloud
