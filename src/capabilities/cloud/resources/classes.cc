#include "capabilities/cloud/resources/classes.h"

#include <algorithm>
#include <set>

#include "base/strings.h"
#include "crypto/digest.h"

namespace mainstay::cloud {
namespace {

enum class Fit { kNone, kAny, kNamed };

Fit fit(const boost::json::value& object, const std::string& environment) {
  const auto& environments = base::get_array(object, "spec.environments");
  if (environments.empty()) return Fit::kAny;
  for (const auto& named : environments)
    if (named.is_string() && named.as_string() == environment) return Fit::kNamed;
  return Fit::kNone;
}

}  // namespace

base::Result<client::ObjectPtr> choose_class(const std::vector<client::ObjectPtr>& classes, const std::string& type,
                                             const std::string& name, const std::string& environment) {
  client::ObjectPtr best;
  Fit best_fit = Fit::kNone;
  std::set<std::string> types, named;
  for (const auto& object : classes) {
    const std::string own = base::get_string(*object, "metadata.name"),
                      own_type = base::get_string(*object, "spec.type");
    const Fit fits = fit(*object, environment);
    if (fits != Fit::kNone) types.insert(own_type);
    if (own_type != type) continue;
    named.insert(own);
    if (!name.empty() && own == name && fits == Fit::kNone)
      return base::fail(base::ErrorCode::kInvalid,
                        fmt::format("class {} is not for the environment \"{}\"", name, environment));
    if ((!name.empty() && own != name) || fits == Fit::kNone) continue;
    if (!best || fits > best_fit || (fits == best_fit && own < base::get_string(*best, "metadata.name"))) {
      best = object;
      best_fit = fits;
    }
  }
  if (best) return best;
  const auto list = [](const std::set<std::string>& all) {
    return all.empty() ? "none" : base::join({all.begin(), all.end()}, ", ");
  };
  if (!name.empty())
    return base::fail(base::ErrorCode::kInvalid,
                      fmt::format("there is no class \"{}\" of type {} (there are: {})", name, type, list(named)));
  return base::fail(base::ErrorCode::kInvalid,
                    fmt::format("no class provides type \"{}\" in the environment \"{}\" (types there: {})", type,
                                environment, list(types)));
}

std::string claim_id(std::string_view namespace_uid, std::string_view name) {
  return crypto::sha256_hex(fmt::format("{}/{}", namespace_uid, name)).substr(0, 20);
}

}  // namespace mainstay::cloud
