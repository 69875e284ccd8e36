#include <fmt/format.h>

#include "base/strings.h"
#include "base/yaml.h"
#include "base/yaml_scalar.h"

namespace mainstay::base {
namespace json = boost::json;
namespace {

// Characters YAML does not let stand in a stream as they are (YAML 1.2 section 5.1), and those that break lines in 1.1.
bool needs_escape(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if ((c < 0x20 && c != '\n') || c == 0x7f) return true;
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0u;
    const auto third = i + 2 < text.size() ? static_cast<unsigned char>(text[i + 2]) : 0u;
    if (c == 0xc2 && next < 0xa0) return true;                                       // C1 controls, NEL
    if (c == 0xe2 && next == 0x80 && (third == 0xa8 || third == 0xa9)) return true;  // line and paragraph separators
    if (c == 0xef && ((next == 0xbb && third == 0xbf) || (next == 0xbf && third >= 0xbe)))
      return true;  // BOM, FFFE, FFFF
  }
  return false;
}

void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0u;
    if (c == '"' || c == '\\') {
      out += '\\';
      out += text[i];
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c < 0x20 || c == 0x7f) {
      out += fmt::format("\\x{:02x}", c);
    } else if (c == 0xc2 && next < 0xa0 && next != 0) {
      out += fmt::format("\\x{:02x}", next);
      ++i;
    } else if ((c == 0xe2 || c == 0xef) && i + 2 < text.size() && needs_escape(text.substr(i, 3))) {
      const auto third = static_cast<unsigned char>(text[i + 2]);
      out += fmt::format("\\u{:04x}", (c & 0xfu) << 12 | (next & 0x3fu) << 6 | (third & 0x3fu));
      i += 2;
    } else {
      out += text[i];
    }
  }
  out += '"';
}

// Whether the text reads back as this very string when it stands unquoted, also for readers of YAML 1.1.
bool plain_is_safe(std::string_view text) {
  if (text.empty() || text.size() > 200) return false;
  const auto resolved = resolve_yaml_scalar(text);
  if (!resolved || !resolved->is_string()) return false;
  for (std::string_view word : {"y", "n", "yes", "no", "on", "off"}) {
    if (iequals(text, word)) return false;
  }
  const char first = text.front();
  const bool letter = (first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z') || first == '_' || first == '/';
  // 1.1 reads 0644, 1_000, 12:30:00 and 2006-01-02 as something else: what starts like a number is quoted.
  if (!letter || text.back() == ' ' || text.back() == ':') return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const bool special = c < 0x20 || c >= 0x7f || std::string_view("[]{},\"'`").find(text[i]) != std::string_view::npos;
    if (special) return false;
    if (c == ':' && i + 1 < text.size() && text[i + 1] == ' ') return false;
    if (c == '#' && text[i - 1] == ' ') return false;
  }
  return true;
}

bool literal_is_safe(std::string_view text) {
  // A block's indentation is told by its first line, so that must not begin with a space or be empty.
  if (text.find('\n') == std::string_view::npos || text.front() == ' ' || text.front() == '\n') return false;
  return !needs_escape(text) && !text.ends_with("\n\n");
}

void append_key(std::string& out, std::string_view key) {
  if (plain_is_safe(key)) {
    out += key;
  } else {
    append_quoted(out, key);
  }
}

void append_literal(std::string& out, std::string_view text, std::size_t indent) {
  out += text.ends_with('\n') ? "|\n" : "|-\n";
  if (text.ends_with('\n')) text.remove_suffix(1);
  for (auto line : split(text, '\n')) {
    if (!line.empty()) out.append(indent, ' ').append(line);
    out += '\n';
  }
}

bool is_block(const json::value& value) {
  return (value.is_object() && !value.get_object().empty()) || (value.is_array() && !value.get_array().empty());
}

void append_block(std::string& out, const json::value& value, std::size_t indent, bool first_inline);

// A scalar or an empty container, with the line's end.
void append_inline(std::string& out, const json::value& value, std::size_t indent) {
  if (value.is_double()) {  // 1.5 rather than JSON's 1.5E0, and 2.0 rather than the integer 2
    const std::string text = fmt::format("{}", value.get_double());
    out += text;
    out += text.find_first_of(".e") == std::string::npos ? ".0\n" : "\n";
    return;
  }
  if (!value.is_string()) {
    out += json::serialize(value);
    out += '\n';
    return;
  }
  const std::string_view text = value.get_string();
  if (literal_is_safe(text)) {
    append_literal(out, text, indent);
    return;
  }
  if (plain_is_safe(text)) {
    out += text;
  } else {
    append_quoted(out, text);
  }
  out += '\n';
}

void append_object(std::string& out, const json::object& object, std::size_t indent, bool first_inline) {
  for (const auto& [key, value] : object) {
    if (!first_inline) out.append(indent, ' ');
    first_inline = false;
    append_key(out, key);
    out += ':';
    if (is_block(value)) {
      out += '\n';
      append_block(out, value, value.is_array() ? indent : indent + 2, false);
    } else {
      out += ' ';
      append_inline(out, value, indent + 2);
    }
  }
}

void append_block(std::string& out, const json::value& value, std::size_t indent, bool first_inline) {
  if (value.is_object()) return append_object(out, value.get_object(), indent, first_inline);
  for (const json::value& element : value.get_array()) {
    if (!first_inline) out.append(indent, ' ');
    first_inline = false;
    out += "- ";
    if (is_block(element)) {
      append_block(out, element, indent + 2, true);
    } else {
      append_inline(out, element, indent + 2);
    }
  }
}

}  // namespace

std::string to_yaml(const json::value& value) {
  std::string out;
  if (is_block(value)) {
    append_block(out, value, 0, false);
  } else {
    append_inline(out, value, 2);
  }
  return out;
}

}  // namespace mainstay::base
