// Probes: when to ask, what an answer means, and the asking itself.
#pragma once
#include <chrono>
#include <memory>
#include <string>

#include "async/task.h"
#include "base/clock.h"
#include "base/result.h"
#include "capabilities/compute/pod/state.h"

namespace mainstay::compute {

enum class ProbeKind { kStartup, kLiveness, kReadiness };

// A probe's memory. Pure.
//
// Until the first success within the first seconds readiness and startup are asked every kEagerPeriod instead of every
// period: the time from push to traffic counts. Failures of these extra questions count once a period, so thresholds
// keep their meaning.
class ProbeTracker {
 public:
  static constexpr std::chrono::milliseconds kEagerPeriod{50};
  static constexpr std::chrono::seconds kEagerTime{10};

  ProbeTracker(ProbeKind kind, const ProbeSpec& spec, base::SteadyTime started);
  enum class Verdict { kUnchanged, kUp, kDown };
  Verdict on_result(bool ok, base::SteadyTime now);
  std::chrono::nanoseconds next_in(base::SteadyTime now) const;

 private:
  ProbeKind kind_;
  ProbeSpec spec_;
  base::SteadyTime started_;
  std::optional<base::SteadyTime> last_counted_failure_;
  int successes_ = 0, failures_ = 0;
  bool up_, ever_up_ = false;
};

class PodWorker;

// Asks until the container (by id) runs no more.
async::Task<> run_probe(std::shared_ptr<PodWorker> worker, ContainerRef ref, std::string id, ProbeKind kind,
                        ProbeSpec spec);
// One question. The error says what was wrong with the answer.
async::Task<base::Result<>> ask(std::shared_ptr<PodWorker> worker, ContainerRef ref, Handler handler,
                                std::chrono::milliseconds limit);

}  // namespace mainstay::compute
