#include "capabilities/observe/log_prefilter.h"

#include <re2/re2.h>

#include <cstring>

namespace mainstay::observe {

LinePrefilter::LinePrefilter() = default;
LinePrefilter::~LinePrefilter() = default;

std::unique_ptr<const LinePrefilter> LinePrefilter::of_text(std::string text) {
  if (text.empty()) return nullptr;
  std::unique_ptr<LinePrefilter> out(new LinePrefilter);
  out->text_ = std::move(text);
  return out;
}

std::unique_ptr<const LinePrefilter> LinePrefilter::of_regex(const std::string& pattern) {
  if (pattern.empty()) return nullptr;
  if (pattern.find_first_of("\\^$.|?*+()[]{}") == std::string::npos) return of_text(pattern);
  // A line does not begin where its record does, so what says that it begins cannot be asked of the whole text; a ^
  // that negates a class says nothing of it.
  for (std::size_t at = 0; (at = pattern.find('^', at)) != std::string::npos; ++at) {
    if (at == 0 || pattern[at - 1] != '[' || (at > 1 && pattern[at - 2] == '\\')) return nullptr;
  }
  for (const char* anchor : {"\\A", "\\z", "\\Q"}) {
    if (pattern.find(anchor) != std::string::npos) return nullptr;
  }
  // Nor may a part of it take back that a line's end is an end: (?-m:, (?-ism:
  static const RE2 takes_back(R"(\(\?\w*-)");
  if (RE2::PartialMatch(pattern, takes_back)) return nullptr;
  RE2::Options options(RE2::Quiet);
  options.set_max_mem(8 << 20);
  options.set_never_nl(true);  // no match goes past the end of a line
  std::unique_ptr<LinePrefilter> out(new LinePrefilter);
  out->regex_ = std::make_unique<RE2>("(?m:" + pattern + ")", options);
  return out->regex_->ok() ? std::move(out) : nullptr;
}

// Each filter of lines must hold, so one is enough: the longest text, else a regular expression. Stages after one that
// changes lines speak of other texts.
std::unique_ptr<const LinePrefilter> LinePrefilter::of(const LogSelector& selector) {
  const std::string* text = nullptr;
  std::unique_ptr<const LinePrefilter> regex;
  for (const PipelineStage& stage : selector.stages) {
    if (stage.changes_line()) break;
    if (stage.kind != PipelineStage::Kind::kLine) continue;
    if (stage.line.op == MatchOp::kEqual && (!text || stage.line.text.size() > text->size())) text = &stage.line.text;
    if (stage.line.op == MatchOp::kRegex && !regex) regex = of_regex(stage.line.text);
  }
  return text && !text->empty() ? of_text(*text) : std::move(regex);
}

std::size_t LinePrefilter::next(std::string_view text, std::size_t from) const {
  if (!regex_) {
    const void* found = ::memmem(text.data() + from, text.size() - from, text_.data(), text_.size());
    return found ? static_cast<std::size_t>(static_cast<const char*>(found) - text.data()) : std::string_view::npos;
  }
  re2::StringPiece match;
  const re2::StringPiece all(text.data(), text.size());
  if (!regex_->Match(all, from, text.size(), RE2::UNANCHORED, &match, 1)) return std::string_view::npos;
  return static_cast<std::size_t>(match.data() - text.data());
}

}  // namespace mainstay::observe
