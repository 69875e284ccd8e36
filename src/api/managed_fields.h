// metadata.managedFields in memory. Internal to api/.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "api/field_set.h"
#include "base/clock.h"
#include "base/json.h"

namespace mainstay::api {

struct Manager {
  std::string name, operation, api_version, subresource, time;
  FieldSet fields;

  // `"kubectl" using apps/v1 at 2026-01-02T03:04:05Z`, as conflicts name a manager.
  std::string to_string() const;
};

std::vector<Manager> read_managers(const base::json::value& object);
// Leaves out managers without fields, folds the oldest updaters into one where there are too many, and sorts.
void write_managers(std::vector<Manager> managers, base::json::value& object);

}  // namespace mainstay::api
