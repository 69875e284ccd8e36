#include "base/strings.h"

#include <fmt/format.h>

namespace mainstay::base {
namespace {

constexpr bool is_lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
constexpr bool is_alnum(char c) { return is_lower_alnum(c) || (c >= 'A' && c <= 'Z'); }
constexpr char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// What is wrong with one dot-free part of an RFC 1123 name; nullptr where nothing is.
const char* label_fault(std::string_view name) {
  if (name.empty()) return "must not be empty";
  for (char c : name) {
    if (!is_lower_alnum(c) && c != '-') return "must consist of lower case letters, digits and '-'";
  }
  if (name.front() == '-' || name.back() == '-') return "must start and end with a letter or digit";
  return nullptr;
}

// The rule label values and the name part of label keys share.
const char* qualified_fault(std::string_view text) {
  for (char c : text) {
    if (!is_alnum(c) && c != '-' && c != '_' && c != '.') return "must consist of letters, digits, '-', '_' and '.'";
  }
  if (!is_alnum(text.front()) || !is_alnum(text.back())) return "must start and end with a letter or digit";
  return nullptr;
}

// Untrusted text quoted in a message is cut, so that an error stays readable.
std::string quoted(std::string_view text) {
  constexpr std::size_t kMost = 80;
  if (text.size() <= kMost) return fmt::format("\"{}\"", text);
  return fmt::format("\"{}…\"", text.substr(0, kMost));
}

std::unexpected<Error> bad(std::string_view what, std::string_view text, std::string_view why) {
  return fail(ErrorCode::kInvalid, fmt::format("{} {}: {}", what, quoted(text), why));
}

}  // namespace

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  std::size_t start = 0;
  for (std::size_t end = text.find(separator); end != std::string_view::npos; end = text.find(separator, start)) {
    parts.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  parts.push_back(text.substr(start));
  return parts;
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string out;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) out += separator;
    out += parts[i];
  }
  return out;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\f\v";
  const auto first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = to_lower(c);
  return out;
}

bool iequals(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return to_lower(x) == to_lower(y); });
}

bool constant_time_equal(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;  // lengths of secrets are no secret here
  unsigned char difference = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b[i]);
  }
  return difference == 0;
}

Result<> check_dns_label(std::string_view name) {
  if (name.size() > 63) return bad("name", name, "must be at most 63 characters");
  if (const char* why = label_fault(name)) return bad("name", name, why);
  return {};
}

Result<> check_dns_subdomain(std::string_view name) {
  if (name.size() > 253) return bad("name", name, "must be at most 253 characters");
  for (auto part : split(name, '.')) {
    if (const char* why = label_fault(part)) return bad("name", name, fmt::format("each part between dots {}", why));
  }
  return {};
}

Result<> check_label_value(std::string_view value) {
  if (value.empty()) return {};
  if (value.size() > 63) return bad("label value", value, "must be at most 63 characters");
  if (const char* why = qualified_fault(value)) return bad("label value", value, why);
  return {};
}

Result<> check_label_key(std::string_view key) {
  std::string_view name = key;
  if (const auto slash = key.find('/'); slash != std::string_view::npos) {
    name = key.substr(slash + 1);
    if (auto prefix = check_dns_subdomain(key.substr(0, slash)); !prefix) {
      return bad("label key", key, "the prefix before '/' must be a DNS name of at most 253 characters");
    }
  }
  if (name.empty()) return bad("label key", key, "the name must not be empty");
  if (name.size() > 63) return bad("label key", key, "the name must be at most 63 characters");
  if (const char* why = qualified_fault(name)) return bad("label key", key, why);
  return {};
}

}  // namespace mainstay::base
