#include "api/json_path.h"

#include <fmt/format.h>

#include "base/strings.h"

namespace mainstay::api {
namespace json = base::json;
using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

constexpr std::size_t kMaxResults = 1000;

std::unexpected<base::Error> bad(std::string why) { return fail(ErrorCode::kInvalid, "JSONPath: " + std::move(why)); }

bool is_quoted(std::string_view text) {
  return text.size() >= 2 && (text.front() == '\'' || text.front() == '"') && text.back() == text.front();
}
std::string_view unquoted(std::string_view text) { return text.substr(1, text.size() - 2); }

// Up to the next '.' or '[' that is not escaped by a backslash, which is dropped.
std::string take_name(std::string_view& text) {
  std::string out;
  std::size_t i = 0;
  for (; i < text.size() && text[i] != '.' && text[i] != '['; ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) ++i;
    out += text[i];
  }
  text.remove_prefix(i);
  return out;
}

// The place of the bracket that closes the one at 0, outside quotes.
std::size_t closing(std::string_view text) {
  char quote = 0;
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (quote) {
      if (text[i] == quote) quote = 0;
    } else if (text[i] == '\'' || text[i] == '"') {
      quote = text[i];
    } else if (text[i] == ']') {
      return i;
    }
  }
  return std::string_view::npos;
}

}  // namespace

Result<JsonPath::Step> JsonPath::parse_filter(std::string_view inside) {
  Step step;
  step.kind = Step::Kind::kFilter;
  const bool unequal = inside.find("!=") != std::string_view::npos;
  const auto at = inside.find(unequal ? "!=" : "==");
  if (at == std::string_view::npos) return bad("a filter must compare with == or !=");
  std::string_view left = base::trim(inside.substr(0, at));
  const std::string_view right = base::trim(inside.substr(at + 2));
  if (!left.starts_with("@.")) return bad("a filter must begin with @.");
  for (std::string_view part : base::split(left.substr(2), '.')) step.field.emplace_back(part);
  step.equal = !unequal;
  if (is_quoted(right)) {
    step.value = json::value(unquoted(right));
  } else {
    MAINSTAY_TRY(step.value, base::parse_json(right, 2));
  }
  return step;
}

Result<JsonPath::Step> JsonPath::parse_bracket(std::string_view inside) {
  Step step;
  inside = base::trim(inside);
  if (inside == "*") {
    step.kind = Step::Kind::kAll;
    return step;
  }
  if (is_quoted(inside)) {
    step.name = unquoted(inside);
    return step;
  }
  if (inside.starts_with("?(") && inside.ends_with(")")) return parse_filter(inside.substr(2, inside.size() - 3));
  step.kind = Step::Kind::kIndex;
  const auto [end, error] = std::from_chars(inside.data(), inside.data() + inside.size(), step.index);
  if (error != std::errc{} || end != inside.data() + inside.size())
    return bad(fmt::format("[{}] is not understood", inside));
  return step;
}

Result<JsonPath> JsonPath::parse(std::string_view text) {
  JsonPath out;
  if (text.starts_with("{") && text.ends_with("}")) text = text.substr(1, text.size() - 2);
  if (text.starts_with("$")) text.remove_prefix(1);
  while (!text.empty()) {
    if (text.front() == '[') {
      const std::size_t end = closing(text);
      if (end == std::string_view::npos) return bad("a '[' is not closed");
      MAINSTAY_TRY(auto step, parse_bracket(text.substr(1, end - 1)));
      out.steps_.push_back(std::move(step));
      text.remove_prefix(end + 1);
      continue;
    }
    if (text.front() != '.') return bad(fmt::format("expected '.' or '[' before \"{}\"", text));
    text.remove_prefix(1);
    if (text.empty()) break;
    if (text.front() == '[') continue;
    Step step;
    step.name = take_name(text);
    if (step.name == "*") step.kind = Step::Kind::kAll;
    if (step.name.empty()) return bad("a name is missing");
    out.steps_.push_back(std::move(step));
  }
  return out;
}

std::vector<const json::value*> JsonPath::find(const json::value& root) const {
  std::vector<const json::value*> at{&root};
  for (const Step& step : steps_) {
    std::vector<const json::value*> next;
    for (const json::value* value : at) {
      const json::object* object = value->if_object();
      const json::array* items = value->if_array();
      switch (step.kind) {
        case Step::Kind::kMember:
          if (const json::value* member = object ? object->if_contains(step.name) : nullptr) next.push_back(member);
          break;
        case Step::Kind::kIndex: {
          const auto size = static_cast<std::int64_t>(items ? items->size() : 0);
          const std::int64_t index = step.index < 0 ? size + step.index : step.index;
          if (index >= 0 && index < size) next.push_back(&(*items)[static_cast<std::size_t>(index)]);
          break;
        }
        case Step::Kind::kAll:
          if (object) {
            for (const auto& member : *object) next.push_back(&member.value());
          } else if (items) {
            for (const json::value& item : *items) next.push_back(&item);
          }
          break;
        case Step::Kind::kFilter:
          if (!items) break;
          for (const json::value& item : *items) {
            const json::value* field = &item;
            for (const std::string& name : step.field) {
              field = field && field->is_object() ? field->get_object().if_contains(name) : nullptr;
            }
            if ((field && *field == step.value) == step.equal) next.push_back(&item);
          }
          break;
      }
    }
    if (next.size() > kMaxResults) next.resize(kMaxResults);
    at = std::move(next);
  }
  return at;
}

}  // namespace mainstay::api
