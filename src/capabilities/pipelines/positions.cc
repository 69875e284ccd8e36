#include "capabilities/pipelines/positions.h"

#include <yaml.h>

#include <vector>

namespace mainstay::pipelines {
namespace {

struct Level {
  bool mapping = false, expects_key = true;
  std::size_t index = 0;
  std::string path, key;
};

std::string child_path(std::vector<Level>& levels) {
  if (levels.empty()) return "";
  Level& level = levels.back();
  const std::string name = level.mapping ? level.key : std::to_string(level.index++);
  if (level.mapping) level.expects_key = true;
  return level.path.empty() ? name : level.path + "." + name;
}

}  // namespace

Positions Positions::of(std::string_view text) {
  Positions out;
  yaml_parser_t parser;
  if (yaml_parser_initialize(&parser) != 1) return out;
  yaml_parser_set_input_string(&parser, reinterpret_cast<const unsigned char*>(text.data()), text.size());
  std::vector<Level> levels;
  for (bool more = true; more;) {
    yaml_event_t event;
    if (yaml_parser_parse(&parser, &event) != 1) break;
    const Position here{event.start_mark.line + 1, event.start_mark.column + 1};
    const bool is_key = !levels.empty() && levels.back().mapping && levels.back().expects_key;
    switch (event.type) {
      case YAML_SCALAR_EVENT:
        if (is_key) {
          levels.back().key.assign(reinterpret_cast<const char*>(event.data.scalar.value), event.data.scalar.length);
          levels.back().expects_key = false;
          const std::string path =
              levels.back().path.empty() ? levels.back().key : levels.back().path + "." + levels.back().key;
          out.places_[path + "#key"] = {here, false};
        } else {
          const auto style = event.data.scalar.style;
          out.places_[child_path(levels)] = {here,
                                             style == YAML_LITERAL_SCALAR_STYLE || style == YAML_FOLDED_SCALAR_STYLE};
        }
        break;
      case YAML_ALIAS_EVENT:
        if (!is_key) out.places_[child_path(levels)] = {here, false};
        break;
      case YAML_MAPPING_START_EVENT:
      case YAML_SEQUENCE_START_EVENT: {
        std::string path = child_path(levels);
        out.places_[path] = {here, false};
        Level level;
        level.mapping = event.type == YAML_MAPPING_START_EVENT;
        level.path = std::move(path);
        levels.push_back(std::move(level));
        break;
      }
      case YAML_MAPPING_END_EVENT:
      case YAML_SEQUENCE_END_EVENT:
        if (!levels.empty()) levels.pop_back();
        break;
      case YAML_DOCUMENT_END_EVENT:
      case YAML_STREAM_END_EVENT:
        more = false;
        break;
      default:
        break;
    }
    yaml_event_delete(&event);
  }
  yaml_parser_delete(&parser);
  return out;
}

Position Positions::find(std::string path) const {
  for (;;) {
    // A key's own place says more than that of the value below it.
    if (const auto key = places_.find(path + "#key"); key != places_.end()) return key->second.first;
    if (const auto at = places_.find(path); at != places_.end()) return at->second.first;
    const auto dot = path.rfind('.');
    if (dot == std::string::npos) return {};
    path.resize(dot);
  }
}

bool Positions::is_block(const std::string& path) const {
  const auto at = places_.find(path);
  return at != places_.end() && at->second.second;
}

}  // namespace mainstay::pipelines
