// What a Dashboard may hold: Grafana's JSON model, as far as the console draws it. Pure.
#pragma once
#include "api/admission.h"
#include "base/json.h"
#include "base/result.h"

namespace mainstay::observe {

// kInvalid names the panel and the reason. `spec` is a Dashboard's: the model itself, or its text in `json`.
base::Result<> check_dashboard(const boost::json::value& spec);
// Refuses Dashboards that check_dashboard() refuses.
api::AdmissionPlugin dashboard_admission();

}  // namespace mainstay::observe
