// One pass's view of an object, and what it writes back.
#include "base/strings.h"
#include "reconcile/controller.h"

namespace mainstay::reconcile {
namespace {

// The difference of everything but status, and of status alone.
json::value patch_of_status(const json::value& from, const json::value& to) {
  const json::value* before = base::find(from, "status");
  const json::value* after = base::find(to, "status");
  if (!before && !after) return nullptr;
  json::value whole_before = json::object{{"status", before ? *before : json::value(json::object{})}};
  json::value whole_after = json::object{{"status", after ? *after : json::value(json::object{})}};
  return base::merge_diff(whole_before, whole_after);
}

json::value patch_of_rest(json::value from, json::value to) {
  base::erase(from, "status");
  base::erase(to, "status");
  for (std::string_view kept : {"metadata.resourceVersion", "metadata.managedFields", "metadata.generation"}) {
    base::erase(from, kept);
    base::erase(to, kept);
  }
  return base::merge_diff(from, to);
}

bool is_empty(const json::value& patch) { return patch.is_null() || (patch.is_object() && patch.as_object().empty()); }

}  // namespace

Pass::Pass(client::ApiClient client, client::Resource resource, client::ObjectPtr original)
    : client_(std::move(client)), resource_(std::move(resource)), original_(std::move(original)), object_(*original_) {}

bool Pass::deleting() const { return !base::get_string(object_, "metadata.deletionTimestamp").empty(); }

bool Pass::has_finalizer(std::string_view name) const {
  for (const auto& finalizer : base::get_array(object_, "metadata.finalizers")) {
    if (finalizer.is_string() && finalizer.as_string() == name) return true;
  }
  return false;
}

void Pass::add_finalizer(std::string_view name) {
  if (has_finalizer(name)) return;
  json::array finalizers = base::get_array(object_, "metadata.finalizers");
  finalizers.push_back(json::value(name));
  base::set(object_, "metadata.finalizers", std::move(finalizers));
}

void Pass::remove_finalizer(std::string_view name) {
  if (!has_finalizer(name)) return;
  json::array kept;
  for (const auto& finalizer : base::get_array(object_, "metadata.finalizers")) {
    if (!finalizer.is_string() || finalizer.as_string() != name) kept.push_back(finalizer);
  }
  base::set(object_, "metadata.finalizers", std::move(kept));
}

void Pass::set_condition(std::string type, bool status, std::string reason, std::string message,
                         const base::Clock& clock) {
  reconcile::set_condition(object_, type, status ? "True" : "False", reason, message, clock.now());
}

async::Task<> Pass::commit() {
  const std::string ns = base::get_string(object_, "metadata.namespace"),
                    name = base::get_string(object_, "metadata.name");
  json::value status = patch_of_status(*original_, object_);
  json::value rest = patch_of_rest(*original_, object_);
  json::value version(base::get_string(*original_, "metadata.resourceVersion"));
  json::value latest;
  if (!is_empty(status)) {
    base::set(status, "metadata.resourceVersion", version);
    latest = co_await client_.merge_patch(resource_, ns, name, std::move(status), "status");
    version = json::value(base::get_string(latest, "metadata.resourceVersion"));
  }
  if (!is_empty(rest)) {
    base::set(rest, "metadata.resourceVersion", version);
    latest = co_await client_.merge_patch(resource_, ns, name, std::move(rest));
  }
  if (latest.is_null()) co_return;
  original_ = std::make_shared<const json::value>(latest);
  object_ = std::move(latest);
}

}  // namespace mainstay::reconcile
