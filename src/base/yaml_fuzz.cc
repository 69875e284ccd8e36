// Any text: parsed within the bounds or refused; what was parsed is written so that it reads back the same.
#include <cstdlib>

#include "base/json.h"
#include "base/yaml.h"

using namespace mainstay::base;

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const YamlLimits limits{.max_bytes = 64 * 1024, .max_depth = 32, .max_nodes = 5000};
  const auto documents = parse_yaml_documents(text, limits);
  if (!documents) return 0;
  for (const auto& document : *documents) {
    const std::string written = to_yaml(document);
    const auto again = parse_yaml(written);
    if (!again || to_json(*again) != to_json(document)) std::abort();
  }
  return 0;
}
