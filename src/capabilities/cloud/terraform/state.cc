#include "capabilities/cloud/terraform/state.h"

#include <fmt/format.h>

namespace mainstay::cloud {

base::Result<StateHead> read_state(std::string_view text) {
  auto parsed = base::parse_json(text, 100);
  if (!parsed) return base::fail(base::ErrorCode::kInvalid, "the state is not JSON: " + parsed.error().message);
  if (!parsed->is_object() || base::get_int(*parsed, "version") < 1)
    return base::fail(base::ErrorCode::kInvalid, "this is no Terraform state: it has no \"version\"");
  StateHead out;
  out.serial = base::get_int(*parsed, "serial");
  out.lineage = base::get_string(*parsed, "lineage");
  for (const json::value& resource : base::get_array(*parsed, "resources"))
    out.resources += static_cast<std::int64_t>(base::get_array(resource, "instances").size());
  return out;
}

base::Result<LockInfo> read_lock(std::string_view text) {
  auto parsed = base::parse_json(text, 8);
  LockInfo out;
  if (parsed) out.id = base::get_string(*parsed, "ID");
  if (out.id.empty() || out.id.size() > 200)
    return base::fail(base::ErrorCode::kInvalid, "a lock is a JSON object with an \"ID\" of at most 200 characters");
  out.operation = base::get_string(*parsed, "Operation");
  out.who = base::get_string(*parsed, "Who");
  out.text = text;
  return out;
}

std::string why_not_after(const StateHead& before, const StateHead& after) {
  if (before.lineage.empty()) return "";
  if (before.lineage != after.lineage)
    return fmt::format(
        "its lineage is {} and the state in force has {}: it is of another configuration; delete the state first if "
        "it is to be replaced",
        after.lineage, before.lineage);
  if (after.serial < before.serial)
    return fmt::format("its serial is {} and the state in force has {}: it is older; refresh and try again",
                       after.serial, before.serial);
  return "";
}

}  // namespace mainstay::cloud
