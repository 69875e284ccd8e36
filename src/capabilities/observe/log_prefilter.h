// Where in a piece of log text a line may match: most lines are passed over without being looked at one by one.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "capabilities/observe/logql.h"

namespace mainstay::observe {

class LinePrefilter {
 public:
  // null: nothing can be said before a line is looked at.
  static std::unique_ptr<const LinePrefilter> of(const LogSelector& selector);
  static std::unique_ptr<const LinePrefilter> of_text(std::string text);
  static std::unique_ptr<const LinePrefilter> of_regex(const std::string& pattern);
  ~LinePrefilter();
  // A byte at or after `from` of the first line from there on that may match, npos: none does. `from` begins a line.
  std::size_t next(std::string_view text, std::size_t from) const;

 private:
  LinePrefilter();
  std::string text_;
  std::unique_ptr<re2::RE2> regex_;  // where text_ is empty
};

}  // namespace mainstay::observe
