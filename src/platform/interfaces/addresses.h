// Addresses that are kept free by an address plan, provided by cloud/addresses to compute/, which gives out those of
// pods and Services.
#pragma once
#include <cstdint>
#include <string_view>

namespace mainstay::platform {

class AddressReservations {
 public:
  virtual ~AddressReservations() = default;
  // Whether this IPv4 address (host order) of the pool ("pods", "services") is reserved. Thread-safe.
  virtual bool reserved(std::string_view pool, std::uint32_t address) const = 0;
};

}  // namespace mainstay::platform
