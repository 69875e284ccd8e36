#include "api/metadata.h"

#include <fmt/format.h>

#include "api/schema_loader.h"
#include "base/ids.h"
#include "base/status.h"
#include "base/strings.h"

namespace mainstay::api {
namespace json = base::json;
namespace {

constexpr std::size_t kMaxAnnotations = 256u << 10;  // Kubernetes' bound on all annotations of an object together

void invalid_value(std::vector<Violation>& out, std::string field, std::string_view value, std::string_view why) {
  out.push_back({std::move(field), "FieldValueInvalid",
                 fmt::format("Invalid value: {}: {}", json::serialize(json::value(value)), why)});
}

// As many faults as an answer names: each is written several times into it.
constexpr std::size_t kMaxCauses = 100;

// managedFields repeats an object's nesting a few levels down, and readers parse 64 levels.
constexpr int kMaxDepth = 48;

bool deeper_than(const json::value& value, int most) {
  if (most < 0) return true;
  if (const json::object* object = value.if_object()) {
    return std::ranges::any_of(*object, [&](const auto& member) { return deeper_than(member.value(), most - 1); });
  }
  const json::array* items = value.if_array();
  return items && std::ranges::any_of(*items, [&](const json::value& item) { return deeper_than(item, most - 1); });
}

bool is(const json::value& value, std::string_view text) { return value.is_string() && value.get_string() == text; }

// RBAC's names end up in paths and may hold colons; all others are DNS names.
base::Result<> check_name(const Type& type, std::string_view name) {
  if (type.group == "rbac.authorization.k8s.io") {
    if (name == "." || name == ".." || name.find_first_of("/%") != std::string_view::npos) {
      return base::fail(base::ErrorCode::kInvalid, "may not be '.' or '..' and may not contain '/' or '%'");
    }
    return {};
  }
  if (is_namespace(type)) return base::check_dns_label(name);
  if (type.group.empty() && type.kind == "Service") {
    if (!name.empty() && name.front() >= '0' && name.front() <= '9') {
      return base::fail(base::ErrorCode::kInvalid, "must start with a letter (RFC 1035), as it becomes a DNS name");
    }
    return base::check_dns_label(name);
  }
  return base::check_dns_subdomain(name);
}

void validate_labels(const json::value& object, std::vector<Violation>& out) {
  for (const auto& [key, value] : base::get_object(object, "metadata.labels")) {
    if (auto ok = base::check_label_key(key); !ok) invalid_value(out, "metadata.labels", key, ok.error().message);
    if (!value.is_string()) continue;
    if (auto ok = base::check_label_value(value.get_string()); !ok) {
      invalid_value(out, "metadata.labels", value.get_string(), ok.error().message);
    }
  }
}

void validate_annotations(const json::value& object, std::vector<Violation>& out) {
  std::size_t size = 0;
  for (const auto& [key, value] : base::get_object(object, "metadata.annotations")) {
    if (auto ok = base::check_label_key(base::lower(key)); !ok)
      invalid_value(out, "metadata.annotations", key, ok.error().message);
    size += key.size() + (value.is_string() ? value.get_string().size() : 0);
  }
  if (size > kMaxAnnotations) {
    out.push_back({"metadata.annotations", "FieldValueTooLong",
                   fmt::format("Too long: may not be more than {} bytes", kMaxAnnotations)});
  }
}

void validate_owners(const json::value& object, std::vector<Violation>& out) {
  int controllers = 0;
  for (const json::value& owner : base::get_array(object, "metadata.ownerReferences")) {
    controllers += base::get_bool(owner, "controller") ? 1 : 0;
  }
  if (controllers > 1) {
    out.push_back({"metadata.ownerReferences", "FieldValueInvalid",
                   "Invalid value: only one reference can have controller set to true"});
  }
}

void validate_finalizers(const json::value* before, const json::value& object, std::vector<Violation>& out) {
  if (!before || !base::find(*before, "metadata.deletionTimestamp")) return;
  const json::array& old = base::get_array(*before, "metadata.finalizers");
  for (const json::value& one : base::get_array(object, "metadata.finalizers")) {
    if (std::ranges::find(old, one) != old.end()) continue;
    out.push_back(
        {"metadata.finalizers", "FieldValueForbidden",
         fmt::format("Forbidden: no new finalizers can be added if the object is being deleted, found new finalizer {}",
                     json::serialize(one))});
  }
}

}  // namespace

bool is_namespace(const Type& type) { return type.group.empty() && type.kind == "Namespace"; }
bool is_pod(const Type& type) { return type.group.empty() && type.kind == "Pod"; }

void check_kind(const Type& type, json::value& object) {
  if (!object.is_object()) throw base::bad_request("the body must be a JSON object");
  json::object& fields = object.get_object();
  const std::string version = type.api_version();
  const auto check = [&](const char* key, std::string_view expected, std::string_view what) {
    const json::value* given = fields.if_contains(key);
    if (!given || given->is_null() || is(*given, "")) {
      fields[key] = expected;
    } else if (!is(*given, expected)) {
      throw base::bad_request(fmt::format("the {} in the data ({}) does not match the expected {} ({})", what,
                                          given->is_string() ? std::string_view(given->get_string()) : "not a string",
                                          what, expected));
    }
  };
  check("apiVersion", version, "API version");
  check("kind", type.kind, "kind");
  json::value& metadata = fields["metadata"];
  if (metadata.is_null()) metadata = json::object();
  if (!metadata.is_object()) throw base::bad_request("metadata must be an object");
}

void check_depth(const json::value& object) {
  const auto check = [](std::string_view key, const json::value& value, int most) {
    if (key != "managedFields" && deeper_than(value, most)) {
      throw base::bad_request(fmt::format("the object nests deeper than {} levels", kMaxDepth));
    }
  };
  for (const auto& member : object.as_object()) {
    if (member.key() != "metadata" || !member.value().is_object()) {
      check(member.key(), member.value(), kMaxDepth - 1);
      continue;
    }
    for (const auto& inner : member.value().get_object()) check(inner.key(), inner.value(), kMaxDepth - 2);
  }
}

void drop_unknown(const Type& type, json::value& object, const WriteOptions& options) {
  const bool strict = refuses_unknown(*type.schema) || options.field_validation == "Strict";
  const bool ignore = !strict && options.field_validation == "Ignore";
  std::vector<std::string> dropped;
  prune(*type.schema, object, ignore ? nullptr : &dropped);
  if (dropped.empty()) return;
  if (strict) {
    std::vector<std::string> faults;
    for (const std::string& path : dropped) faults.push_back(fmt::format("unknown field \"{}\"", path));
    throw base::bad_request(fmt::format("{0} in version \"{1}\" cannot be handled as a {0}: strict decoding error: {2}",
                                        type.kind, type.version, base::join(faults, ", ")));
  }
  if (!options.warnings) return;
  for (const std::string& path : dropped) options.warnings->push_back(fmt::format("unknown field \"{}\"", path));
}

void settle_namespace(const Type& type, std::string_view ns, json::value& object) {
  json::object& metadata = object.at("metadata").as_object();
  const json::value* given = metadata.if_contains("namespace");
  if (!type.namespaced) {
    if (given && !is(*given, ""))
      throw base::bad_request(fmt::format("{} is cluster-scoped: metadata.namespace must be empty", type.kind));
    if (given) metadata.stable_erase("namespace");
    return;
  }
  if (given && !is(*given, "") && !is(*given, ns)) {
    throw base::bad_request("the namespace of the provided object does not match the namespace sent on the request");
  }
  if (!given || !is(*given, ns)) metadata["namespace"] = ns;
}

void stamp_new(const Type& type, json::value& object, base::SystemTime now) {
  json::object& metadata = object.at("metadata").as_object();
  for (const char* key : {"deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"}) {
    if (const auto at = metadata.find(key); at != metadata.end()) metadata.stable_erase(at);
  }
  metadata["uid"] = base::uuid4();
  metadata["creationTimestamp"] = base::rfc3339(now);
  if (type.counts_generation) metadata["generation"] = 1;
}

void carry_over(const json::value& live, json::value& next) {
  const json::object& old = live.at("metadata").as_object();
  json::object& metadata = next.at("metadata").as_object();
  for (const char* key : {"name", "generateName", "namespace", "uid", "creationTimestamp", "generation",
                          "deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion"}) {
    if (const json::value* kept = old.if_contains(key)) {
      metadata[key] = *kept;
    } else if (const auto at = metadata.find(key); at != metadata.end()) {
      metadata.stable_erase(at);
    }
  }
  if (const auto at = metadata.find("selfLink"); at != metadata.end()) metadata.stable_erase(at);
}

void validate_metadata(const Type& type, const json::value* before, const json::value& object,
                       std::vector<Violation>& out) {
  if (!before) {
    const std::string name = base::get_string(object, "metadata.name");
    if (name.empty()) {
      out.push_back({"metadata.name", "FieldValueRequired", "Required value: name or generateName is required"});
    } else if (auto ok = check_name(type, name); !ok) {
      invalid_value(out, "metadata.name", name, ok.error().message);
    }
  }
  validate_labels(object, out);
  validate_annotations(object, out);
  validate_owners(object, out);
  validate_finalizers(before, object, out);
}

void refuse_violations(const Type& type, std::string_view name, std::vector<Violation> violations) {
  if (violations.empty()) return;
  if (violations.size() > kMaxCauses) violations.resize(kMaxCauses);
  std::vector<base::Cause> causes;
  for (Violation& v : violations) causes.push_back({std::move(v.field), std::move(v.reason), std::move(v.message)});
  throw base::invalid(type.qualified_kind(), name, causes);
}

bool ready_to_go(const json::value& object) {
  return base::find(object, "metadata.deletionTimestamp") &&
         base::get_int(object, "metadata.deletionGracePeriodSeconds") == 0 &&
         base::get_array(object, "metadata.finalizers").empty();
}

}  // namespace mainstay::api
