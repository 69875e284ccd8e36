#include "reconcile/garbage_collector.h"

#include "base/log.h"
#include "base/status.h"
#include "reconcile/owner_graph.h"
#include "reconcile/queue.h"

namespace mainstay::reconcile {
namespace {
namespace json = boost::json;

constexpr int kWorkers = 4;
constexpr std::string_view kComponent = "garbage-collector";

struct Owners {
  std::vector<OwnerReference> solid, waiting, dangling;
};

class Collector : public std::enable_shared_from_this<Collector> {
 public:
  Collector(async::TaskGroup& group, client::Caches& caches, const api::TypeRegistry& types, client::ApiClient client,
            base::Metrics& metrics)
      : group_(group), types_(types), client_(std::move(client)), queue_(group.executor()) {
    deleted_ =
        &metrics.counter("mainstay_garbage_collector_deleted_total", "Objects deleted because their owners are gone.");
    for (const api::Type* type : types.all()) {
      if (!type->stored() || (type->group.empty() && type->plural == "events")) continue;
      sources_.push_back(caches.of(resource_of(*type)));
    }
  }

  void subscribe() {
    for (const auto& cache : sources_) {
      cache->on_change([weak = weak_from_this(), resource = cache->resource()](const client::ObjectPtr& before,
                                                                               const client::ObjectPtr& after) {
        auto self = weak.lock();
        if (!self) return;
        // The same name with another uid: the former was deleted and made anew between two lists.
        const std::string old_uid = before ? base::get_string(*before, "metadata.uid") : "";
        if (before && (!after || base::get_string(*after, "metadata.uid") != old_uid))
          self->add_all(self->graph_.remove(old_uid));
        if (after) self->add_all(self->graph_.put(resource, *after));
      });
    }
  }

  static async::Task<> run(std::shared_ptr<Collector> self) {
    for (const auto& cache : self->sources_) co_await cache->synced();
    for (int i = 0; i < kWorkers; ++i) self->group_.spawn("garbage collector worker", work(self));
  }

 private:
  static client::Resource resource_of(const api::Type& type) {
    return {type.group, type.version, type.plural, type.namespaced, type.kind};
  }

  void add_all(const std::vector<std::string>& uids) {
    for (const auto& uid : uids) queue_.add(uid);
  }

  static async::Task<> work(std::shared_ptr<Collector> self) {
    while (true) {
      const std::string uid = co_await self->queue_.next();
      std::string trouble;
      try {
        co_await self->process(uid);
      } catch (const base::StatusError& e) {
        trouble = e.message();
      }
      if (trouble.empty()) {
        self->queue_.forget_failures(uid);
      } else if (const int failures = self->queue_.add_failed(uid); failures % 10 == 0) {
        base::log::warn(kComponent, "object with uid {} failed {} times: {}", uid, failures, trouble);
      }
      self->queue_.done(uid);
    }
  }

  async::Task<> process(std::string uid) {
    const GraphNode* found = graph_.find(uid);
    if (!found) co_return;
    const GraphNode node = *found;  // the graph changes while we wait
    if (node.foreground) co_return co_await advance_foreground(node);
    if (node.orphan) co_return co_await orphan_dependents(node);
    if (node.deleting || node.owners.empty()) co_return;
    const Owners owners = co_await sort_owners(node);
    if (owners.dangling.empty() && owners.waiting.empty()) co_return;
    if (!owners.solid.empty()) co_return co_await keep_owners(node, owners.solid);
    co_await remove(node, !owners.waiting.empty() && !graph_.dependents(uid).empty());
  }

  async::Task<Owners> sort_owners(GraphNode node) {
    Owners sorted;
    for (const auto& owner : node.owners) {
      const GraphNode* known = graph_.find(owner.uid);
      if (known && (known->ns.empty() || known->ns == node.ns)) {
        (known->foreground ? sorted.waiting : sorted.solid).push_back(owner);
      } else if (co_await exists(owner, node.ns)) {
        sorted.solid.push_back(owner);
      } else {
        sorted.dangling.push_back(owner);
      }
    }
    co_return sorted;
  }

  // Asked of the server: our copy may be behind. What cannot be judged counts as there: never delete on doubt.
  async::Task<bool> exists(OwnerReference owner, std::string ns) {
    const api::Type* type = types_.find_kind(owner.api_version, owner.kind);
    if (!type || !type->stored() || (type->namespaced && ns.empty())) co_return true;
    auto object = co_await client_.find(resource_of(*type), type->namespaced ? ns : "", owner.name);
    co_return object&& base::get_string(*object, "metadata.uid") == owner.uid;
  }

  async::Task<> remove(GraphNode node, bool foreground) {
    try {
      co_await client_.remove_with(node.resource, node.ns, node.name,
                                   json::object{{"propagationPolicy", foreground ? "Foreground" : "Background"},
                                                {"preconditions", json::object{{"uid", node.uid}}}});
    } catch (const base::StatusError& e) {
      if (!e.is_conflict()) throw;  // another object has taken the name
      co_return;
    }
    deleted_->add();
    base::log::debug(kComponent, "deleted {} {}/{}: its owners are gone", node.resource.plural, node.ns, node.name);
  }

  // Dependents judge for themselves; the finalizer goes when none that blocks is left.
  async::Task<> advance_foreground(GraphNode node) {
    bool blocked = false;
    for (const auto& uid : graph_.dependents(node.uid)) {
      const GraphNode* dependent = graph_.find(uid);
      if (!dependent) continue;
      if (!dependent->deleting) queue_.add(uid);
      for (const auto& owner : dependent->owners) blocked = blocked || (owner.uid == node.uid && owner.block);
    }
    if (!blocked) co_await drop_finalizer(node, kForegroundFinalizer);
  }

  async::Task<> orphan_dependents(GraphNode node) {
    const std::set<std::string> dependents = graph_.dependents(node.uid);
    for (const auto& uid : dependents) {
      const GraphNode* found = graph_.find(uid);
      if (!found) continue;
      const GraphNode dependent = *found;
      std::vector<OwnerReference> others;
      for (const auto& owner : dependent.owners) {
        if (owner.uid != node.uid) others.push_back(owner);
      }
      co_await keep_owners(dependent, others);
    }
    co_await drop_finalizer(node, kOrphanFinalizer);
  }

  // The object as it is now, where it still is the one we mean.
  async::Task<std::optional<json::value>> fresh(GraphNode node) {
    auto object = co_await client_.find(node.resource, node.ns, node.name);
    if (object && base::get_string(*object, "metadata.uid") != node.uid) object.reset();
    co_return object;
  }

  async::Task<> keep_owners(GraphNode node, std::vector<OwnerReference> keep) {
    auto object = co_await fresh(node);
    if (!object) co_return;
    json::array references;
    for (const auto& reference : base::get_array(*object, "metadata.ownerReferences")) {
      const std::string uid = base::get_string(reference, "uid");
      if (std::ranges::any_of(keep, [&](const OwnerReference& o) { return o.uid == uid; }))
        references.push_back(reference);
    }
    co_await patch_metadata(node, *object, "ownerReferences", std::move(references));
  }

  async::Task<> drop_finalizer(GraphNode node, std::string_view finalizer) {
    auto object = co_await fresh(node);
    if (!object) co_return;
    json::array kept;
    for (const auto& name : base::get_array(*object, "metadata.finalizers")) {
      if (!name.is_string() || name.as_string() != finalizer) kept.push_back(name);
    }
    co_await patch_metadata(node, *object, "finalizers", std::move(kept));
  }

  async::Task<> patch_metadata(GraphNode node, json::value object, std::string field, json::array value) {
    json::value patch = json::object{
        {"metadata", json::object{{"resourceVersion", base::get_string(object, "metadata.resourceVersion")}}}};
    base::set(patch, {"metadata", field}, std::move(value));
    try {
      co_await client_.merge_patch(node.resource, node.ns, node.name, std::move(patch));
    } catch (const base::StatusError& e) {
      if (!e.is_not_found()) throw;
    }
  }

  async::TaskGroup& group_;
  const api::TypeRegistry& types_;
  client::ApiClient client_;
  WorkQueue<std::string> queue_;
  OwnerGraph graph_;
  std::vector<std::shared_ptr<client::Cache>> sources_;
  base::Counter* deleted_;
};

}  // namespace

void start_garbage_collector(async::TaskGroup& group, client::Caches& caches, const api::TypeRegistry& types,
                             client::ApiClient client, base::Metrics& metrics) {
  auto collector = std::make_shared<Collector>(group, caches, types, std::move(client), metrics);
  collector->subscribe();
  group.spawn("garbage collector", Collector::run(collector));
}

}  // namespace mainstay::reconcile
