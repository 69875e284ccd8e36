#include "capabilities/artifacts/manifest.h"

#include "capabilities/artifacts/protocol.h"
#include "store/blobs.h"

namespace mainstay::artifacts {

using base::ErrorCode;
using base::fail;
namespace json = base::json;

namespace {

constexpr std::size_t kMaxLayers = 1000;
constexpr std::size_t kMaxMediaType = 255;
constexpr std::size_t kMaxDepth = 16;

std::unexpected<base::Error> bad(std::string_view field, std::string_view why) {
  return fail(ErrorCode::kInvalid, fmt::format("{}: {}", field, why));
}

// A field that must be text where it is there.
base::Result<std::string> text(const json::object& object, std::string_view name, std::string_view where) {
  const auto* value = object.if_contains(name);
  if (value == nullptr || value->is_null()) return std::string();
  if (!value->is_string()) return bad(fmt::format("{}.{}", where, name), "must be a string");
  if (value->get_string().size() > kMaxMediaType)
    return bad(fmt::format("{}.{}", where, name), "is longer than 255 characters");
  return std::string(value->get_string());
}

base::Result<Descriptor> descriptor(const json::value& value, const std::string& where) {
  if (!value.is_object()) return bad(where, "must be a descriptor: {mediaType, digest, size}");
  const auto& object = value.get_object();
  Descriptor out;
  MAINSTAY_TRY(out.media_type, text(object, "mediaType", where));
  MAINSTAY_TRY(out.digest, text(object, "digest", where));
  MAINSTAY_TRY(out.artifact_type, text(object, "artifactType", where));
  if (out.media_type.empty()) return bad(where + ".mediaType", "is missing");
  if (!store::valid_digest(out.digest)) return bad(where + ".digest", "must be sha256: and 64 lower-case hex digits");
  const auto* size = object.if_contains("size");
  if (size == nullptr) return bad(where + ".size", "is missing");
  if (size->is_uint64()) {
    out.size = size->get_uint64();
  } else if (size->is_int64() && size->get_int64() >= 0) {
    out.size = static_cast<std::uint64_t>(size->get_int64());
  } else {
    return bad(where + ".size", "must be a whole number of bytes");
  }
  const auto* urls = object.if_contains("urls");
  out.foreign = (urls != nullptr && urls->is_array() && !urls->get_array().empty()) ||
                out.media_type.find("nondistributable") != std::string::npos ||
                out.media_type.find(".foreign.") != std::string::npos;
  if (const auto* platform = object.if_contains("platform"); platform != nullptr && platform->is_object()) {
    MAINSTAY_TRY(out.architecture, text(platform->get_object(), "architecture", where + ".platform"));
    MAINSTAY_TRY(out.os, text(platform->get_object(), "os", where + ".platform"));
  }
  return out;
}

base::Result<std::vector<Descriptor>> descriptors(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  if (value == nullptr || value->is_null()) return bad(name, "is missing");
  if (!value->is_array()) return bad(name, "must be a list of descriptors");
  const auto& array = value->get_array();
  if (array.size() > kMaxLayers)
    return bad(name, fmt::format("has {} entries; at most {} are taken", array.size(), kMaxLayers));
  std::vector<Descriptor> out;
  out.reserve(array.size());
  for (std::size_t i = 0; i < array.size(); ++i) {
    MAINSTAY_TRY(auto item, descriptor(array[i], fmt::format("{}[{}]", name, i)));
    out.push_back(std::move(item));
  }
  return out;
}

base::Result<std::string> decide_type(const json::object& object, std::string_view content_type) {
  MAINSTAY_TRY(auto inside, text(object, "mediaType", "manifest"));
  auto outside = bare_type(content_type);
  if (outside == "application/json" || outside == "application/octet-stream" || outside == "text/plain")
    outside.clear();
  if (!inside.empty() && !outside.empty() && inside != outside) {
    return bad("mediaType", fmt::format("is \"{}\", but the request's Content-Type is \"{}\"", inside, outside));
  }
  const std::string type = outside.empty() ? inside : outside;
  if (!media_type::is_index(type) && !media_type::is_manifest(type)) {
    return bad("mediaType",
               fmt::format("\"{}\" is not taken; push an OCI image manifest or index ({}, {}) or a Docker schema 2 one",
                           type, media_type::kOciManifest, media_type::kOciIndex));
  }
  return type;
}

}  // namespace

base::Result<Manifest> parse_manifest(std::string_view bytes, std::string_view content_type) {
  MAINSTAY_TRY(const auto value, base::parse_json(bytes, kMaxDepth));
  if (!value.is_object()) return bad("manifest", "must be a JSON object");
  const auto& object = value.get_object();
  if (base::get_int(value, "schemaVersion") != 2) return bad("schemaVersion", "must be 2");
  Manifest out;
  MAINSTAY_TRY(out.media_type, decide_type(object, content_type));
  out.index = media_type::is_index(out.media_type);
  // A document that is both would mean one thing to one client and another to the next (CVE-2021-41190).
  const bool has_layers = object.contains("layers") || object.contains("config") || object.contains("fsLayers");
  if (out.index && has_layers) return bad("manifests", "an index must not have config or layers");
  if (!out.index && object.contains("manifests")) return bad("manifests", "an image manifest must not have manifests");
  MAINSTAY_TRY(out.artifact_type, text(object, "artifactType", "manifest"));
  if (out.index) {
    MAINSTAY_TRY(out.manifests, descriptors(object, "manifests"));
  } else {
    const auto* config = object.if_contains("config");
    if (config == nullptr) return bad("config", "is missing");
    MAINSTAY_TRY(out.config, descriptor(*config, "config"));
    MAINSTAY_TRY(out.layers, descriptors(object, "layers"));
    if (out.artifact_type.empty()) out.artifact_type = out.config->media_type;
  }
  if (const auto* subject = object.if_contains("subject"); subject != nullptr && !subject->is_null()) {
    MAINSTAY_TRY(out.subject, descriptor(*subject, "subject"));
  }
  if (const auto* annotations = object.if_contains("annotations"); annotations != nullptr && !annotations->is_null()) {
    if (!annotations->is_object()) return bad("annotations", "must be an object of strings");
    for (const auto& [name, text] : annotations->get_object()) {
      if (!text.is_string()) return bad(fmt::format("annotations[\"{}\"]", std::string_view(name)), "must be a string");
    }
    out.annotations = annotations->get_object();
  }
  return out;
}

std::string_view machine_architecture() {
#if defined(__x86_64__)
  return "amd64";
#elif defined(__aarch64__)
  return "arm64";
#else
#error "name this machine's architecture as Go does"
#endif
}

const Descriptor* for_this_machine(const Manifest& index) {
  for (const auto& entry : index.manifests) {
    if (entry.os == "linux" && entry.architecture == machine_architecture()) return &entry;
  }
  // Tools that make a single image leave the platform out.
  if (index.manifests.size() == 1 && index.manifests.front().os.empty()) return &index.manifests.front();
  return nullptr;
}

}  // namespace mainstay::artifacts
