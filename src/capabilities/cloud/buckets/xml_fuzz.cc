#include <cstdint>

#include "capabilities/cloud/buckets/xml.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mainstay::cloud;
  const auto document = parse_xml({reinterpret_cast<const char*>(data), size});
  // What is escaped comes back as it was.
  if (document && document->name == "a" && document->children.empty()) {
    const auto again = parse_xml(xml_element("a", document->text));
    if (!again || again->text != document->text) __builtin_trap();
  }
  return 0;
}
