// What a claim costs a month, and where its dashboard is. Pure.
#pragma once
#include <string>

#include "base/json.h"
#include "reconcile/controller.h"

namespace mainstay::cloud {
namespace json = boost::json;

// The class's own price; else the PriceList's by class or type ("8.00 EUR"), and of a volume by its size; "no price"
// where nobody named one. `price_list` may be null.
std::string claim_cost(const json::value& claim, const json::value& cls, const json::value& price_list);

// The class's own link with {namespace} and {name} filled in; else the console's page of the platform's dashboard for
// the claim's driver. "" where there is no team to show it in.
std::string claim_dashboard(const reconcile::Name& claim, const std::string& driver, const std::string& team,
                            const std::string& own, const std::string& server_url);

}  // namespace mainstay::cloud
