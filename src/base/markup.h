// Text into HTML and XML. Pure.
#pragma once
#include <string>
#include <string_view>

namespace mainstay::base {

// Safe in the content of elements and in attributes between quotes of either kind. Control characters but the tabulator
// become references, so that an XML reader gives line ends back as they were.
std::string escape_markup(std::string_view text);

}  // namespace mainstay::base
