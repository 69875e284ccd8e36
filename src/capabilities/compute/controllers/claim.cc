#include "capabilities/compute/controllers/claim.h"

#include "capabilities/compute/controllers/pods.h"
#include "reconcile/controller.h"

namespace mainstay::compute {
namespace {

json::array references_without(const json::value& object, std::string_view uid) {
  json::array out;
  for (const json::value& reference : base::get_array(object, "metadata.ownerReferences")) {
    if (base::get_string(reference, "uid") != uid) out.push_back(reference);
  }
  return out;
}

async::Task<json::value> write_references(client::ApiClient client, client::Resource resource, client::ObjectPtr object,
                                          json::array references) {
  // Guarded by uid and version: never touch a namesake or overwrite somebody's newer reference.
  json::value patch =
      json::object{{"metadata", json::object{{"uid", base::get_string(*object, "metadata.uid")},
                                             {"resourceVersion", base::get_string(*object, "metadata.resourceVersion")},
                                             {"ownerReferences", std::move(references)}}}};
  co_return co_await client.merge_patch(resource, base::get_string(*object, "metadata.namespace"),
                                        base::get_string(*object, "metadata.name"), std::move(patch));
}

}  // namespace

const json::value* controller_of(const json::value& object) {
  for (const json::value& reference : base::get_array(object, "metadata.ownerReferences")) {
    if (base::get_bool(reference, "controller")) return &reference;
  }
  return nullptr;
}

async::Task<std::vector<client::ObjectPtr>> claim(client::ApiClient client, client::Resource resource,
                                                  client::ObjectPtr owner, base::LabelSelector selector,
                                                  std::vector<client::ObjectPtr> candidates) {
  const std::string uid = base::get_string(*owner, "metadata.uid");
  std::vector<client::ObjectPtr> mine;
  for (const client::ObjectPtr& candidate : candidates) {
    const json::value* controller = controller_of(*candidate);
    const bool matches = selector.matches_object(*candidate);
    if (controller != nullptr) {
      if (base::get_string(*controller, "uid") != uid) continue;
      if (matches || being_deleted(*owner)) {
        mine.push_back(candidate);
      } else if (!being_deleted(*candidate)) {
        co_await write_references(client, resource, candidate, references_without(*candidate, uid));
      }
      continue;
    }
    if (!matches || being_deleted(*owner) || being_deleted(*candidate)) continue;
    json::array references = base::get_array(*candidate, "metadata.ownerReferences");
    references.push_back(reconcile::owner_reference(*owner));
    mine.push_back(std::make_shared<const json::value>(
        co_await write_references(client, resource, candidate, std::move(references))));
  }
  co_return mine;
}

std::vector<std::pair<std::string, std::string>> owners_of(const json::value& object, std::string_view kind,
                                                           const client::Cache& owners) {
  const std::string ns = base::get_string(object, "metadata.namespace");
  if (const json::value* controller = controller_of(object)) {
    if (base::get_string(*controller, "kind") != kind) return {};
    return {{ns, base::get_string(*controller, "name")}};
  }
  std::vector<std::pair<std::string, std::string>> out;
  for (const client::ObjectPtr& owner : owners.list(ns)) {
    const json::value* text = base::find(*owner, "spec.selector");
    if (text == nullptr) continue;
    auto selector = base::LabelSelector::from_json(*text);
    if (selector && !selector->empty() && selector->matches_object(object))
      out.emplace_back(ns, base::get_string(*owner, "metadata.name"));
  }
  return out;
}

}  // namespace mainstay::compute
