// Writes samples in the Prometheus text format, version 0.0.4. No I/O.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mainstay::observe {

using Labels = std::vector<std::pair<std::string_view, std::string_view>>;

class Exposition {
 public:
  // Begins a family; its samples follow. `type`: counter or gauge.
  void family(std::string_view name, std::string_view type, std::string_view help);
  void sample(const Labels& labels, double value);  // labels with empty values are left out, as they mean the same
  std::string take() { return std::move(text_); }

 private:
  std::string text_, name_;
};

}  // namespace mainstay::observe
