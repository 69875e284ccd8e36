// The part of Kubernetes' JSONPath that printer columns use: .a.b, ['a.b'], [0], [-1], [*], [?(@.type=="Ready")].
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace mainstay::api {

class JsonPath {
 public:
  // An error says what is not understood, and where.
  static base::Result<JsonPath> parse(std::string_view text);
  // All values the path leads to, in document order. They live as long as `root`.
  std::vector<const base::json::value*> find(const base::json::value& root) const;

 private:
  struct Step {
    enum class Kind { kMember, kIndex, kAll, kFilter } kind = Kind::kMember;
    std::string name;                // kMember
    std::int64_t index = 0;          // kIndex; from the end where negative
    std::vector<std::string> field;  // kFilter: the path below @
    bool equal = true;               // kFilter: == or !=
    base::json::value value;         // kFilter
  };
  static base::Result<Step> parse_bracket(std::string_view inside);
  static base::Result<Step> parse_filter(std::string_view inside);
  std::vector<Step> steps_;
};

}  // namespace mainstay::api
