#include "capabilities/observe/log_pipeline.h"

#include <algorithm>

#include "capabilities/observe/log_template.h"

namespace mainstay::observe {
namespace {

bool holds(const LabelCondition& condition, const StreamLabels& labels) {
  const auto inner = [&labels](const LabelCondition& part) { return holds(part, labels); };
  switch (condition.kind) {
    case LabelCondition::Kind::kAnd:
      return std::all_of(condition.parts.begin(), condition.parts.end(), inner);
    case LabelCondition::Kind::kOr:
      return std::any_of(condition.parts.begin(), condition.parts.end(), inner);
    default: {
      const std::string* value = find_label(labels, condition.filter.text.name);
      return condition.filter.matches(value ? std::string_view(*value) : std::string_view());
    }
  }
}

// Colours and other escapes of terminals: ESC [ … letter.
std::string decolorized(std::string_view line) {
  std::string out;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] != '\x1b' || i + 1 >= line.size() || line[i + 1] != '[') {
      out += line[i];
      continue;
    }
    for (i += 2; i < line.size() && !std::isalpha(static_cast<unsigned char>(line[i])); ++i) {
    }
  }
  return out;
}

std::string filled(const LineTemplate& format, const PassingLine& line) {
  return format.fill(line.line, line.time_us, [&line](std::string_view name) -> std::string_view {
    const std::string* value = find_label(line.labels, name);
    return value ? std::string_view(*value) : std::string_view();
  });
}

void remove_label(StreamLabels& labels, std::string_view name) {
  std::erase_if(labels, [name](const auto& label) { return label.first == name; });
}

void rename(const PipelineStage& stage, PassingLine& line) {
  for (const PipelineStage::Renamed& r : stage.renames) {
    if (r.format) {
      set_label(line.labels, r.name, filled(*r.format, line));
    } else if (const std::string* value = find_label(line.labels, r.from); value && r.name != r.from) {
      std::string moved = *value;
      remove_label(line.labels, r.from);
      set_label(line.labels, r.name, std::move(moved));
    }
  }
}

// Labels that begin with two underscores are of the query, not of the line: only a drop by name takes them.
void choose(const PipelineStage& stage, bool keep, StreamLabels& labels) {
  std::erase_if(labels, [&](const auto& label) {
    for (std::size_t i = 0; i < stage.labels.size(); ++i) {
      const LabelMatcher& m = stage.labels[i];
      if (m.name == label.first && (!stage.matched[i] || m.matches(label.second))) return !keep;
    }
    return keep && !label.first.starts_with("__");
  });
}

}  // namespace

bool through(const std::vector<PipelineStage>& stages, const StreamLabels& stream, PassingLine& line) {
  using Kind = PipelineStage::Kind;
  bool changed = false;
  for (const PipelineStage& stage : stages) {
    switch (stage.kind) {
      case Kind::kLine:
        if (!stage.line.matches(line.line)) return false;
        continue;
      case Kind::kLabels:
        if (!holds(stage.condition, line.labels)) return false;
        continue;
      case Kind::kJson:
      case Kind::kLogfmt:
      case Kind::kPattern:
      case Kind::kRegexp:
        parse_line(stage, line.line, stream, line.labels);
        break;
      case Kind::kLineFormat: {
        std::string made = filled(*stage.format, line);
        line.text = std::move(made);
        line.line = line.text;
        continue;
      }
      case Kind::kDecolorize: {
        std::string made = decolorized(line.line);
        line.text = std::move(made);
        line.line = line.text;
        continue;
      }
      case Kind::kLabelFormat:
        rename(stage, line);
        break;
      case Kind::kDrop:
      case Kind::kKeep:
        choose(stage, stage.kind == Kind::kKeep, line.labels);
        break;
    }
    changed = true;
    // Extracts and templates make more of a line than it is long, by far.
    if (size_of(line.labels) > kMaxLabelBytes) {
      line.labels = stream;
      set_label(line.labels, "__error__", "LabelsTooLarge");
    }
  }
  if (changed) std::sort(line.labels.begin(), line.labels.end());
  return true;
}

}  // namespace mainstay::observe
