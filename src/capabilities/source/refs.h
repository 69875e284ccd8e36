// What a repository's refs are, and what changed: pure functions between git's output and Repository.status.refs.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace mainstay::source {

// At most so many refs are kept in the object; the rest stay in git alone.
inline constexpr std::size_t kMaxRefsInStatus = 2000;

using Refs = std::map<std::string, std::string>;  // name to commit (or tag) id

// The output of `git for-each-ref --format='%(objectname) %(refname)'`. Lines that are not so are left out.
Refs parse_refs(std::string_view output);

struct RefChange {
  std::string ref, before, after;  // before: "" for a new ref; after: "" for a deleted one
  bool operator==(const RefChange&) const = default;
};

// Makes `recorded` (the object status.refs) say what `refs` says, and tells what changed. `pushed_by` names who moved a
// ref to a commit; "unknown" is its honest answer after a crash.
std::vector<RefChange> record_refs(const Refs& refs, base::json::object& recorded, std::string_view now,
                                   const std::function<std::string(const RefChange&)>& pushed_by);

// True where a branch matches a pattern: `*` is any run of characters but '/', `**` any at all.
bool branch_matches(std::string_view pattern, std::string_view branch);

}  // namespace mainstay::source
