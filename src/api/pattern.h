// A schema's regular expression, compiled once. RE2: linear time whatever the input. Internal to api/.
#pragma once
#include <re2/re2.h>

#include <string>

namespace mainstay::api {

struct Pattern {
  explicit Pattern(const std::string& text) : expression(text, RE2::Quiet) {}
  RE2 expression;
};

}  // namespace mainstay::api
