#include "capabilities/observe/exposition.h"

#include <fmt/format.h>

namespace mainstay::observe {
namespace {

void append_escaped(std::string& out, std::string_view value) {
  for (const char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
}

}  // namespace

void Exposition::family(std::string_view name, std::string_view type, std::string_view help) {
  name_ = name;
  fmt::format_to(std::back_inserter(text_), "# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

void Exposition::sample(const Labels& labels, double value) {
  text_ += name_;
  char separator = '{';
  for (const auto& [name, label] : labels) {
    if (label.empty()) continue;
    text_ += separator;
    text_ += name;
    text_ += "=\"";
    append_escaped(text_, label);
    text_ += '"';
    separator = ',';
  }
  if (separator == ',') text_ += '}';
  fmt::format_to(std::back_inserter(text_), " {}\n", value);
}

}  // namespace mainstay::observe
