// Cluster addresses of Services, given at admission out of config.service_cidr. The Services themselves are the record
// of what is taken, so nothing can be lost and nothing given twice after a restart.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/result.h"
#include "platform/host.h"

namespace mainstay::compute {
namespace json = boost::json;

// The IPv4 addresses of a CIDR, by offset. Pure.
class AddressRange {
 public:
  static base::Result<AddressRange> parse(std::string_view cidr);       // kInvalid; at least a /28, at most a /8
  std::optional<std::uint32_t> offset(std::string_view address) const;  // nullopt: not in the range, or no address
  std::string address(std::uint32_t offset) const;
  std::uint32_t size() const { return size_; }
  // A free one from `cursor` on, round the range, leaving out the network and broadcast addresses and the first ten of
  // the range (`.1` is the API's, and `.10` is DNS's by custom); moves the cursor. nullopt: all taken.
  // Nor one that `reserved` says yes to.
  std::optional<std::uint32_t> take(const std::set<std::uint32_t>& used, std::uint32_t& cursor,
                                    const std::function<bool(std::uint32_t)>& reserved = nullptr) const;

 private:
  std::uint32_t base_ = 0, size_ = 0;
};

class ServiceAddresses : public std::enable_shared_from_this<ServiceAddresses> {
 public:
  // Throws std::runtime_error where the configured range is not one.
  explicit ServiceAddresses(platform::Host& host);
  static void add_to(platform::Host& host);

 private:
  async::Task<> admit(api::AdmissionRequest& request);
  void allocate(json::value& service);
  void keep_address(json::value& service, const std::string& had);
  std::set<std::uint32_t> used(const std::string& ns, const std::string& name);
  bool kept_free(std::uint32_t offset);  // by an address plan
  async::Task<> make_api_service();

  platform::Host& host_;
  AddressRange range_;
  std::shared_ptr<client::Cache> services_;
  std::uint32_t cursor_ = 0;
  struct Reservation {
    std::string ns, name;
    base::SteadyTime until;
  };
  // Given out, and perhaps not in the copy of Services yet.
  std::map<std::uint32_t, Reservation> reserved_;
};

}  // namespace mainstay::compute
