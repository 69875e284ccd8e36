// Time, injected so that tests can turn it.
#pragma once
#include <chrono>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mainstay::base {

using SystemTime = std::chrono::system_clock::time_point;
using SteadyTime = std::chrono::steady_clock::time_point;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual SystemTime now() const = 0;
  virtual SteadyTime steady() const = 0;
};
Clock& real_clock();

class FakeClock final : public Clock {  // not thread-safe
 public:
  explicit FakeClock(SystemTime start) : now_(start) {}
  SystemTime now() const override { return now_; }
  SteadyTime steady() const override { return SteadyTime(now_.time_since_epoch()); }
  void advance(std::chrono::nanoseconds by) { now_ += std::chrono::duration_cast<SystemTime::duration>(by); }

 private:
  SystemTime now_;
};

std::string rfc3339(SystemTime time);        // 2006-01-02T15:04:05Z, as metav1.Time
std::string rfc3339_micro(SystemTime time);  // 2006-01-02T15:04:05.000000Z, as metav1.MicroTime
Result<SystemTime> parse_rfc3339(std::string_view text);
Result<std::chrono::nanoseconds> parse_duration(std::string_view text);  // Go's: "1h30m", "250ms"

}  // namespace mainstay::base
