#include "capabilities/cloud/buckets/xml.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/markup.h"
#include "base/strings.h"

namespace mainstay::cloud {
namespace {

constexpr int kDepth = 8;
constexpr std::size_t kNodes = 50'000;

std::unexpected<base::Error> bad(std::string why) {
  return base::fail(base::ErrorCode::kInvalid, "the XML is malformed: " + std::move(why));
}

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

void append_utf8(std::string& out, std::uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (code >> 18));
    out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  base::Result<XmlNode> document() {
    if (text_.starts_with("\xEF\xBB\xBF")) text_.remove_prefix(3);
    MAINSTAY_TRY_VOID(skip_between());
    if (!text_.starts_with('<')) return bad("there is no element");
    XmlNode root;
    MAINSTAY_TRY_VOID(element(root, 1));
    MAINSTAY_TRY_VOID(skip_between());
    if (!text_.empty()) return bad("there is something after the document");
    return root;
  }

 private:
  // White space, comments and the declaration.
  base::Result<> skip_between() {
    for (;;) {
      while (!text_.empty() && is_space(text_.front())) text_.remove_prefix(1);
      if (text_.starts_with("<?xml")) {
        MAINSTAY_TRY_VOID(skip_past("?>"));
      } else if (text_.starts_with("<!--")) {
        MAINSTAY_TRY_VOID(skip_past("-->"));
      } else {
        return {};
      }
    }
  }
  base::Result<> skip_past(std::string_view end) {
    const auto at = text_.find(end);
    if (at == std::string_view::npos) return bad(fmt::format("{} is missing", end));
    text_.remove_prefix(at + end.size());
    return {};
  }
  static std::string_view local(std::string_view name) {
    const auto colon = name.rfind(':');
    return colon == std::string_view::npos ? name : name.substr(colon + 1);
  }
  std::string_view word() {
    std::size_t n = 0;
    while (n < text_.size() && !is_space(text_[n]) && text_[n] != '>' && text_[n] != '/' && text_[n] != '=' &&
           text_[n] != '<')
      ++n;
    const auto out = text_.substr(0, n);
    text_.remove_prefix(n);
    return out;
  }
  // Attributes say nothing here, but they must be well formed. True where the element is empty ("/>").
  base::Result<bool> attributes() {
    for (;;) {
      while (!text_.empty() && is_space(text_.front())) text_.remove_prefix(1);
      if (text_.starts_with("/>")) {
        text_.remove_prefix(2);
        return true;
      }
      if (text_.starts_with('>')) {
        text_.remove_prefix(1);
        return false;
      }
      if (word().empty() || !text_.starts_with('=') || text_.size() < 2) return bad("an attribute is malformed");
      const char quote = text_[1];
      if (quote != '"' && quote != '\'') return bad("an attribute's value is not quoted");
      text_.remove_prefix(2);
      MAINSTAY_TRY_VOID(skip_past(std::string_view(&quote, 1)));
    }
  }
  base::Result<> entity(std::string& out) {
    const auto end = text_.substr(0, 12).find(';');
    if (end == std::string_view::npos) return bad("an entity is malformed");
    const std::string_view name = text_.substr(1, end - 1);
    text_.remove_prefix(end + 1);
    static constexpr std::pair<std::string_view, char> kKnown[] = {
        {"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
    for (const auto& [known, c] : kKnown)
      if (name == known) return (out += c), base::Result<>{};
    if (!name.starts_with('#')) return bad("an entity is not known");
    const bool hex = name.starts_with("#x");
    const std::string_view digits = name.substr(hex ? 2 : 1);
    std::uint32_t code = 0;
    for (const char c : digits) {
      const int digit = c >= '0' && c <= '9'          ? c - '0'
                        : hex && c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : hex && c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                      : -1;
      if (digit < 0) return bad("a character's number is malformed");
      code = code * (hex ? 16 : 10) + static_cast<std::uint32_t>(digit);
      if (code > 0x10FFFF) return bad("a character's number is too large");
    }
    if (digits.empty() || code == 0 || (code >= 0xD800 && code < 0xE000)) return bad("a character's number is none");
    append_utf8(out, code);
    return {};
  }
  base::Result<> element(XmlNode& node, int depth) {
    if (depth > kDepth || ++nodes_ > kNodes) return bad("it is too deep or too long");
    text_.remove_prefix(1);
    const std::string_view name = word();
    if (name.empty() || name.front() == '!' || name.front() == '?') return bad("an element's name is malformed");
    node.name = local(name);
    MAINSTAY_TRY(const bool empty, attributes());
    if (empty) return {};
    for (;;) {
      if (text_.empty()) return bad(fmt::format("</{}> is missing", name.substr(0, 60)));
      if (text_.starts_with("</")) {
        text_.remove_prefix(2);
        if (word() != name) return bad(fmt::format("<{}> is closed by another name", name.substr(0, 60)));
        while (!text_.empty() && is_space(text_.front())) text_.remove_prefix(1);
        if (!text_.starts_with('>')) return bad("a closing tag is malformed");
        text_.remove_prefix(1);
        return {};
      }
      if (text_.starts_with("<!--")) {
        MAINSTAY_TRY_VOID(skip_past("-->"));
      } else if (text_.starts_with('<')) {
        node.children.emplace_back();
        MAINSTAY_TRY_VOID(element(node.children.back(), depth + 1));
      } else if (text_.starts_with('&')) {
        MAINSTAY_TRY_VOID(entity(node.text));
      } else {
        const auto end = text_.find_first_of("<&");
        node.text += text_.substr(0, end);
        text_.remove_prefix(end == std::string_view::npos ? text_.size() : end);
      }
    }
  }

  std::string_view text_;
  std::size_t nodes_ = 0;
};

}  // namespace

std::string XmlNode::value(std::string_view child) const {
  const auto at = std::ranges::find(children, child, &XmlNode::name);
  return at == children.end() ? "" : at->text;
}

base::Result<XmlNode> parse_xml(std::string_view text) { return Parser(text).document(); }

std::string xml_element(std::string_view name, std::string_view text) {
  return fmt::format("<{0}>{1}</{0}>", name, base::escape_markup(text));
}

std::string xml_document(std::string_view root, std::string_view content) {
  return fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{0} xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{1}</{0}>",
      root, content);
}

}  // namespace mainstay::cloud
