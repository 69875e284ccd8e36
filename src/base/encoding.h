// Base64, hex and percent encodings (RFC 4648, RFC 3986).
#pragma once
#include <string>
#include <string_view>

#include "base/result.h"

namespace mainstay::base {

std::string base64(std::string_view bytes);
std::string base64url(std::string_view bytes);                // no padding
Result<std::string> base64_decode(std::string_view text);     // strict, padding required
Result<std::string> base64url_decode(std::string_view text);  // padding optional
std::string hex(std::string_view bytes);
Result<std::string> hex_decode(std::string_view text);
std::string percent_encode(std::string_view text, std::string_view also_safe = "");
Result<std::string> percent_decode(std::string_view text, bool plus_is_space = false);

}  // namespace mainstay::base
