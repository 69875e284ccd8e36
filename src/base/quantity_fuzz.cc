// Quantities, durations and times: parsed or refused, without overflow; thousandths and whole units agree.
#include <cstdlib>

#include "base/clock.h"
#include "base/quantity.h"

using namespace mainstay::base;

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto whole = parse_quantity(text), milli = parse_quantity_milli(text);
  if (whole.has_value() != milli.has_value()) std::abort();
  if (whole && *milli != INT64_MAX && *milli != -INT64_MAX) {
    const std::int64_t up = *milli >= 0 ? (*milli + 999) / 1000 : (*milli - 999) / 1000;
    if (up != *whole) std::abort();
  }
  (void)parse_duration(text);
  if (const auto time = parse_rfc3339(text)) (void)parse_rfc3339(rfc3339_micro(*time));
  return 0;
}
