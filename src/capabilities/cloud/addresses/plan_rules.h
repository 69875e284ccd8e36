// What may be in an address plan: checks over the objects Network, Subnet and AddressPool. Pure; the error names the
// field and the thing it runs into.
#pragma once
#include <string>
#include <vector>

#include "base/json.h"
#include "base/status.h"
#include "capabilities/cloud/addresses/forecast.h"
#include "capabilities/cloud/addresses/host_routes.h"
#include "capabilities/cloud/addresses/prefix.h"

namespace mainstay::cloud {

// The plan as it is: parsed objects, those being written included.
struct NetworkPlan {
  std::string name;
  std::vector<Prefix> ranges;
  bool external = false;
};
struct SubnetPlan {
  std::string name, network, parent;
  Prefix cidr;
};
struct PoolPlan {
  std::string name, subnet, purpose;
  Prefix range;
  std::vector<Prefix> reserved;
};
struct AddressPlan {
  std::vector<NetworkPlan> networks;
  std::vector<SubnetPlan> subnets;
  std::vector<PoolPlan> pools;
  const NetworkPlan* network(std::string_view name) const;
  const SubnetPlan* subnet(std::string_view name) const;
  const PoolPlan* pool(std::string_view name) const;
};

// One object, taken apart. Errors are StatusError 422 of the object's kind.
NetworkPlan read_network(const json::value& object);
PoolPlan read_pool(const json::value& object, const AddressPlan& plan);  // spec.range filled in from the Subnet
std::vector<Plan> read_plans(const json::value& pool);                   // spec.plans; dates and times

// Throw StatusError 422 where the object does not fit. An earlier version of it is passed over.
void check_network(const NetworkPlan& network, const AddressPlan& plan, const std::vector<HostRoute>& routes);
void check_subnet(const SubnetPlan& subnet, const AddressPlan& plan, const std::vector<HostRoute>& routes);
void check_pool(const PoolPlan& pool, const AddressPlan& plan);
// What still stands on it, so that it cannot be deleted; "" where nothing does.
std::string users_of_network(const std::string& name, const AddressPlan& plan);
std::string users_of_subnet(const std::string& name, const AddressPlan& plan);

// The prefix of a Subnet that named none: the lowest free one of its length. Throws StatusError 422.
Prefix choose_cidr(const json::value& subnet, const AddressPlan& plan);

}  // namespace mainstay::cloud
