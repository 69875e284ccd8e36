// What the HTTP backend of Terraform and OpenTofu sends and is told, without I/O.
// https://developer.hashicorp.com/terraform/language/backend/http
#pragma once
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"

namespace mainstay::cloud {
namespace json = boost::json;

inline constexpr std::size_t kMaxState = 2u << 20, kMaxLock = 16u << 10;

struct StateHead {
  std::int64_t serial = 0, resources = 0;
  std::string lineage;
};
// What a state says of itself. An error where it is no state (version 4 and later are JSON objects with these fields).
base::Result<StateHead> read_state(std::string_view text);

struct LockInfo {
  std::string id, operation, who, text;  // text: as it came, to be given back to others who want the lock
};
base::Result<LockInfo> read_lock(std::string_view text);

// Why a state may not follow the one in force; "" where it may. A state of another lineage, or an older one, would
// silently undo somebody's work.
std::string why_not_after(const StateHead& before, const StateHead& after);

}  // namespace mainstay::cloud
