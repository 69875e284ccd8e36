// Pod.status from what the agent knows, and the way back after a restart. Pure.
#pragma once
#include <string>
#include <string_view>

#include "base/clock.h"
#include "capabilities/compute/pod/state.h"

namespace mainstay::compute {

// The whole status. Conditions keep their lastTransitionTime from `before` (the last status written or read) where they
// did not change; conditions of others there (PodScheduled) are kept.
json::object pod_status(const PodSpec& spec, const PodState& state, const json::value& before, std::string_view host_ip,
                        base::SystemTime now);

// Attempts and last terminations from a status written earlier: what a restarted agent cannot learn from its disk.
void recall(const json::value& status, const PodSpec& spec, PodState& state);

// Terminated container of a status, back as a value.
Termination read_termination(const json::value& terminated);
json::object write_termination(const Termination& how);

}  // namespace mainstay::compute
