// What a push's terminal shows of a run: short lines, each once.
#pragma once
#include <set>
#include <string>
#include <vector>

#include "base/json.h"

namespace mainstay::pipelines {
namespace json = boost::json;

// What was said of one run.
class RunLines {
 public:
  // `prefixed`: several runs are told of at once, so each line says whose it is.
  explicit RunLines(bool prefixed) : prefixed_(prefixed) {}
  // The lines that the run's state adds to what was said before.
  std::vector<std::string> next(const json::value& run);
  bool finished() const { return finished_; }

 private:
  void steps(const json::value& run, std::vector<std::string>& out);
  void images(const json::value& run, std::vector<std::string>& out);
  void add(std::vector<std::string>& out, const std::string& key, std::string line);

  bool prefixed_, finished_ = false;
  std::string prefix_;
  std::set<std::string> said_;
};

// "0.31s", "12.4s", "2m05s" between two RFC 3339 times; "" where one is missing.
std::string took(std::string_view from, std::string_view to);

}  // namespace mainstay::pipelines
