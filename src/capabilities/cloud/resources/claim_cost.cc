#include "capabilities/cloud/resources/claim_cost.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/quantity.h"

namespace mainstay::cloud {
namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024;
constexpr const char* kDefaultSize = "1Gi";
// Drivers whose figures have a dashboard of their own (bootstrap/dashboards.yaml).
constexpr std::string_view kDrawn[] = {"postgres", "redis", "s3", "volume"};

std::string filled(std::string text, const reconcile::Name& name) {
  for (const auto& [key, value] : {std::pair<std::string, std::string>{"{namespace}", name.ns}, {"{name}", name.name}})
    for (std::size_t at = text.find(key); at != std::string::npos; at = text.find(key, at + value.size()))
      text.replace(at, key.size(), value);
  return text;
}

}  // namespace

std::string claim_cost(const json::value& claim, const json::value& cls, const json::value& price_list) {
  if (std::string own = base::get_string(cls, "spec.monthlyCost"); !own.empty()) return own;
  const std::string currency = base::get_string(price_list, "spec.currency", "EUR");
  const json::object& prices = base::get_object(price_list, "spec.resources");
  for (const std::string& name : {base::get_string(cls, "metadata.name"), base::get_string(claim, "spec.type")}) {
    const json::value* price = prices.if_contains(name);
    if (price != nullptr && price->is_number()) return fmt::format("{:.2f} {}", price->to_number<double>(), currency);
  }
  const json::value* gib = base::find(price_list, "spec.storageGiBMonth");
  if (base::get_string(cls, "spec.driver") == "volume" && gib != nullptr && gib->is_number()) {
    const std::string size =
        base::get_string(claim, "spec.params.size", base::get_string(cls, "spec.parameters.size", kDefaultSize));
    return fmt::format("{:.2f} {}",
                       static_cast<double>(base::parse_quantity(size).value_or(0)) / kGiB * gib->to_number<double>(),
                       currency);
  }
  return "no price";
}

std::string claim_dashboard(const reconcile::Name& claim, const std::string& driver, const std::string& team,
                            const std::string& own, const std::string& server_url) {
  if (!own.empty()) return filled(own, claim);
  if (team.empty()) return "";
  const bool drawn = std::ranges::find(kDrawn, driver) != std::end(kDrawn);
  return fmt::format("{}/console/teams/{}/dashboards/kube-system/resource{}?var-namespace={}&var-claim={}", server_url,
                     team, drawn ? "-" + driver : "", claim.ns, claim.name);
}

}  // namespace mainstay::cloud
