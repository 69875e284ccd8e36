// YAML 1.2 core schema to JSON and back, bounded: untrusted text can neither nest, alias nor grow without limit.
#pragma once
#include <boost/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mainstay::base {

struct YamlLimits {
  std::size_t max_bytes = 3u << 20;
  std::size_t max_depth = 64;
  std::size_t max_nodes = 200'000;  // aliases count as what they expand to
};

// One document. Errors name line and column. Duplicate keys, tags other than the core ones and merge bombs are refused.
Result<boost::json::value> parse_yaml(std::string_view text, const YamlLimits& limits = {});
// All documents between `---`, empty ones left out.
Result<std::vector<boost::json::value>> parse_yaml_documents(std::string_view text, const YamlLimits& limits = {});
std::string to_yaml(const boost::json::value& value);

}  // namespace mainstay::base
