// Which class provides a claim. Pure.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "client/cache.h"

namespace mainstay::cloud {

inline const client::Resource kResourceClasses{"mainstay.dev", "v1", "resourceclasses", false, "ResourceClass"};
inline const client::Resource kResourceClaims{"mainstay.dev", "v1", "resourceclaims", true, "ResourceClaim"};

// The class named, or the best of the type for the environment: one that names the environment before one that does
// not, then by name. kInvalid says what there is instead.
base::Result<client::ObjectPtr> choose_class(const std::vector<client::ObjectPtr>& classes, const std::string& type,
                                             const std::string& name, const std::string& environment);

// An opaque id of a claim: 20 hex digits of the namespace's uid and the claim's name.
std::string claim_id(std::string_view namespace_uid, std::string_view name);

}  // namespace mainstay::cloud
