#include "capabilities/compute/metrics/usage.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace mainstay::compute {

bool CpuRates::ready(base::SteadyTime now) const {
  return std::ranges::any_of(kept_,
                             [&](const Sample& one) { return now - one.at >= kShortest && now - one.at <= kLongest; });
}

std::map<std::string, double> CpuRates::take(CpuCounters sample, base::SteadyTime now) {
  std::map<std::string, double> out;
  const auto before = std::ranges::find_if(
      kept_, [&](const Sample& one) { return now - one.at >= kShortest && now - one.at <= kLongest; });
  if (before != kept_.end()) {
    const double seconds = std::chrono::duration<double>(now - before->at).count();
    window_ = std::chrono::duration_cast<std::chrono::milliseconds>(now - before->at);
    for (const auto& [id, used] : sample) {
      const auto then = before->counters.find(id);
      if (then != before->counters.end() && used >= then->second) out[id] = (used - then->second) / seconds;
    }
  }
  // The older of the two goes when the newer is old enough to be compared with.
  while (!kept_.empty() && now - kept_.front().at > kLongest) kept_.erase(kept_.begin());
  if (kept_.empty() || now - kept_.back().at >= kKeep) {
    if (kept_.size() == 2) kept_.erase(kept_.begin());
    kept_.push_back({now, std::move(sample)});
  }
  return out;
}

json::object usage_of(double cores, std::uint64_t memory_bytes) {
  return {{"cpu", fmt::format("{}n", std::llround(cores * 1e9))}, {"memory", fmt::format("{}Ki", memory_bytes / 1024)}};
}

json::value pod_metrics(const platform::PodStats& pod, const json::object& labels,
                        const std::map<std::string, double>& cores, std::string_view now,
                        std::chrono::milliseconds window) {
  json::array containers;
  for (const platform::ContainerStats& container : pod.containers) {
    const auto used = cores.find(container.id);
    if (used == cores.end()) continue;  // begun a moment ago: nothing can be said of it yet
    containers.push_back({{"name", container.name}, {"usage", usage_of(used->second, container.memory_working_set)}});
  }
  return {{"apiVersion", "metrics.k8s.io/v1beta1"},
          {"kind", "PodMetrics"},
          {"metadata", {{"name", pod.name}, {"namespace", pod.ns}, {"creationTimestamp", now}, {"labels", labels}}},
          {"timestamp", now},
          {"window", fmt::format("{}s", std::max<std::int64_t>(1, (window.count() + 500) / 1000))},
          {"containers", std::move(containers)}};
}

}  // namespace mainstay::compute
