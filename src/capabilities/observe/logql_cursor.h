// Reads LogQL's words: names, strings, numbers, durations. What both halves of the parser stand on.
#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "capabilities/observe/logql.h"

namespace mainstay::observe {

inline constexpr std::size_t kMaxQueryParts = 50;  // matchers, stages, filters, names of one list
inline constexpr int kMaxQueryDepth = 16;          // of parentheses

class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) {}

  std::unexpected<base::Error> wrong(std::string_view expected) const;
  std::unexpected<base::Error> unsupported(std::string_view what, std::string_view word, std::string_view there_are);
  void blanks();  // and comments
  bool take(std::string_view token);
  bool take_word(std::string_view word);  // a whole name
  char peek();                            // '\0' at the end
  std::string_view peek_name();           // the next name, left where it is
  std::string_view name();                // "" where there is none
  bool at_end() { return peek() == '\0'; }
  std::size_t position() const { return at_; }
  void back_to(std::size_t position) { at_ = position; }
  std::string_view rest() const { return text_.substr(at_); }

  base::Result<std::string> string();  // "…" with escapes or `…` without
  bool at_string() { return peek() == '"' || peek() == '`'; }
  base::Result<std::shared_ptr<const re2::RE2>> regex(const std::string& text, bool anchored);
  base::Result<double> number();
  // 5, 20ms, 1h30m, 5MB: what a label is compared with.
  base::Result<std::pair<double, LabelFilter::Unit>> quantity();
  base::Result<std::chrono::nanoseconds> duration(std::string_view text);  // 5m, 1d12h
  // (a, b, c)
  base::Result<std::vector<std::string>> names();

 private:
  base::Result<> escape(std::string& out);
  std::string_view text_;
  std::size_t at_ = 0;
};

// {…} and all that stands after it but a range.
base::Result<> parse_selector(Cursor& in, LogSelector& out, std::optional<Unwrap>* unwrap);
base::Result<> parse_stages(Cursor& in, LogSelector& out, std::optional<Unwrap>* unwrap);

}  // namespace mainstay::observe
