#include "capabilities/observe/log_parsers.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>

#include "base/json.h"

namespace mainstay::observe {
namespace {
namespace json = boost::json;

constexpr std::size_t kMaxDepth = 16, kMaxName = 200;

// The labels of one line that one stage finds.
class Extraction {
 public:
  Extraction(const StreamLabels& stream, StreamLabels& labels)
      : stream_(stream), labels_(labels), before_(labels.size()) {}
  void add(std::string name, std::string value) {
    for (char& c : name) {
      if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_') c = '_';
    }
    if (name.empty() || name.size() > kMaxName) return;
    if (std::isdigit(static_cast<unsigned char>(name[0]))) name.insert(0, 1, '_');
    if (find_label(stream_, name)) name += "_extracted";
    for (std::size_t i = 0; i < labels_.size(); ++i) {
      if (labels_[i].first != name) continue;
      if (i < before_) labels_[i].second = std::move(value);
      return;
    }
    if (labels_.size() < stream_.size() + kMaxParsedLabels) labels_.emplace_back(std::move(name), std::move(value));
  }
  void failed(const char* reason) { set_label(labels_, "__error__", reason); }

 private:
  const StreamLabels& stream_;
  StreamLabels& labels_;
  std::size_t before_;
};

std::string text_of(const json::value& value) {
  if (value.is_string()) return std::string(value.get_string());
  if (value.is_double()) return fmt::format("{}", value.get_double());  // 1.5, where JSON's own form is 1.5E0
  return json::serialize(value);
}

void flatten(const json::value& value, const std::string& name, Extraction& out) {
  if (value.is_object()) {
    for (const auto& [key, member] : value.get_object())
      flatten(member, name.empty() ? std::string(key) : name + "_" + std::string(key), out);
  } else if (!value.is_array() && !value.is_null()) {
    out.add(name, text_of(value));
  }
}

const json::value* at_path(const json::value& from, const std::vector<std::string>& path) {
  const json::value* at = &from;
  for (const std::string& step : path) {
    if (at->is_object()) {
      at = at->get_object().if_contains(step);
    } else if (at->is_array() && step.find_first_not_of("0123456789") == std::string::npos && step.size() < 9) {
      const auto index = static_cast<std::size_t>(std::atoi(step.c_str()));
      at = index < at->get_array().size() ? &at->get_array()[index] : nullptr;
    } else {
      at = nullptr;
    }
    if (!at) return nullptr;
  }
  return at;
}

void parse_json(const std::vector<Extract>& extracts, std::string_view line, Extraction& out) {
  const auto parsed = base::parse_json(line, kMaxDepth);
  if (!parsed || !parsed->is_object()) return out.failed("JSONParserErr");
  if (extracts.empty()) return flatten(*parsed, "", out);
  for (const Extract& e : extracts) {
    const json::value* found = at_path(*parsed, e.path);
    out.add(e.name, found && !found->is_null() ? text_of(*found) : "");
  }
}

// A text in its quotes, escaped as in JSON, which is how loggers write one; of another escape the backslash falls away.
std::string unquoted(std::string_view quoted) {
  const std::string_view inner = quoted.substr(1, quoted.size() - 2);
  if (inner.find('\\') == std::string_view::npos) return std::string(inner);
  if (const auto text = base::parse_json(quoted, kMaxDepth); text && text->is_string()) return text_of(*text);
  std::string out;
  for (std::size_t i = 0; i < inner.size(); ++i) {
    if (inner[i] == '\\' && i + 1 < inner.size()) ++i;
    out += inner[i];
  }
  return out;
}

// key=value key="value with \"quotes\"" flag
void parse_logfmt(const std::vector<Extract>& extracts, std::string_view line, Extraction& out) {
  const auto add = [&](std::string name, std::string value) {
    if (extracts.empty()) return out.add(std::move(name), std::move(value));
    for (const Extract& e : extracts) {
      if (e.path.front() == name) out.add(e.name, value);
    }
  };
  std::size_t at = 0;
  while (at < line.size()) {
    while (at < line.size() && line[at] == ' ') ++at;
    const std::size_t begin = at;
    while (at < line.size() && line[at] != '=' && line[at] != ' ' && line[at] != '"') ++at;
    std::string name(line.substr(begin, at - begin)), value;
    if (at < line.size() && line[at] == '"') return out.failed("LogfmtParserErr");
    if (at < line.size() && line[at] == '=') {
      ++at;
      if (at < line.size() && line[at] == '"') {
        const std::size_t open = at++;
        while (at < line.size() && line[at] != '"') at += line[at] == '\\' ? 2 : 1;
        if (at >= line.size()) return out.failed("LogfmtParserErr");
        value = unquoted(line.substr(open, ++at - open));
      } else {
        while (at < line.size() && line[at] != ' ') value += line[at++];
      }
      add(std::move(name), std::move(value));
    }
  }
}

// A line that does not fit has the captures up to where it fits.
void parse_pattern(const LinePattern& pattern, std::string_view line, Extraction& out) {
  std::size_t at = 0;
  for (std::size_t i = 0; i < pattern.parts.size(); ++i) {
    const LinePattern::Part& part = pattern.parts[i];
    if (!part.capture) {
      if (!line.substr(at).starts_with(part.text)) return;
      at += part.text.size();
      continue;
    }
    std::size_t end = line.size();
    if (i + 1 < pattern.parts.size()) end = line.find(pattern.parts[i + 1].text, at);
    if (end == std::string_view::npos) return;
    if (!part.text.empty()) out.add(part.text, std::string(line.substr(at, end - at)));
    at = end;
  }
}

void parse_regexp(const RE2& regex, std::string_view line, Extraction& out) {
  const int groups = regex.NumberOfCapturingGroups() + 1;
  std::vector<re2::StringPiece> found(static_cast<std::size_t>(groups));
  const re2::StringPiece text(line.data(), line.size());
  if (!regex.Match(text, 0, line.size(), RE2::UNANCHORED, found.data(), groups)) return;
  for (const auto& [index, name] : regex.CapturingGroupNames()) {
    const re2::StringPiece& piece = found[static_cast<std::size_t>(index)];
    out.add(name, std::string(piece.data() ? piece.data() : "", piece.size()));
  }
}

}  // namespace

std::size_t size_of(const StreamLabels& labels) {
  std::size_t out = 0;
  for (const auto& [name, value] : labels) out += name.size() + value.size();
  return out;
}

const std::string* find_label(const StreamLabels& labels, std::string_view name) {
  for (const auto& [label, value] : labels) {
    if (label == name) return &value;
  }
  return nullptr;
}

void set_label(StreamLabels& labels, std::string name, std::string value) {
  for (auto& [label, present] : labels) {
    if (label != name) continue;
    present = std::move(value);
    return;
  }
  labels.emplace_back(std::move(name), std::move(value));
}

void parse_line(const PipelineStage& stage, std::string_view line, const StreamLabels& stream, StreamLabels& labels) {
  using Kind = PipelineStage::Kind;
  Extraction out(stream, labels);
  const bool too_long = line.size() > kMaxParsedLine;
  switch (stage.kind) {
    case Kind::kJson:
      too_long ? out.failed("JSONParserErr") : parse_json(stage.extracts, line, out);
      break;
    case Kind::kLogfmt:
      too_long ? out.failed("LogfmtParserErr") : parse_logfmt(stage.extracts, line, out);
      break;
    case Kind::kPattern:
      parse_pattern(stage.pattern, line, out);
      break;
    case Kind::kRegexp:
      parse_regexp(*stage.regex, line, out);
      break;
    default:
      break;
  }
}

}  // namespace mainstay::observe
