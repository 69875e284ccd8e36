#include "base/markup.h"

#include <fmt/format.h>

namespace mainstay::base {

std::string escape_markup(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 16);
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 && c != '\t')
          out += fmt::format("&#x{:X};", static_cast<unsigned char>(c));
        else
          out += c;
    }
  }
  return out;
}

}  // namespace mainstay::base
