#include "api/protobuf.h"
#include "api/types.h"
#include "base/embedded.h"
#include "base/json.h"

namespace mainstay::embedded {
base::EmbeddedFiles api_files();
}

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  static const auto* types = [] {
    auto* made = new mainstay::api::TypeRegistry;
    if (!made->add_files(mainstay::embedded::api_files())) __builtin_trap();
    return made;
  }();
  auto decoded = types->protobuf().decode({reinterpret_cast<const char*>(data), size});
  if (decoded) mainstay::base::to_json(*decoded);
  return 0;
}
