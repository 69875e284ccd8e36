// What pods may ask of this machine.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "api/admission.h"
#include "platform/host.h"

namespace mainstay::compute {
namespace json = boost::json;

// The identity that runs builds: it alone may ask for a build's user namespace, and name a workflow run.
inline constexpr std::string_view kPipelinesUser = "system:mainstay:pipelines";

// Fields of a pod spec that reach into the machine itself, as paths; empty where there are none. Pure.
std::vector<std::string> host_access(const json::value& pod);
// Why an update of a pod is refused; "" where it may be. Pure.
std::string forbidden_update(const json::value& before, const json::value& after);

// Whether the request may ask for what is the machine's or others': administrators, outside of team namespaces (what a
// team's namespace holds may come from a controller acting for anybody there).
bool may_reach_host(platform::Host& host, const api::AdmissionRequest& request);
// Throws StatusError 403 where nobody may enter the pod, by exec or port-forward, although they have the right to enter
// those of the namespace: a workflow run's. What it says of its build is signed, and its token speaks for the run.
void check_enterable(const json::value& pod, const api::UserInfo& user);

api::AdmissionPlugin pod_admission(platform::Host& host);

}  // namespace mainstay::compute
