// The built-in types, resolved, for tests, fuzzers and benches.
#pragma once
#include <cstdio>
#include <cstdlib>

#include "api/types.h"
#include "base/embedded.h"

namespace mainstay::embedded {
base::EmbeddedFiles api_files();
}

namespace mainstay::api {

inline const TypeRegistry& builtin_types() {
  static const TypeRegistry kTypes = [] {
    TypeRegistry types;
    auto added = types.add_files(embedded::api_files());
    if (added) added = types.resolve();
    if (!added) {
      std::fprintf(stderr, "built-in types: %s\n", added.error().message.c_str());
      std::abort();
    }
    return types;
  }();
  return kTypes;
}

inline const Type& builtin(std::string_view group, std::string_view plural) {
  const Type* type = builtin_types().find_plural(group, plural);
  if (!type) std::abort();
  return *type;
}

}  // namespace mainstay::api
