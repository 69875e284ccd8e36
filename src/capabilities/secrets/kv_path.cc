#include "capabilities/secrets/kv_path.h"

#include <fmt/format.h>

#include "base/strings.h"

namespace mainstay::secrets {
namespace {

using base::ErrorCode;
using base::fail;

constexpr std::size_t kMaxDepth = 32;
constexpr std::size_t kMaxCustom = 64, kMaxCustomKey = 128, kMaxCustomValue = 512;  // as Vault bounds them
constexpr std::size_t kMaxListedVersions = 1000;

std::unexpected<base::Error> invalid(std::string message) { return fail(ErrorCode::kInvalid, std::move(message)); }

base::Result<json::object> parse_object(std::string_view body) {
  if (body.size() > kMaxBody)
    return fail(ErrorCode::kTooLarge, fmt::format("the body is larger than {} bytes", kMaxBody));
  auto value = base::parse_json(body.empty() ? "{}" : body, kMaxDepth);
  if (!value) return invalid("the body is not JSON: " + value.error().message);
  if (!value->is_object()) return invalid("the body is not a JSON object");
  return std::move(value->as_object());
}

base::Result<> check_segment(std::string_view segment) {
  if (segment.empty()) return invalid("the path has an empty segment");
  if (segment == "." || segment == "..") return invalid("the path has a segment of dots");
  for (const char c : segment) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return invalid("the path has a control character");
  }
  return {};
}

base::Result<KvPath> parse_path(std::string_view text) {
  if (text.size() > kMaxPath) return invalid(fmt::format("the path is longer than {} bytes", kMaxPath));
  const auto segments = base::split(text, '/');
  if (segments.size() > kMaxSegments) return invalid(fmt::format("the path has more than {} segments", kMaxSegments));
  for (const std::string_view segment : segments) {
    MAINSTAY_TRY_VOID(check_segment(segment));
  }
  if (auto named = base::check_dns_label(segments.front()); !named)
    return invalid("the first segment of the path is the team's name: " + named.error().message);
  const auto slash = text.find('/');
  return KvPath{std::string(segments.front()),
                slash == std::string_view::npos ? "" : std::string(text.substr(slash + 1))};
}

base::Result<std::int64_t> number(const json::value& value, std::string_view field, std::int64_t least,
                                  std::int64_t most) {
  std::int64_t out = -1;
  if (value.is_int64()) out = value.get_int64();
  // Some clients send numbers as texts.
  if (value.is_string()) {
    const std::string_view text = value.get_string();
    if (!text.empty() && text.size() < 10 && text.find_first_not_of("0123456789") == std::string_view::npos)
      out = std::stoll(std::string(text));
  }
  if (out < least || out > most) return invalid(fmt::format("{}: must be a number from {} to {}", field, least, most));
  return out;
}

}  // namespace

base::Result<KvPath> KvPath::entry(std::string_view text) {
  if (text.ends_with('/')) return invalid("the path of a secret does not end with a slash");
  MAINSTAY_TRY(KvPath path, parse_path(text));
  if (path.path.empty()) return invalid("the path of a secret is TEAM/NAME: a name is missing after the team's");
  return path;
}

base::Result<KvPath> KvPath::folder(std::string_view text) {
  if (text.ends_with('/')) text.remove_suffix(1);
  return parse_path(text);
}

base::Result<WriteBody> parse_write(std::string_view body) {
  MAINSTAY_TRY(json::object object, parse_object(body));
  WriteBody out;
  json::value* data = object.if_contains("data");
  if (data == nullptr || !data->is_object())
    return invalid(
        "data: the keys and values of the secret, as an object, are missing (KV version 2 puts them below "
        "\"data\")");
  if (json::serialize(*data).size() > kMaxValue)
    return fail(ErrorCode::kTooLarge,
                fmt::format("data: larger than {} bytes; keep files in a bucket or a registry", kMaxValue));
  out.data = std::move(data->as_object());
  if (const json::value* options = object.if_contains("options"); options != nullptr && !options->is_null()) {
    if (!options->is_object()) return invalid("options: must be an object");
    if (const json::value* cas = options->as_object().if_contains("cas"); cas != nullptr && !cas->is_null()) {
      MAINSTAY_TRY(out.cas, number(*cas, "options.cas", 0, INT32_MAX));
    }
  }
  return out;
}

base::Result<std::vector<std::int64_t>> parse_versions(std::string_view body) {
  MAINSTAY_TRY(const json::object object, parse_object(body));
  const json::value* versions = object.if_contains("versions");
  if (versions == nullptr || !versions->is_array() || versions->get_array().empty())
    return invalid("versions: a list of version numbers is missing");
  if (versions->get_array().size() > kMaxListedVersions) return invalid("versions: too many");
  std::vector<std::int64_t> out;
  for (const json::value& version : versions->get_array()) {
    MAINSTAY_TRY(const std::int64_t one, number(version, "versions", 1, INT32_MAX));
    out.push_back(one);
  }
  return out;
}

base::Result<MetadataBody> parse_metadata(std::string_view body) {
  MAINSTAY_TRY(const json::object object, parse_object(body));
  MetadataBody out;
  if (const json::value* most = object.if_contains("max_versions"); most != nullptr && !most->is_null()) {
    MAINSTAY_TRY(out.max_versions, number(*most, "max_versions", 0, kMaxVersions));
  }
  if (const json::value* cas = object.if_contains("cas_required"); cas != nullptr && !cas->is_null()) {
    if (!cas->is_bool()) return invalid("cas_required: must be true or false");
    out.cas_required = cas->get_bool();
  }
  if (const json::value* after = object.if_contains("delete_version_after"); after != nullptr && !after->is_null()) {
    if (!after->is_string() || (after->get_string() != "0s" && after->get_string() != "0" && after->get_string() != ""))
      return invalid("delete_version_after: versions are not deleted by time here; leave it out, and use max_versions");
  }
  const json::value* custom = object.if_contains("custom_metadata");
  if (custom == nullptr || custom->is_null()) return out;
  if (!custom->is_object()) return invalid("custom_metadata: must be an object of texts");
  if (custom->get_object().size() > kMaxCustom)
    return invalid(fmt::format("custom_metadata: more than {} keys", kMaxCustom));
  for (const auto& [key, value] : custom->get_object()) {
    if (key.empty() || key.size() > kMaxCustomKey) return invalid("custom_metadata: a key is empty or too long");
    if (!value.is_null() && (!value.is_string() || value.get_string().size() > kMaxCustomValue))
      return invalid(fmt::format("custom_metadata: values are texts of at most {} bytes", kMaxCustomValue));
  }
  out.custom_metadata = custom->get_object();
  return out;
}

}  // namespace mainstay::secrets
