// RBAC rules (rbac.authorization.k8s.io/v1 PolicyRule), compiled for matching. Pure.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "api/user.h"
#include "base/json.h"

namespace mainstay::api {

struct Rule {
  std::vector<std::string> verbs, groups, resources, names, urls;
  bool any_verb = false, any_group = false, any_resource = false;
  static Rule parse(const base::json::value& rule);
  bool allows(const Attributes& what) const;
  std::string to_string() const;  // as upstream prints it in refusals
};

// Whether `held` together allow all that `wanted` does. A rule with more than 100,000 combinations is never covered.
bool covers(const std::vector<Rule>& held, const Rule& wanted);

}  // namespace mainstay::api
