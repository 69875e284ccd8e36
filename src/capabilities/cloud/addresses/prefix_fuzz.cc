// Addresses and prefixes: what parses is written so that it parses to the same, and a block that was found is free.
#include <cstdlib>

#include "capabilities/cloud/addresses/prefix.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mainstay::cloud;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto line = text.find('\n');
  if (const auto address = Address::parse(text.substr(0, line))) {
    const auto again = Address::parse(address->to_string());
    if (!again || *again != *address) std::abort();
  }
  const auto within = Prefix::parse(text.substr(0, line));
  if (!within) return 0;
  const auto again = Prefix::parse(within->to_string());
  if (!again || !(*again == *within) || !within->contains(within->first()) || !within->contains(within->last()))
    std::abort();
  if (line == std::string_view::npos) return 0;
  const auto taken = Prefix::parse(text.substr(line + 1));
  if (!taken || taken->base.v6 != within->base.v6) return 0;
  for (const unsigned length : {within->length, within->length + 1, within->base.bits()}) {
    if (length > within->base.bits()) continue;
    const auto found = find_free(*within, {*taken}, length);
    if (found && (!within->contains(*found) || found->overlaps(*taken) || found->length != length)) std::abort();
  }
  if (covered(*within, {*taken, *taken}) > within->size()) std::abort();
  return 0;
}
