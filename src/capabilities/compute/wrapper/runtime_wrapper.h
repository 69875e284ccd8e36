// The runtime wrapper's program (runtime_wrapper.c), carried within this one.
#pragma once
#include <string_view>

namespace mainstay::compute {

std::string_view runtime_wrapper_program();

}  // namespace mainstay::compute
