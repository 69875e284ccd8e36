// Input: a pod and a strategic merge patch, one line each. What comes out goes on through pruning, defaults and
// validation, as in a request.
#include <cstdlib>

#include "api/test_types.h"
#include "api/verbs.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace mainstay;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto line = input.find('\n');
  if (line == std::string_view::npos) return 0;
  auto document = base::parse_json(input.substr(0, line));
  auto patch = base::parse_json(input.substr(line + 1));
  if (!document || !patch || !document->is_object()) return 0;
  const api::Schema& schema = *api::builtin("", "pods").schema;
  const auto done = api::apply_strategic_patch(schema, *document, *patch);
  if (!done && done.error().message.empty()) std::abort();
  api::prune(schema, *document, nullptr);
  api::apply_defaults(schema, *document);
  (void)api::validate(schema, *document);
  // Once pruned and defaulted, an object stays as it is.
  base::json::value again = *document;
  api::prune(schema, again, nullptr);
  api::apply_defaults(schema, again);
  if (again != *document) std::abort();
  return 0;
}
