#include "platform/interfaces/resources.h"

#include <algorithm>

#include "base/strings.h"

namespace mainstay::platform {

base::Result<> check_params(const ClaimRequest& claim, const std::vector<std::string>& known) {
  const auto check = [&](const boost::json::object& given, const char* where) -> base::Result<> {
    for (const auto& entry : given) {
      const std::string name(entry.key());
      if (std::ranges::find(known, name) == known.end())
        return base::fail(base::ErrorCode::kInvalid,
                          fmt::format("{}.{} is not known here; there {}", where, name.substr(0, 60),
                                      known.empty() ? "are none" : "is: " + base::join(known, ", ")));
    }
    return {};
  };
  MAINSTAY_TRY_VOID(check(claim.params, "params"));
  return check(claim.parameters, "the class's parameters");
}

}  // namespace mainstay::platform
