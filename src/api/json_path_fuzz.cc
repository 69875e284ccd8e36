// Input: a JSONPath of a printer column and a document, one line each.
#include "api/json_path.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace mainstay;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto line = input.find('\n');
  auto path = api::JsonPath::parse(input.substr(0, line));
  if (!path || line == std::string_view::npos) return 0;
  auto document = base::parse_json(input.substr(line + 1));
  if (document) (void)path->find(*document);
  return 0;
}
