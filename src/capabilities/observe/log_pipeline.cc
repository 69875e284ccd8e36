#include "capabilities/observe/log_pipeline.h"

#include <algorithm>

#include "base/json.h"

namespace mainstay::observe {
namespace {
namespace json = boost::json;

constexpr std::size_t kMaxDepth = 16, kMaxName = 200;

const std::string* find(const StreamLabels& labels, std::string_view name) {
  for (const auto& [label, value] : labels) {
    if (label == name) return &value;
  }
  return nullptr;
}

// The labels of one line, beside those of its stream.
class Extraction {
 public:
  explicit Extraction(StreamLabels& labels) : labels_(labels), of_stream_(labels.size()) {}
  void add(std::string name, std::string value) {
    for (char& c : name) {
      if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_') c = '_';
    }
    if (name.empty() || name.size() > kMaxName || labels_.size() >= of_stream_ + kMaxParsedLabels) return;
    if (std::isdigit(static_cast<unsigned char>(name[0]))) name.insert(0, 1, '_');
    for (std::size_t i = 0; i < of_stream_; ++i) {
      if (labels_[i].first != name) continue;
      name += "_extracted";
      break;
    }
    if (!find(labels_, name)) labels_.emplace_back(std::move(name), std::move(value));
  }
  void failed(const char* reason) { labels_.emplace_back("__error__", reason); }

 private:
  StreamLabels& labels_;
  std::size_t of_stream_;
};

void flatten(const json::value& value, const std::string& name, Extraction& out) {
  if (value.is_object()) {
    for (const auto& [key, member] : value.get_object())
      flatten(member, name.empty() ? std::string(key) : name + "_" + std::string(key), out);
  } else if (value.is_string()) {
    out.add(name, std::string(value.get_string()));
  } else if (!value.is_array() && !value.is_null()) {
    out.add(name, json::serialize(value));
  }
}

void parse_json_line(std::string_view line, Extraction& out) {
  const auto parsed = base::parse_json(line, kMaxDepth);
  if (!parsed || !parsed->is_object()) return out.failed("JSONParserErr");
  flatten(*parsed, "", out);
}

// key=value key="value with \"quotes\"" flag
void parse_logfmt_line(std::string_view line, Extraction& out) {
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
        ++at;
        while (at < line.size() && line[at] != '"') {
          if (line[at] == '\\' && at + 1 < line.size()) ++at;
          value += line[at++];
        }
        if (at >= line.size()) return out.failed("LogfmtParserErr");
        ++at;
      } else {
        while (at < line.size() && line[at] != ' ') value += line[at++];
      }
      out.add(std::move(name), std::move(value));
    }
  }
}

bool passes(const PipelineStage& stage, const StreamLabels& labels) {
  return std::any_of(stage.any_of.begin(), stage.any_of.end(), [&](const std::vector<LabelFilter>& all) {
    return std::all_of(all.begin(), all.end(), [&](const LabelFilter& f) {
      const std::string* value = find(labels, f.text.name);
      return f.matches(value ? std::string_view(*value) : std::string_view());
    });
  });
}

}  // namespace

bool through(const std::vector<PipelineStage>& stages, std::string_view line, StreamLabels& labels) {
  const std::size_t before = labels.size();
  for (const PipelineStage& stage : stages) {
    Extraction out(labels);
    const bool too_long = line.size() > kMaxParsedLine;
    switch (stage.kind) {
      case PipelineStage::Kind::kLine:
        if (!stage.line.matches(line)) return false;
        break;
      case PipelineStage::Kind::kJson:
        too_long ? out.failed("JSONParserErr") : parse_json_line(line, out);
        break;
      case PipelineStage::Kind::kLogfmt:
        too_long ? out.failed("LogfmtParserErr") : parse_logfmt_line(line, out);
        break;
      case PipelineStage::Kind::kLabels:
        if (!passes(stage, labels)) return false;
        break;
    }
  }
  if (labels.size() != before) std::sort(labels.begin(), labels.end());
  return true;
}

}  // namespace mainstay::observe
