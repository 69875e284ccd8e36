#include "base/utf8.h"

namespace mainstay::base {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// Of the character that the text, which is not empty, begins with; 0 where it begins with none.
std::size_t character_size(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = at(0);
  const std::size_t size = lead < 0x80                   ? 1
                           : lead >= 0xc2 && lead < 0xe0 ? 2
                           : (lead & 0xf0) == 0xe0       ? 3
                           : lead >= 0xf0 && lead < 0xf5 ? 4
                                                         : 0;
  if (size == 0 || size > text.size()) return 0;
  for (std::size_t i = 1; i < size; ++i)
    if ((at(i) & 0xc0) != 0x80) return 0;
  if ((lead == 0xe0 && at(1) < 0xa0) || (lead == 0xed && at(1) >= 0xa0) || (lead == 0xf0 && at(1) < 0x90) ||
      (lead == 0xf4 && at(1) >= 0x90))
    return 0;
  return size;
}

}  // namespace

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t size = character_size(text);
    if (size == 0) return false;
    text.remove_prefix(size);
  }
  return true;
}

std::string utf8_text(std::string_view text, std::size_t most) {
  std::string out;
  std::size_t copied = 0, at = 0;
  const auto copy = [&] { out.append(text.substr(copied, at - copied)); };
  while (at < text.size()) {
    const std::size_t size = character_size(text.substr(at));
    if (out.size() + (at - copied) + (size == 0 ? kReplacement.size() : size) > most) break;
    if (size > 0) {
      at += size;
      continue;
    }
    copy();
    out += kReplacement;
    copied = ++at;
  }
  copy();
  return out;
}

}  // namespace mainstay::base
