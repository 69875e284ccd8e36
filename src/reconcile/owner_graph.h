// Who owns whom, by uid: the garbage collector's memory. Pure; no I/O.
#pragma once
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/json.h"
#include "client/client.h"

namespace mainstay::reconcile {

inline constexpr std::string_view kForegroundFinalizer = "foregroundDeletion";
inline constexpr std::string_view kOrphanFinalizer = "orphan";

struct OwnerReference {
  std::string api_version, kind, name, uid;
  bool block = false;  // blockOwnerDeletion
  bool operator==(const OwnerReference&) const = default;
};
std::vector<OwnerReference> owner_references(const base::json::value& object);
bool has_finalizer(const base::json::value& object, std::string_view name);

struct GraphNode {
  client::Resource resource;
  std::string ns, name, uid;
  std::vector<OwnerReference> owners;
  bool deleting = false, foreground = false,
       orphan = false;  // the latter two: the finalizer is there and it is deleting
};

class OwnerGraph {
 public:
  // Takes in the object's present state; gives the uids whose situation may have changed by it.
  std::vector<std::string> put(const client::Resource& resource, const base::json::value& object);
  std::vector<std::string> remove(const std::string& uid);
  const GraphNode* find(const std::string& uid) const;
  const std::set<std::string>& dependents(const std::string& uid) const;
  std::size_t size() const { return nodes_.size(); }

 private:
  // Only objects that own or are owned have an entry in dependents_.
  std::unordered_map<std::string, GraphNode> nodes_;
  std::unordered_map<std::string, std::set<std::string>> dependents_;
};

}  // namespace mainstay::reconcile
