// Input: a document and a patch, one line each. A refused patch must say why; an applied one must give valid JSON.
#include <cstdlib>

#include "api/verbs.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace mainstay;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto line = input.find('\n');
  if (line == std::string_view::npos) return 0;
  auto document = base::parse_json(input.substr(0, line));
  auto patch = base::parse_json(input.substr(line + 1));
  if (!document || !patch) return 0;
  const auto done = api::apply_json_patch(*document, *patch);
  if (!done && done.error().message.empty()) std::abort();
  (void)base::to_json(*document);
  return 0;
}
