#include "api/request_info.h"

#include <algorithm>
#include <charconv>

#include "base/strings.h"

namespace mainstay::api {
namespace {

std::vector<std::string_view> segments_of(std::string_view path) {
  auto parts = base::split(path, '/');
  std::erase(parts, std::string_view());
  return parts;
}

struct MediaRange {
  std::string type;
  std::string as, group, version;
  double quality = 1;
  std::size_t order = 0;
};

std::vector<MediaRange> parse_accept(std::string_view accept) {
  constexpr std::size_t kMaxRanges = 32;
  std::vector<MediaRange> ranges;
  for (std::string_view part : base::split(accept, ',')) {
    if (ranges.size() == kMaxRanges) break;
    auto fields = base::split(part, ';');
    MediaRange range;
    range.type = base::lower(base::trim(fields.front()));
    if (range.type.empty()) continue;
    for (std::size_t i = 1; i < fields.size(); ++i) {
      const std::string_view field = base::trim(fields[i]);
      const auto equals = field.find('=');
      if (equals == std::string_view::npos) continue;
      const std::string_view key = field.substr(0, equals), value = field.substr(equals + 1);
      if (key == "as") range.as = value;
      if (key == "g") range.group = value;
      if (key == "v") range.version = value;
      if (key == "q") std::from_chars(value.data(), value.data() + value.size(), range.quality);
    }
    range.order = ranges.size();
    ranges.push_back(std::move(range));
  }
  std::ranges::sort(ranges, [](const MediaRange& a, const MediaRange& b) {
    return a.quality != b.quality ? a.quality > b.quality : a.order < b.order;
  });
  return ranges;
}

std::optional<Negotiated> judge(const MediaRange& range, bool transformable) {
  Negotiated result;
  const bool json = range.type == "application/json" || range.type == "*/*" || range.type == "application/*";
  result.yaml = range.type == "application/yaml";
  if ((!json && !result.yaml) || range.quality <= 0) return std::nullopt;
  if (range.as.empty()) return result;
  if (!range.version.empty()) result.as_version = range.version;
  if (range.as == "APIGroupDiscoveryList" && range.group == "apidiscovery.k8s.io" &&
      (range.version == "v2" || range.version == "v2beta1")) {
    result.aggregated_discovery = true;
    return result;
  }
  if (!transformable || range.group != "meta.k8s.io" || (result.as_version != "v1" && result.as_version != "v1beta1"))
    return std::nullopt;
  if (range.as == "Table")
    result.form = Form::kTable;
  else if (range.as == "PartialObjectMetadata" || range.as == "PartialObjectMetadataList")
    result.form = Form::kPartial;
  else
    return std::nullopt;
  return result;
}

}  // namespace

std::optional<ObjectPath> parse_object_path(std::string_view path) {
  const auto all = segments_of(path);
  ObjectPath parsed;
  std::size_t at = 0;
  if (all.size() >= 3 && all[0] == "api") {
    parsed.version = all[1];
    at = 2;
  } else if (all.size() >= 4 && all[0] == "apis") {
    parsed.group = all[1];
    parsed.version = all[2];
    at = 3;
  } else {
    return std::nullopt;
  }
  const bool of_namespace =
      all.size() > at + 2 && parsed.group.empty() && (all[at + 2] == "status" || all[at + 2] == "finalize");
  if (all[at] == "namespaces" && all.size() > at + 2 && !of_namespace) {
    parsed.ns = all[at + 1];
    at += 2;
  }
  parsed.resource = all[at];
  if (all.size() > at + 1) parsed.name = all[at + 1];
  if (all.size() > at + 2) parsed.subresource = all[at + 2];
  for (std::size_t i = at + 3; i < all.size(); ++i) {
    if (!parsed.rest.empty()) parsed.rest += '/';
    parsed.rest += all[i];
  }
  return parsed;
}

bool flag(const net::Query& query, std::string_view name) {
  if (!query.has(name)) return false;
  const std::string_view value = query.get(name);
  return value.empty() || value == "true" || value == "1" || value == "True" || value == "TRUE" || value == "t";
}

std::string object_verb(std::string_view method, const ObjectPath& path, const net::Query& query) {
  const bool named = !path.name.empty();
  if (method == "GET" || method == "HEAD") {
    if (path.subresource.empty() && flag(query, "watch")) return "watch";
    return named ? "get" : "list";
  }
  if (method == "POST") return "create";
  if (method == "PUT") return named ? "update" : "";
  if (method == "PATCH") return named ? "patch" : "";
  if (method == "DELETE") return named ? "delete" : "deletecollection";
  return "";
}

std::optional<Negotiated> negotiate(std::string_view accept, bool transformable) {
  if (base::trim(accept).empty()) return Negotiated{};
  for (const auto& range : parse_accept(accept)) {
    if (auto result = judge(range, transformable)) return result;
  }
  return std::nullopt;
}

BodyKind body_kind(std::string_view content_type) {
  const std::string type = base::lower(base::trim(content_type.substr(0, content_type.find(';'))));
  if (type.empty() || type == "application/json") return BodyKind::kJson;
  if (type == "application/yaml" || type == "text/yaml" || type == "application/x-yaml") return BodyKind::kYaml;
  if (type == "application/json-patch+json") return BodyKind::kJsonPatch;
  if (type == "application/merge-patch+json") return BodyKind::kMergePatch;
  if (type == "application/strategic-merge-patch+json") return BodyKind::kStrategicPatch;
  if (type == "application/apply-patch+yaml") return BodyKind::kApplyPatch;
  return BodyKind::kUnsupported;
}

}  // namespace mainstay::api
