#include "reconcile/owner_graph.h"

namespace mainstay::reconcile {

std::vector<OwnerReference> owner_references(const base::json::value& object) {
  std::vector<OwnerReference> references;
  for (const auto& reference : base::get_array(object, "metadata.ownerReferences")) {
    references.push_back({base::get_string(reference, "apiVersion"), base::get_string(reference, "kind"),
                          base::get_string(reference, "name"), base::get_string(reference, "uid"),
                          base::get_bool(reference, "blockOwnerDeletion")});
  }
  return references;
}

bool has_finalizer(const base::json::value& object, std::string_view name) {
  for (const auto& finalizer : base::get_array(object, "metadata.finalizers")) {
    if (finalizer.is_string() && finalizer.as_string() == name) return true;
  }
  return false;
}

std::vector<std::string> OwnerGraph::put(const client::Resource& resource, const base::json::value& object) {
  GraphNode next{resource, base::get_string(object, "metadata.namespace"), base::get_string(object, "metadata.name"),
                 base::get_string(object, "metadata.uid"), owner_references(object)};
  next.deleting = base::find(object, "metadata.deletionTimestamp") != nullptr;
  next.foreground = next.deleting && has_finalizer(object, kForegroundFinalizer);
  next.orphan = next.deleting && has_finalizer(object, kOrphanFinalizer);
  std::vector<std::string> concerned;
  GraphNode& node = nodes_[next.uid];
  const bool owners_changed = node.owners != next.owners;
  if (owners_changed) {
    for (const auto& owner : node.owners) {
      if (auto it = dependents_.find(owner.uid); it != dependents_.end()) {
        it->second.erase(next.uid);
        if (it->second.empty()) dependents_.erase(it);
      }
      concerned.push_back(owner.uid);  // may now have no dependent left to wait for
    }
    for (const auto& owner : next.owners) dependents_[owner.uid].insert(next.uid);
  }
  bool unsure = false;  // an owner we do not know, or that waits for its dependents
  for (const auto& owner : next.owners) {
    const GraphNode* known = find(owner.uid);
    unsure = unsure || !known || known->foreground || (!known->ns.empty() && known->ns != next.ns);
  }
  if ((owners_changed && unsure) || next.foreground || next.orphan) concerned.push_back(next.uid);
  node = std::move(next);
  return concerned;
}

std::vector<std::string> OwnerGraph::remove(const std::string& uid) {
  std::vector<std::string> concerned;
  auto found = nodes_.find(uid);
  if (found == nodes_.end()) return concerned;
  for (const auto& owner : found->second.owners) {
    if (auto it = dependents_.find(owner.uid); it != dependents_.end()) {
      it->second.erase(uid);
      if (it->second.empty()) dependents_.erase(it);
    }
    concerned.push_back(owner.uid);
  }
  nodes_.erase(found);
  const auto& left = dependents(uid);
  concerned.insert(concerned.end(), left.begin(), left.end());
  return concerned;
}

const GraphNode* OwnerGraph::find(const std::string& uid) const {
  auto it = nodes_.find(uid);
  return it == nodes_.end() ? nullptr : &it->second;
}

const std::set<std::string>& OwnerGraph::dependents(const std::string& uid) const {
  static const std::set<std::string> none;
  auto it = dependents_.find(uid);
  return it == dependents_.end() ? none : it->second;
}

}  // namespace mainstay::reconcile
