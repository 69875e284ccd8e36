// What pods use, provided by compute/ to observe/.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "async/task.h"

namespace mainstay::platform {

struct ContainerStats {
  std::string name, id, image;
  double cpu_seconds = 0;                    // used since it was started
  double throttled_seconds = 0;              // kept waiting by its limit
  std::uint64_t periods = 0, throttled = 0;  // of the limit
  std::uint64_t memory_usage = 0;            // bytes, with the page cache
  std::uint64_t memory_working_set = 0;      // without the inactive part of it: what the limit acts on
  std::uint64_t memory_rss = 0;
  std::uint64_t memory_limit = 0;  // 0: none
  std::int64_t started = 0;        // seconds since 1970
};
struct PodStats {
  std::string ns, name, uid;
  // As the pod sees it.
  std::uint64_t received_bytes = 0, received_packets = 0, received_errors = 0, received_dropped = 0;
  std::uint64_t sent_bytes = 0, sent_packets = 0, sent_errors = 0, sent_dropped = 0;
  std::vector<ContainerStats> containers;  // those that run
};
class StatsSource {
 public:
  virtual ~StatsSource() = default;
  // Read from the kernel when asked.
  virtual async::Task<std::vector<PodStats>> pods() = 0;
};

}  // namespace mainstay::platform
