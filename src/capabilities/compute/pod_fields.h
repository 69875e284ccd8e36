// What of a pod's specification is not done here. A field that would change what runs, or how well it is shut in, is
// refused by its name; one that only tunes is accepted, so that manifests written for other clusters apply, and the pod
// gets an Event. Nothing is dropped in silence.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "api/admission.h"

namespace mainstay::compute {
namespace json = boost::json;

struct UnservedField {
  std::string field, why;
  bool refused = false;  // else it is accepted, and has no effect
};

// Of a PodSpec that stands at `path` ("spec", "spec.template.spec"). Pure; takes any JSON.
std::vector<UnservedField> unserved_fields(const json::value& spec, const std::string& path);

// Looks at Pods and at the templates of Deployments, ReplicaSets and Jobs when they are made or change.
api::AdmissionPlugin pod_fields_admission();

}  // namespace mainstay::compute
