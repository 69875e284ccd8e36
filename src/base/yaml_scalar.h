// How YAML's plain scalars read as JSON (the 1.2 core schema, section 10.3.2). Shared by the reader and the writer.
#pragma once
#include <boost/json/value.hpp>
#include <string_view>

#include "base/result.h"

namespace mainstay::base {

// null, a boolean, a number or a string. An error for .inf and .nan, which JSON does not have.
Result<boost::json::value> resolve_yaml_scalar(std::string_view text);
// The value of a scalar with one of the core tags (!!int and the like), given in full.
Result<boost::json::value> resolve_tagged_yaml_scalar(std::string_view tag, std::string_view text);

}  // namespace mainstay::base
