#include "capabilities/compute/wrapper/runtime_wrapper.h"

// MAINSTAY_RUNTIME_WRAPPER is the path of the built program; see CMakeLists.txt.
asm(".section .rodata\n"
    ".balign 16\n"
    ".global mainstay_runtime_wrapper_begin\n.global mainstay_runtime_wrapper_end\n"
    "mainstay_runtime_wrapper_begin:\n"
    ".incbin \"" MAINSTAY_RUNTIME_WRAPPER
    "\"\n"
    "mainstay_runtime_wrapper_end:\n"
    ".previous\n");

extern "C" {
extern const char mainstay_runtime_wrapper_begin[] __attribute__((visibility("hidden")));
extern const char mainstay_runtime_wrapper_end[] __attribute__((visibility("hidden")));
}

namespace mainstay::compute {

std::string_view runtime_wrapper_program() {
  return {mainstay_runtime_wrapper_begin,
          static_cast<std::size_t>(mainstay_runtime_wrapper_end - mainstay_runtime_wrapper_begin)};
}

}  // namespace mainstay::compute
