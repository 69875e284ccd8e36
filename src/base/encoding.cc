#include "base/encoding.h"

#include <fmt/format.h>

#include <array>
#include <cstdint>

namespace mainstay::base {
namespace {

constexpr std::string_view kStandard = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrl = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::uint8_t kBad = 0xff;

constexpr std::array<std::uint8_t, 256> reversed(std::string_view alphabet) {
  std::array<std::uint8_t, 256> table{};
  table.fill(kBad);
  for (std::size_t i = 0; i < alphabet.size(); ++i)
    table[static_cast<unsigned char>(alphabet[i])] = static_cast<std::uint8_t>(i);
  return table;
}
constexpr auto kStandardReversed = reversed(kStandard);
constexpr auto kUrlReversed = reversed(kUrl);

std::string encode(std::string_view bytes, std::string_view alphabet, bool pad) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  std::size_t i = 0;
  const auto at = [&](std::size_t k) { return static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[k])); };
  for (; i + 3 <= bytes.size(); i += 3) {
    const std::uint32_t group = at(i) << 16 | at(i + 1) << 8 | at(i + 2);
    const char four[] = {alphabet[group >> 18], alphabet[group >> 12 & 63], alphabet[group >> 6 & 63],
                         alphabet[group & 63]};
    out.append(four, 4);
  }
  const std::size_t left = bytes.size() - i;
  if (left == 0) return out;
  const std::uint32_t group = at(i) << 16 | (left == 2 ? at(i + 1) << 8 : 0);
  out += alphabet[group >> 18];
  out += alphabet[group >> 12 & 63];
  if (left == 2) out += alphabet[group >> 6 & 63];
  if (pad) out.append(3 - left, '=');
  return out;
}

// Strict: no white space, and the unused bits of the last character are zero (one text per value, RFC 4648
// section 3.5).
Result<std::string> decode(std::string_view text, const std::array<std::uint8_t, 256>& table) {
  std::string out;
  if (text.size() % 4 == 1) return fail(ErrorCode::kInvalid, "base64: the text is cut short");
  out.reserve(text.size() / 4 * 3 + 2);
  std::uint32_t group = 0;
  unsigned bits = 0;
  for (char c : text) {
    const std::uint8_t six = table[static_cast<unsigned char>(c)];
    if (six == kBad) return fail(ErrorCode::kInvalid, "base64: a character outside the alphabet");
    group = (group << 6 | six) & 0xffffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out += static_cast<char>(group >> bits & 0xff);
    }
  }
  if ((group & ((1u << bits) - 1)) != 0) return fail(ErrorCode::kInvalid, "base64: stray bits at the end");
  return out;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

}  // namespace

std::string base64(std::string_view bytes) { return encode(bytes, kStandard, true); }
std::string base64url(std::string_view bytes) { return encode(bytes, kUrl, false); }

Result<std::string> base64_decode(std::string_view text) {
  if (text.size() % 4 != 0) return fail(ErrorCode::kInvalid, "base64: the length is not a multiple of 4");
  if (text.ends_with('=')) text.remove_suffix(text.ends_with("==") ? 2 : 1);
  return decode(text, kStandardReversed);
}

Result<std::string> base64url_decode(std::string_view text) {
  if (text.ends_with('=')) {
    if (text.size() % 4 != 0) return fail(ErrorCode::kInvalid, "base64url: wrong padding");
    text.remove_suffix(text.ends_with("==") ? 2 : 1);
  }
  return decode(text, kUrlReversed);
}

std::string hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out(bytes.size() * 2, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    out[2 * i] = kDigits[byte >> 4];
    out[2 * i + 1] = kDigits[byte & 15];
  }
  return out;
}

Result<std::string> hex_decode(std::string_view text) {
  if (text.size() % 2 != 0) return fail(ErrorCode::kInvalid, "hex: an odd number of digits");
  std::string out(text.size() / 2, '\0');
  for (std::size_t i = 0; i < out.size(); ++i) {
    const int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
    if (high < 0 || low < 0) return fail(ErrorCode::kInvalid, "hex: a character that is no hexadecimal digit");
    out[i] = static_cast<char>(high << 4 | low);
  }
  return out;
}

std::string percent_encode(std::string_view text, std::string_view also_safe) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    if (unreserved(c) || also_safe.find(c) != std::string_view::npos) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += '%';
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    }
  }
  return out;
}

Result<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
      if (high < 0 || low < 0) return fail(ErrorCode::kInvalid, "percent encoding: '%' without two hexadecimal digits");
      out += static_cast<char>(high << 4 | low);
      i += 2;
    }
  }
  return out;
}

}  // namespace mainstay::base
