#include "capabilities/compute/pod/environment.h"

#include "base/encoding.h"
#include "capabilities/compute/pod/resources.h"

namespace mainstay::compute {
using base::ErrorCode;
using base::fail;
namespace {

using Lookup = std::function<client::ObjectPtr(std::string_view)>;
using Value = std::optional<std::string> (*)(const json::value&, std::string_view);

bool valid_name(std::string_view name) {
  return !name.empty() && name.find('=') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

// "labels['a/b']" and "annotations['x']" below metadata.
std::optional<std::string> subscript(std::string_view path, std::string_view map) {
  if (!path.starts_with(map) || !path.substr(map.size()).starts_with("['") || !path.ends_with("']"))
    return std::nullopt;
  path.remove_prefix(map.size() + 2);
  path.remove_suffix(2);
  return std::string(path);
}

// The value, "" in `absent` where it is optional and missing.
base::Result<std::optional<std::string>> from_object(std::string_view kind, const json::value& reference,
                                                     const Lookup& lookup, Value value) {
  const std::string name = base::get_string(reference, "name"), key = base::get_string(reference, "key");
  const bool optional = base::get_bool(reference, "optional");
  const client::ObjectPtr object = lookup(name);
  if (!object) {
    if (optional) return std::nullopt;
    return fail(ErrorCode::kNotFound,
                fmt::format("{} \"{}\" not found; create it, or mark the reference optional", kind, name));
  }
  auto found = value(*object, key);
  if (!found && !optional)
    return fail(ErrorCode::kNotFound,
                fmt::format("{} \"{}\" has no key \"{}\"; add it, or mark the reference optional", kind, name, key));
  return found;
}

base::Result<> add_all(const json::value& entry, std::string_view kind, const json::value& reference,
                       const Lookup& lookup, Value value, Variables& out) {
  const std::string name = base::get_string(reference, "name"), prefix = base::get_string(entry, "prefix");
  const client::ObjectPtr object = lookup(name);
  if (!object) {
    if (base::get_bool(reference, "optional")) return {};
    return fail(ErrorCode::kNotFound,
                fmt::format("{} \"{}\" not found; create it, or mark the reference optional", kind, name));
  }
  for (const auto& member : base::get_object(*object, "data")) {
    const std::string key = prefix + std::string(member.key());
    if (auto text = value(*object, member.key()); text && valid_name(key)) out[key] = *std::move(text);
  }
  return {};
}

base::Result<std::optional<std::string>> value_from(const json::value& container, const json::value& from,
                                                    const EnvironmentSources& sources) {
  if (const json::value* reference = base::find(from, "configMapKeyRef"))
    return from_object("configmap", *reference, sources.config_map, config_map_value);
  if (const json::value* reference = base::find(from, "secretKeyRef"))
    return from_object("secret", *reference, sources.secret, secret_value);
  if (const json::value* reference = base::find(from, "fieldRef")) {
    const std::string path = base::get_string(*reference, "fieldPath");
    if (auto value = field_value(path, sources)) return value;
    return fail(ErrorCode::kInvalid,
                fmt::format("fieldRef.fieldPath \"{}\" is not a field that environment variables can take", path));
  }
  if (const json::value* reference = base::find(from, "resourceFieldRef")) {
    const std::string resource = base::get_string(*reference, "resource");
    const json::value* divisor = base::find(*reference, "divisor");
    const std::string unit = divisor == nullptr     ? ""
                             : divisor->is_string() ? std::string(divisor->as_string())
                                                    : base::to_json(*divisor);
    if (auto value = resource_field(container, resource, unit, sources.node_cpu_milli, sources.node_memory))
      return value;
    return fail(
        ErrorCode::kInvalid,
        fmt::format("resourceFieldRef.resource \"{}\": use limits.cpu, limits.memory, requests.cpu or requests.memory",
                    resource));
  }
  return std::nullopt;
}

}  // namespace

std::string expand(std::string_view text, const Variables& known) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '$' || i + 1 >= text.size()) {
      out += text[i];
      continue;
    }
    if (text[i + 1] == '$') {
      out += '$';
      ++i;
      continue;
    }
    const auto close = text[i + 1] == '(' ? text.find(')', i + 2) : std::string_view::npos;
    if (close == std::string_view::npos) {
      out += text[i];
      continue;
    }
    const auto found = known.find(std::string(text.substr(i + 2, close - i - 2)));
    out += found != known.end() ? found->second : std::string(text.substr(i, close + 1 - i));
    i = close;
  }
  return out;
}

std::optional<std::string> config_map_value(const json::value& object, std::string_view key) {
  if (const json::value* text = base::find(object, {"data", key}); text != nullptr && text->is_string())
    return std::string(text->as_string());
  if (const json::value* bytes = base::find(object, {"binaryData", key}); bytes != nullptr && bytes->is_string()) {
    auto decoded = base::base64_decode(bytes->as_string());
    if (decoded) return *std::move(decoded);
  }
  return std::nullopt;
}

std::optional<std::string> secret_value(const json::value& object, std::string_view key) {
  const json::value* bytes = base::find(object, {"data", key});
  if (bytes == nullptr || !bytes->is_string()) return std::nullopt;
  auto decoded = base::base64_decode(bytes->as_string());
  return decoded ? std::optional(*std::move(decoded)) : std::nullopt;
}

std::optional<std::string> field_value(std::string_view path, const EnvironmentSources& sources) {
  const json::value& pod = *sources.pod;
  if (const auto key = subscript(path, "metadata.labels")) return base::label(pod, *key);
  if (const auto key = subscript(path, "metadata.annotations")) return base::annotation(pod, *key);
  if (path == "metadata.labels" || path == "metadata.annotations") {
    std::string out;  // the downward API's file format: key="escaped value" lines
    for (const auto& member : base::get_object(pod, path))
      out += fmt::format("{}{}={}", out.empty() ? "" : "\n", std::string_view(member.key()),
                         base::to_json(member.value()));
    return out;
  }
  if (path == "metadata.name" || path == "metadata.namespace" || path == "metadata.uid")
    return base::get_string(pod, path);
  if (path == "spec.nodeName") return sources.node_name;
  if (path == "spec.serviceAccountName") return base::get_string(pod, path, "default");
  if (path == "status.podIP" || path == "status.podIPs") return sources.pod_ip;
  if (path == "status.hostIP" || path == "status.hostIPs") return sources.host_ip;
  return std::nullopt;
}

base::Result<Variables> environment(const json::value& container, const EnvironmentSources& sources, Variables known) {
  for (const json::value& entry : base::get_array(container, "envFrom")) {
    if (const json::value* reference = base::find(entry, "configMapRef"))
      MAINSTAY_TRY_VOID(add_all(entry, "configmap", *reference, sources.config_map, config_map_value, known));
    if (const json::value* reference = base::find(entry, "secretRef"))
      MAINSTAY_TRY_VOID(add_all(entry, "secret", *reference, sources.secret, secret_value, known));
  }
  for (const json::value& entry : base::get_array(container, "env")) {
    const std::string name = base::get_string(entry, "name");
    if (!valid_name(name)) continue;
    if (const json::value* from = base::find(entry, "valueFrom")) {
      MAINSTAY_TRY(auto value, value_from(container, *from, sources));
      if (value) known[name] = *std::move(value);
    } else {
      known[name] = expand(base::get_string(entry, "value"), known);
    }
  }
  return known;
}

}  // namespace mainstay::compute
