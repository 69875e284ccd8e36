#include "base/json.h"
#include "reconcile/controller.h"

namespace mainstay::reconcile {

const json::value* find_condition(const json::value& object, std::string_view type) {
  for (const auto& condition : base::get_array(object, "status.conditions")) {
    if (base::get_string(condition, "type") == type) return &condition;
  }
  return nullptr;
}

bool condition_true(const json::value& object, std::string_view type) {
  const json::value* condition = find_condition(object, type);
  return condition && base::get_string(*condition, "status") == "True";
}

void set_condition(json::value& object, std::string_view type, std::string_view status, std::string_view reason,
                   std::string_view message, base::SystemTime now) {
  json::array conditions = base::get_array(object, "status.conditions");
  json::object* found = nullptr;
  for (auto& condition : conditions) {
    if (condition.is_object() && base::get_string(condition, "type") == type) found = &condition.as_object();
  }
  if (!found) found = &conditions.emplace_back(json::object{{"type", type}}).as_object();
  // The time tells since when the status holds; a new reason or message does not change it.
  const bool turned = base::get_string(*found, "status") != status;
  (*found)["status"] = status;
  (*found)["reason"] = reason;
  (*found)["message"] = message;
  if (turned || !found->contains("lastTransitionTime")) (*found)["lastTransitionTime"] = base::rfc3339(now);
  base::set(object, "status.conditions", std::move(conditions));
}

json::object owner_reference(const json::value& owner, bool controller) {
  return json::object{{"apiVersion", base::get_string(owner, "apiVersion")},
                      {"kind", base::get_string(owner, "kind")},
                      {"name", base::get_string(owner, "metadata.name")},
                      {"uid", base::get_string(owner, "metadata.uid")},
                      {"controller", controller},
                      {"blockOwnerDeletion", controller}};
}

bool is_controlled_by(const json::value& object, std::string_view owner_uid) {
  for (const auto& reference : base::get_array(object, "metadata.ownerReferences")) {
    if (base::get_bool(reference, "controller") && base::get_string(reference, "uid") == owner_uid) return true;
  }
  return false;
}

}  // namespace mainstay::reconcile
