// Text from outside on its way into objects: JSON is UTF-8 (RFC 8259 section 8.1), and an object with one byte that is
// not is refused whole.
#pragma once
#include <string>
#include <string_view>

namespace mainstay::base {

// Overlong forms and surrogates are none.
bool is_utf8(std::string_view text);

// At most `most` bytes of it, cut between characters; each byte that belongs to no character becomes U+FFFD.
std::string utf8_text(std::string_view text, std::size_t most = std::string_view::npos);

}  // namespace mainstay::base
