#include "capabilities/source/refs.h"

#include "base/strings.h"
#include "base/utf8.h"
#include "capabilities/source/git.h"

namespace mainstay::source {

Refs parse_refs(std::string_view output) {
  Refs refs;
  for (std::string_view line : base::split(output, '\n')) {
    const auto space = line.find(' ');
    if (space == std::string_view::npos || space + 1 == line.size() || !is_object_id(line.substr(0, space))) continue;
    // git takes any bytes for a name. JSON could not hold it, and with it no ref would be recorded any more.
    if (!base::is_utf8(line)) continue;
    refs.emplace(line.substr(space + 1), line.substr(0, space));
  }
  return refs;
}

std::vector<RefChange> record_refs(const Refs& refs, base::json::object& recorded, std::string_view now,
                                   const std::function<std::string(const RefChange&)>& pushed_by) {
  std::vector<RefChange> changes;
  for (const auto& entry : recorded) {
    if (!refs.contains(std::string(entry.key())))
      changes.push_back({entry.key(), base::get_string(entry.value(), "sha"), ""});
  }
  for (const RefChange& gone : changes) recorded.erase(gone.ref);
  for (const auto& [ref, sha] : refs) {
    const auto known = recorded.find(ref);
    const std::string before = known == recorded.end() ? "" : base::get_string(known->value(), "sha");
    if (before == sha) continue;
    if (known == recorded.end() && recorded.size() >= kMaxRefsInStatus) continue;
    RefChange change{ref, before, sha};
    recorded[ref] = base::json::object{
        {"sha", sha}, {"previous", before}, {"pushedAt", now}, {"pushedBy", pushed_by ? pushed_by(change) : "unknown"}};
    changes.push_back(std::move(change));
  }
  return changes;
}

bool branch_matches(std::string_view pattern, std::string_view branch) {
  // reach[i]: the pattern so far can match the first i characters. One row a pattern element, so no pattern is slow.
  std::vector<char> reach(branch.size() + 1, 0);
  reach[0] = 1;
  for (std::size_t at = 0; at < pattern.size(); ++at) {
    if (pattern[at] == '*') {
      const bool any = pattern.substr(at).starts_with("**");
      if (any) ++at;
      for (std::size_t i = 0; i < branch.size(); ++i)
        if (reach[i] && (any || branch[i] != '/')) reach[i + 1] = 1;
    } else {
      for (std::size_t i = branch.size(); i > 0; --i) reach[i] = reach[i - 1] && branch[i - 1] == pattern[at];
      reach[0] = 0;
    }
  }
  return reach[branch.size()] != 0;
}

}  // namespace mainstay::source
