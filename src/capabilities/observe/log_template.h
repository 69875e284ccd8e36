// The part of Go's templates that line_format and label_format are used with: fields, and functions after a bar.
//
//   {{.method}} {{ .path | upper }} {{ default "-" .user }} {{ __line__ }} {{- " takes blanks away around it " -}}
//
// Conditions and loops are refused. Pure; bounded in actions, in the length of what it makes, and in time.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mainstay::observe {

class LineTemplate {
 public:
  // What a field stands for: a label's value ("" where there is none).
  using Lookup = std::function<std::string_view(std::string_view name)>;
  static base::Result<std::shared_ptr<const LineTemplate>> parse(std::string_view text);
  std::string fill(std::string_view line, std::int64_t time_us, const Lookup& label) const;

 private:
  enum class Kind { kText, kField, kLine, kTimestamp };
  struct Value {
    Kind kind = Kind::kText;
    std::string text;  // or the field's name
  };
  struct Call {
    std::string function;
    std::vector<Value> arguments;
  };
  // A text, or a value that goes through functions one after the other, as their last argument.
  struct Part {
    Value value;
    std::vector<Call> calls;
  };
  friend class TemplateParser;
  std::vector<Part> parts_;
};

}  // namespace mainstay::observe
