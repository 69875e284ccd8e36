// Where in a YAML text each value stands, for errors that name line and column.
#pragma once
#include <map>
#include <string>
#include <string_view>

namespace mainstay::pipelines {

struct Position {
  std::size_t line = 1, column = 1;
};

class Positions {
 public:
  // `text` has passed base::parse_yaml() before, which bounds its size and depth. Aliases are not followed.
  static Positions of(std::string_view text);
  // Of the value at "jobs.build.steps.0.run"; of the nearest enclosing one that is known.
  Position find(std::string path) const;
  // True where the value is a block text (| or >): its content begins on the next line.
  bool is_block(const std::string& path) const;

 private:
  std::map<std::string, std::pair<Position, bool>, std::less<>> places_;
};

}  // namespace mainstay::pipelines
