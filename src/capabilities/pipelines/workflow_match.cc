// What starts a workflow, and the combinations of a matrix.
#include <map>
#include <set>

#include "base/strings.h"
#include "capabilities/pipelines/expression.h"
#include "capabilities/pipelines/workflow.h"

namespace mainstay::pipelines {
namespace {

constexpr std::size_t kMaxMatrix = 256;  // GitHub's bound

// One element of a pattern: what it matches, and how often.
struct Element {
  enum class Kind { kOne, kSet, kSegment, kAny } kind = Kind::kOne;  // kSegment: `*`, kAny: `**`
  std::string set;                                                   // characters; for kOne a single one
  bool optional = false, repeated = false;                           // `?`, `+`
};

std::vector<Element> compile(std::string_view pattern) {
  std::vector<Element> out;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '*') {
      const bool any = i + 1 < pattern.size() && pattern[i + 1] == '*';
      if (any) ++i;
      out.push_back({any ? Element::Kind::kAny : Element::Kind::kSegment, "", false, false});
      // `**/` also matches nothing: `**/x` is x at the top too.
      if (any && i + 1 < pattern.size() && pattern[i + 1] == '/') {
        out.push_back({Element::Kind::kOne, "/", true, false});
        ++i;
      }
    } else if (c == '?' && !out.empty()) {
      out.back().optional = true;
    } else if (c == '+' && !out.empty()) {
      out.back().repeated = true;
    } else if (c == '[' && pattern.find(']', i) != std::string_view::npos) {
      const std::size_t end = pattern.find(']', i);
      std::string set;
      for (std::size_t k = i + 1; k < end; ++k) {
        if (k + 2 < end && pattern[k + 1] == '-') {
          for (int x = static_cast<unsigned char>(pattern[k]); x <= static_cast<unsigned char>(pattern[k + 2]); ++x)
            set += static_cast<char>(x);
          k += 2;
        } else {
          set += pattern[k];
        }
      }
      out.push_back({Element::Kind::kSet, set, false, false});
      i = end;
    } else {
      const char literal = c == '\\' && i + 1 < pattern.size() ? pattern[++i] : c;
      out.push_back({Element::Kind::kOne, std::string(1, literal), false, false});
    }
  }
  return out;
}

// One row of reachable prefixes per element: the time is the product of both lengths, whatever the pattern.
bool glob(std::string_view pattern, std::string_view text) {
  std::vector<char> reach(text.size() + 1, 0);
  reach[0] = 1;
  for (const Element& element : compile(pattern)) {
    std::vector<char> next(text.size() + 1, 0);
    if (element.kind == Element::Kind::kSegment || element.kind == Element::Kind::kAny) {
      for (std::size_t i = 0; i <= text.size(); ++i) {
        if (reach[i]) next[i] = 1;
        if (i > 0 && next[i - 1] && (element.kind == Element::Kind::kAny || text[i - 1] != '/')) next[i] = 1;
      }
    } else {
      for (std::size_t i = 0; i < text.size(); ++i)
        if ((reach[i] || (element.repeated && next[i])) && element.set.contains(text[i])) next[i + 1] = 1;
      if (element.optional)
        for (std::size_t i = 0; i <= text.size(); ++i) next[i] = next[i] || reach[i];
    }
    reach = std::move(next);
  }
  return reach[text.size()] != 0;
}

bool matches_all(const json::object& combination, const json::object& wanted, const std::set<std::string>& keys) {
  for (const auto& entry : wanted) {
    if (!keys.contains(std::string(entry.key()))) continue;
    const json::value* has = combination.if_contains(entry.key());
    if (has == nullptr || *has != entry.value()) return false;
  }
  return true;
}

void include(const json::array& extra, const std::set<std::string>& keys, std::vector<json::object>& out) {
  const std::size_t original = out.size();
  for (const json::value& item : extra) {
    if (!item.is_object()) continue;
    bool added = false;
    const bool shares = std::ranges::any_of(item.as_object(),
                                            [&](const auto& entry) { return keys.contains(std::string(entry.key())); });
    for (std::size_t i = 0; i < original; ++i) {
      // Added to every combination none of whose own values it would overwrite.
      if (shares && !matches_all(out[i], item.as_object(), keys)) continue;
      for (const auto& entry : item.as_object()) out[i][entry.key()] = entry.value();
      added = true;
    }
    if (!added) out.push_back(item.as_object());
  }
}

}  // namespace

bool filter_matches(const std::vector<std::string>& patterns, std::string_view text) {
  bool matched = false;
  for (const std::string& pattern : patterns) {
    const bool negative = pattern.starts_with("!");
    if (glob(negative ? std::string_view(pattern).substr(1) : std::string_view(pattern), text)) matched = !negative;
  }
  return matched;
}

bool push_starts(const Workflow& workflow, std::string_view ref,
                 const std::optional<std::vector<std::string>>& changed) {
  if (!workflow.push) return false;
  const PushFilter& filter = *workflow.push;
  const bool branch = ref.starts_with("refs/heads/");
  const std::string_view name = ref.substr(branch ? 11 : ref.starts_with("refs/tags/") ? 10 : 0);
  const bool any_branch = filter.branches || filter.branches_ignore, any_tag = filter.tags || filter.tags_ignore;
  if (branch) {
    if (filter.branches          ? !filter_matches(*filter.branches, name)
        : filter.branches_ignore ? filter_matches(*filter.branches_ignore, name)
                                 : any_tag)
      return false;
  } else {
    if (filter.tags          ? !filter_matches(*filter.tags, name)
        : filter.tags_ignore ? filter_matches(*filter.tags_ignore, name)
                             : any_branch)
      return false;
    return true;  // Paths do not count for tags.
  }
  if (!changed) return true;
  if (filter.paths)
    return std::ranges::any_of(*changed, [&](const std::string& path) { return filter_matches(*filter.paths, path); });
  if (filter.paths_ignore)
    return changed->empty() || !std::ranges::all_of(*changed, [&](const std::string& path) {
             return filter_matches(*filter.paths_ignore, path);
           });
  return true;
}

std::string default_workflow(std::string_view default_branch) {
  // The branch goes into an expression: quotes in it are doubled.
  std::string branch;
  for (const char c : default_branch) branch += c == '\'' ? std::string("''") : std::string(1, c);
  return fmt::format(
      "name: default\n"
      "on: push\n"
      "jobs:\n"
      "  deliver:\n"
      "    steps:\n"
      "      - {{id: checkout, name: checkout, uses: mainstay/checkout}}\n"
      "      - {{id: build, name: build, uses: mainstay/build-image}}\n"
      "      - id: deploy\n"
      "        name: deploy\n"
      "        uses: mainstay/deploy\n"
      "        if: github.ref == 'refs/heads/{}'\n",
      branch);
}

base::Result<std::vector<json::object>> expand_matrix(const json::value& matrix) {
  std::vector<json::object> out(1);
  if (matrix.is_null()) return out;
  if (!matrix.is_object()) return base::fail(base::ErrorCode::kInvalid, "strategy.matrix is not a mapping");
  std::set<std::string> keys;
  for (const auto& entry : matrix.as_object()) {
    if (entry.key() == "include" || entry.key() == "exclude") continue;
    if (!entry.value().is_array())
      return base::fail(base::ErrorCode::kInvalid,
                        fmt::format("strategy.matrix.{} must be a list", std::string_view(entry.key())));
    keys.emplace(entry.key());
    std::vector<json::object> next;
    for (const json::object& combination : out) {
      for (const json::value& value : entry.value().as_array()) {
        next.push_back(combination);
        next.back()[entry.key()] = value;
        if (next.size() > kMaxMatrix)
          return base::fail(base::ErrorCode::kTooLarge,
                            fmt::format("strategy.matrix makes more than {} jobs", kMaxMatrix));
      }
    }
    out = std::move(next);
  }
  if (keys.empty()) out.clear();
  for (const json::value& excluded : base::get_array(matrix, "exclude")) {
    if (!excluded.is_object()) continue;
    std::erase_if(
        out, [&](const json::object& combination) { return matches_all(combination, excluded.as_object(), keys); });
  }
  include(base::get_array(matrix, "include"), keys, out);
  if (out.empty()) return base::fail(base::ErrorCode::kInvalid, "strategy.matrix makes no job at all");
  if (out.size() > kMaxMatrix)
    return base::fail(base::ErrorCode::kTooLarge, fmt::format("strategy.matrix makes more than {} jobs", kMaxMatrix));
  return out;
}

}  // namespace mainstay::pipelines
