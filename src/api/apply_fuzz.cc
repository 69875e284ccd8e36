// Input: a live pod and an applied configuration, one line each. What must hold: applying twice is applying once, and
// the fields of a manager read back as they were written.
#include <cstdlib>

#include "api/managed_fields.h"
#include "api/test_types.h"
#include "api/verbs.h"
#include "base/status.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace mainstay;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto line = input.find('\n');
  if (line == std::string_view::npos) return 0;
  auto live = base::parse_json(input.substr(0, line));
  auto applied = base::parse_json(input.substr(line + 1));
  if (!live || !applied || !live->is_object() || !applied->is_object()) return 0;
  const api::Schema& schema = *api::builtin("", "pods").schema;
  // As the verbs do before: what is applied is pruned, and its managedFields are refused.
  api::prune(schema, *applied, nullptr);
  base::erase(*applied, "metadata.managedFields");
  try {
    const auto once = api::server_side_apply(schema, &*live, *applied, "fuzz", true, "v1", base::SystemTime());
    const auto managers = api::read_managers(once);
    for (const auto& one : managers) {
      if (!(api::FieldSet::from_json(one.fields.to_json()) == one.fields)) std::abort();
    }
    const auto twice = api::server_side_apply(schema, &once, *applied, "fuzz", true, "v1", base::SystemTime());
    const auto thrice = api::server_side_apply(schema, &twice, *applied, "fuzz", true, "v1", base::SystemTime());
    if (thrice != twice) std::abort();
    // The second time the server may note that fields were there before anyone applied; nothing else may differ.
    base::json::value first = once, second = twice;
    base::erase(first, "metadata.managedFields");
    base::erase(second, "metadata.managedFields");
    if (first != second) std::abort();
  } catch (const base::StatusError& error) {
    if (error.message().empty()) std::abort();
  }
  return 0;
}
