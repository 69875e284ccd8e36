// What follows from pools and claims: addresses given out, utilisation kept as history, the forecast and its warning.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "capabilities/cloud/addresses/planner.h"
#include "platform/interfaces/addresses.h"

namespace mainstay::cloud {

// Reservations of the platform's own pools, as compute's allocators ask for them.
class Reservations final : public platform::AddressReservations {
 public:
  bool reserved(std::string_view pool, std::uint32_t address) const override;
  void set(const std::string& pool, std::vector<Prefix> ranges);

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::vector<Prefix>, std::less<>> ranges_;
};

class Pools {
 public:
  Pools(platform::Host& host, std::shared_ptr<Planner> planner, std::shared_ptr<Reservations> reservations);
  async::Task<> synced() const;
  // The Network, Subnets and pools of --pod-cidr and --service-cidr.
  async::Task<> make_own();
  async::Task<reconcile::Outcome> reconcile_pool(reconcile::Name name);
  async::Task<reconcile::Outcome> reconcile_claim(reconcile::Name name);
  // Claims that wait for an address of this pool.
  std::vector<reconcile::Name> waiting(const std::string& pool) const;
  // The forecast of a pool as it would be with more growth a month and more plans. Throws StatusError 404.
  json::object what_if(const std::string& pool, double more_a_month, const std::vector<Plan>& more) const;

 private:
  struct Usage {
    double size = 0, used = 0, reserved = 0;
  };
  Usage usage(const PoolPlan& pool) const;
  std::vector<Prefix> taken(const PoolPlan& pool, const std::string& except_uid) const;
  void describe(json::value& object, const PoolPlan& pool, const Usage& usage);

  platform::Host& host_;
  client::ApiClient client_;
  std::shared_ptr<Planner> planner_;
  std::shared_ptr<Reservations> reservations_;
  std::shared_ptr<client::Cache> pools_, claims_, pods_, services_;
  std::map<std::string, base::SteadyTime> written_;  // when a pool's status was last written
};

}  // namespace mainstay::cloud
