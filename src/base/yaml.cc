#include "base/yaml.h"

#include <fmt/format.h>
#include <yaml.h>

#include <charconv>
#include <map>
#include <optional>

#include "base/yaml_scalar.h"

namespace mainstay::base {
namespace json = boost::json;
namespace {

constexpr std::string_view kCoreTag = "tag:yaml.org,2002:";

// One libyaml event, freed with its scope.
class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { yaml_event_delete(&event_); }
  yaml_event_t* get() { return &event_; }
  const yaml_event_t* operator->() const { return &event_; }
  std::string where() const {
    return fmt::format("line {}, column {}", event_.start_mark.line + 1, event_.start_mark.column + 1);
  }

 private:
  yaml_event_t event_{};
};

std::string_view text_of(const yaml_char_t* text) {
  return text ? std::string_view(reinterpret_cast<const char*>(text)) : std::string_view();
}

// What a finished value weighs, so that an alias to it is charged like the value itself.
struct Weight {
  std::size_t nodes = 0, bytes = 0, depth = 0;
  void add(const Weight& inner) {
    nodes += inner.nodes;
    bytes += inner.bytes;
    depth = std::max(depth, inner.depth + 1);
  }
};

// Builds JSON from libyaml's events with a stack of its own: the text decides about no recursion of ours.
class Builder {
 public:
  Builder(std::string_view text, const YamlLimits& limits) : limits_(limits) {
    ready_ = yaml_parser_initialize(&parser_) == 1;
    if (ready_) {
      yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()), text.size());
      yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
    }
  }
  Builder(const Builder&) = delete;
  Builder& operator=(const Builder&) = delete;
  ~Builder() {
    if (ready_) yaml_parser_delete(&parser_);
  }

  Result<std::vector<json::value>> run() {
    if (!ready_) return fail(ErrorCode::kExhausted, "YAML: out of memory");
    for (;;) {
      Event event;
      if (!yaml_parser_parse(&parser_, event.get())) return parser_fault();
      switch (event->type) {
        case YAML_STREAM_END_EVENT:
          return std::move(documents_);
        case YAML_DOCUMENT_START_EVENT:
          anchors_.clear();
          break;
        case YAML_SCALAR_EVENT:
          MAINSTAY_TRY_VOID(on_scalar(event));
          break;
        case YAML_ALIAS_EVENT:
          MAINSTAY_TRY_VOID(on_alias(event));
          break;
        case YAML_SEQUENCE_START_EVENT:
        case YAML_MAPPING_START_EVENT:
          MAINSTAY_TRY_VOID(on_open(event));
          break;
        case YAML_SEQUENCE_END_EVENT:
        case YAML_MAPPING_END_EVENT:
          MAINSTAY_TRY_VOID(on_close(event));
          break;
        default:
          break;
      }
    }
  }

 private:
  struct Frame {
    bool mapping = false;
    json::value value;
    std::string anchor;
    Weight weight;
    bool has_key = false, key_is_merge = false;
    std::string key;
    std::vector<json::value> merges;  // of `<<`, put in when the mapping ends: its own keys go first
  };

  std::unexpected<Error> parser_fault() const {
    return fail(ErrorCode::kInvalid,
                fmt::format("YAML: line {}, column {}: {}", parser_.problem_mark.line + 1,
                            parser_.problem_mark.column + 1, parser_.problem ? parser_.problem : "not YAML"));
  }
  static std::unexpected<Error> fault(const Event& event, std::string_view why) {
    return fail(ErrorCode::kInvalid, fmt::format("YAML: {}: {}", event.where(), why));
  }
  std::unexpected<Error> over(const Event& event, std::string_view what, std::size_t limit) const {
    return fail(ErrorCode::kTooLarge, fmt::format("YAML: {}: more than {} {}", event.where(), limit, what));
  }

  Result<> charge(const Event& event, const Weight& weight) {
    nodes_ += weight.nodes;
    bytes_ += weight.bytes;
    if (nodes_ > limits_.max_nodes)
      return over(event, "values (aliases count as what they stand for)", limits_.max_nodes);
    // A character can take more room than its escape did, hence twice.
    if (bytes_ > 2 * limits_.max_bytes) return over(event, "bytes with aliases expanded", 2 * limits_.max_bytes);
    if (stack_.size() + weight.depth > limits_.max_depth) return over(event, "levels of nesting", limits_.max_depth);
    return {};
  }

  static Result<> check_tag(const Event& event, const yaml_char_t* tag, std::string_view expected) {
    const std::string_view text = text_of(tag);
    if (text.empty() || text == "!" || text == fmt::format("{}{}", kCoreTag, expected)) return {};
    return fault(event, fmt::format("the tag {} is not supported here", text.substr(0, 80)));
  }

  Result<> on_scalar(const Event& event) {
    const auto& scalar = event->data.scalar;
    const std::string_view text(reinterpret_cast<const char*>(scalar.value), scalar.length);
    const Weight weight{1, text.size(), 0};
    MAINSTAY_TRY_VOID(charge(event, weight));
    const bool plain = scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (!stack_.empty() && stack_.back().mapping && !stack_.back().has_key) {
      if (scalar.anchor)
        anchors_.insert_or_assign(std::string(text_of(scalar.anchor)), Anchored{json::value(text), weight});
      stack_.back().weight.bytes += text.size();
      return on_key(event, text, plain && !scalar.tag);
    }
    const std::string_view tag = text_of(scalar.tag);
    json::value value;
    if (tag.empty() && plain) {
      auto resolved = resolve_yaml_scalar(text);
      if (!resolved) return fault(event, resolved.error().message);
      value = *std::move(resolved);
    } else if (tag.empty() || tag == "!" || tag == "tag:yaml.org,2002:str") {
      value = json::value(text);
    } else {
      auto tagged = resolve_tagged_yaml_scalar(tag, text);
      if (!tagged) return fault(event, tagged.error().message);
      value = *std::move(tagged);
    }
    return place(event, std::move(value), text_of(scalar.anchor), weight);
  }

  Result<> on_key(const Event& event, std::string_view text, bool plain) {
    Frame& frame = stack_.back();
    frame.has_key = true;
    frame.key_is_merge = plain && text == "<<";
    if (!frame.key_is_merge && frame.value.get_object().contains(text)) {
      return fault(event, fmt::format("the key \"{}\" is there twice", text.substr(0, 80)));
    }
    frame.key = text;
    return {};
  }

  Result<> on_alias(const Event& event) {
    const auto at = anchors_.find(std::string(text_of(event->data.alias.anchor)));
    if (at == anchors_.end()) return fault(event, "an alias to an anchor that is not complete before it");
    MAINSTAY_TRY_VOID(charge(event, at->second.weight));
    if (!stack_.empty() && stack_.back().mapping && !stack_.back().has_key) {
      const json::value& value = at->second.value;
      if (!value.is_string()) return fault(event, "an alias as a key must stand for a string");
      stack_.back().weight.bytes += at->second.weight.bytes;
      return on_key(event, std::string_view(value.get_string()), false);
    }
    return place(event, at->second.value, {}, at->second.weight);
  }

  Result<> on_open(const Event& event) {
    const bool mapping = event->type == YAML_MAPPING_START_EVENT;
    if (!stack_.empty() && stack_.back().mapping && !stack_.back().has_key) {
      return fault(event, "a key must be a scalar: JSON has no other");
    }
    const auto* tag = mapping ? event->data.mapping_start.tag : event->data.sequence_start.tag;
    const auto* anchor = mapping ? event->data.mapping_start.anchor : event->data.sequence_start.anchor;
    MAINSTAY_TRY_VOID(check_tag(event, tag, mapping ? "map" : "seq"));
    MAINSTAY_TRY_VOID(charge(event, Weight{1, 0, 1}));
    Frame frame;
    frame.mapping = mapping;
    frame.value = mapping ? json::value(json::object()) : json::value(json::array());
    frame.anchor = text_of(anchor);
    frame.weight = Weight{1, 0, 1};
    stack_.push_back(std::move(frame));
    return {};
  }

  Result<> on_close(const Event& event) {
    Frame frame = std::move(stack_.back());
    stack_.pop_back();
    for (const json::value& merged : frame.merges) {
      for (const auto& member : merged.get_object()) {
        if (!frame.value.get_object().contains(member.key())) frame.value.get_object().insert(member);
      }
    }
    return place(event, std::move(frame.value), frame.anchor, frame.weight);
  }

  // `<<: *a` and `<<: [*a, *b]`; earlier ones win (yaml.org/type/merge).
  Result<> merge(const Event& event, Frame& frame, json::value value) {
    if (value.is_object()) {
      frame.merges.push_back(std::move(value));
      return {};
    }
    if (!value.is_array()) return fault(event, "<< needs a mapping or a list of mappings");
    for (json::value& element : value.get_array()) {
      if (!element.is_object()) return fault(event, "<< needs a mapping or a list of mappings");
      frame.merges.push_back(std::move(element));
    }
    return {};
  }

  Result<> place(const Event& event, json::value value, std::string_view anchor, const Weight& weight) {
    if (!anchor.empty()) {
      // The copy kept for aliases is charged too: nested anchors would otherwise hold depth times the text.
      MAINSTAY_TRY_VOID(charge(event, weight));
      anchors_.insert_or_assign(std::string(anchor), Anchored{value, weight});
    }
    if (stack_.empty()) {
      documents_.push_back(std::move(value));
      return {};
    }
    Frame& frame = stack_.back();
    frame.weight.add(weight);
    if (!frame.mapping) {
      frame.value.get_array().push_back(std::move(value));
      return {};
    }
    frame.has_key = false;
    if (frame.key_is_merge) return merge(event, frame, std::move(value));
    frame.value.get_object().insert_or_assign(frame.key, std::move(value));
    return {};
  }

  struct Anchored {
    json::value value;
    Weight weight;
  };
  const YamlLimits& limits_;
  yaml_parser_t parser_{};
  bool ready_ = false;
  std::size_t nodes_ = 0, bytes_ = 0;
  std::vector<Frame> stack_;
  std::map<std::string, Anchored> anchors_;
  std::vector<json::value> documents_;
};

Result<std::vector<json::value>> parse_all(std::string_view text, const YamlLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return fail(ErrorCode::kTooLarge, fmt::format("YAML: more than {} bytes", limits.max_bytes));
  }
  return Builder(text, limits).run();
}

}  // namespace

Result<json::value> parse_yaml(std::string_view text, const YamlLimits& limits) {
  MAINSTAY_TRY(auto documents, parse_all(text, limits));
  if (documents.empty()) return json::value();
  if (documents.size() > 1) return fail(ErrorCode::kInvalid, "YAML: expected one document, found several");
  return std::move(documents.front());
}

Result<std::vector<json::value>> parse_yaml_documents(std::string_view text, const YamlLimits& limits) {
  MAINSTAY_TRY(auto documents, parse_all(text, limits));
  std::erase_if(documents, [](const json::value& document) { return document.is_null(); });
  return documents;
}

}  // namespace mainstay::base
