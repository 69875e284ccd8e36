// Each team's and each workload's own Dashboard, made from the templates `team` and `workload` in kube-system.
//
// What is made belongs to the team from then on: it is never written again, so edits stay. It goes with its workload
// (an ownerReference to the Deployment); removed while the workload is there, it is made anew.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "base/json.h"
#include "platform/host.h"

namespace mainstay::observe {

inline const client::Resource kDashboards{"mainstay.dev", "v1", "dashboards", true, "Dashboard"};

// A Dashboard's spec made of a template's: `constants` stand in place of the variables of their names (as Grafana's
// hidden variables of type constant), and `subject` is added to the title. A template kept as text (`json`) is read.
// Pure; kInvalid where the template is no model.
base::Result<boost::json::object> dashboard_from(const boost::json::value& template_spec,
                                                 const std::map<std::string, std::string>& constants,
                                                 const std::string& subject);

// Adds the two controllers to the host.
void add_default_dashboards(platform::Host& host);

}  // namespace mainstay::observe
