// What is used at this moment, from counters that only tell what was used so far. Pure.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "platform/interfaces/stats.h"

namespace mainstay::compute {
namespace json = boost::json;

// Seconds of CPU by what used them: a container's id, "" for the whole node.
using CpuCounters = std::map<std::string, double>;

class CpuRates {
 public:
  // Two samples closer than this tell nothing: the kernel counts in steps.
  static constexpr std::chrono::milliseconds kShortest{900};
  static constexpr std::chrono::seconds kLongest{60}, kKeep{15};

  // Whether a sample taken now could be compared with one of before.
  bool ready(base::SteadyTime now) const;
  // Takes the sample in; gives cores in use since the one it is compared with, of all that were there then too.
  std::map<std::string, double> take(CpuCounters sample, base::SteadyTime now);
  std::chrono::milliseconds window() const { return window_; }  // of the last take()

 private:
  struct Sample {
    base::SteadyTime at;
    CpuCounters counters;
  };
  std::vector<Sample> kept_;  // oldest first; two at most
  std::chrono::milliseconds window_{0};
};

// A PodMetrics of metrics.k8s.io/v1beta1.
json::value pod_metrics(const platform::PodStats& pod, const json::object& labels,
                        const std::map<std::string, double>& cores, std::string_view now,
                        std::chrono::milliseconds window);
json::object usage_of(double cores, std::uint64_t memory_bytes);  // {"cpu": "12345678n", "memory": "1024Ki"}

}  // namespace mainstay::compute
