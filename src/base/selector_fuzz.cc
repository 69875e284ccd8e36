// A label selector that parses is written so that it parses to the same; a field selector only must not fall over.
#include <cstdlib>

#include "base/json.h"
#include "base/selector.h"

using namespace mainstay::base;

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const json::object labels{{"a", "b"}, {"app", "web"}, {"n", "5"}};
  if (const auto selector = LabelSelector::parse(text)) {
    const auto again = LabelSelector::parse(selector->to_string());
    if (!again || again->to_string() != selector->to_string()) std::abort();
    if (again->matches(labels) != selector->matches(labels)) std::abort();
  }
  if (const auto selector = FieldSelector::parse(text)) {
    (void)selector->matches(json::object{{"metadata", {{"labels", labels}}}});
    for (const auto& path : selector->paths()) (void)selector->required(path);
  }
  return 0;
}
