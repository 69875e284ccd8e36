#include "api/scale.h"

#include "api/metadata.h"
#include "api/verbs.h"
#include "base/selector.h"
#include "base/status.h"

namespace mainstay::api {
namespace json = base::json;

json::value scale_of(const Type& type, const json::value& object) {
  json::object metadata;
  for (const char* key : {"name", "namespace", "uid", "resourceVersion", "creationTimestamp"}) {
    if (const json::value* value = base::find(object.at("metadata"), key)) metadata[key] = *value;
  }
  std::string selector;
  if (const json::value* given = base::find(object, "spec.selector")) {
    if (auto parsed = base::LabelSelector::from_json(*given)) selector = parsed->to_string();
  }
  return json::object{
      {"apiVersion", "autoscaling/v1"},
      {"kind", "Scale"},
      {"metadata", std::move(metadata)},
      {"spec", json::object{{"replicas", base::get_int(object, "spec.replicas")}}},
      {"status", json::object{{"replicas", base::get_int(object, "status.replicas")}, {"selector", selector}}}};
}

void apply_scale(const Type& type, const json::value& scale, json::value& next) {
  const std::string kind = base::get_string(scale, "kind", "Scale");
  const std::string version = base::get_string(scale, "apiVersion", "autoscaling/v1");
  if (kind != "Scale" || version != "autoscaling/v1") {
    throw base::bad_request("the body of the scale subresource must be a Scale of autoscaling/v1");
  }
  const json::value* replicas = base::find(scale, "spec.replicas");
  if (!replicas) {  // Scale leaves out a zero
    base::set(next, "spec.replicas", 0);
    return;
  }
  if (!replicas->is_int64() || replicas->get_int64() < 0 || replicas->get_int64() > INT32_MAX) {
    refuse_violations(type, base::get_string(next, "metadata.name"),
                      {{"spec.replicas", "FieldValueInvalid",
                        "Invalid value: " + json::serialize(*replicas) + ": must be greater than or equal to 0"}});
  }
  base::set(next, "spec.replicas", *replicas);
}

}  // namespace mainstay::api
