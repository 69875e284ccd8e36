#include "reconcile/namespace_controller.h"

#include <fmt/core.h>

#include "base/status.h"
#include "base/strings.h"
#include "reconcile/controller.h"

namespace mainstay::reconcile {
namespace {

// Deletions are seen as they happen; this is for content that others hold back with finalizers.
constexpr std::chrono::seconds kLookAgain{5};

bool is_deleting(const json::value& object) { return base::find(object, "metadata.deletionTimestamp") != nullptr; }

class Cleaner {
 public:
  Cleaner(client::Caches& caches, const api::TypeRegistry& types, client::ApiClient client)
      : namespaces_(caches.of(client::resources::kNamespaces)), client_(std::move(client)) {
    for (const api::Type* type : types.all()) {
      if (type->stored() && type->namespaced)
        contents_.push_back({type->group, type->version, type->plural, true, type->kind});
    }
  }

  const std::vector<client::Resource>& contents() const { return contents_; }

  bool terminating(std::string_view ns) const {
    auto object = namespaces_->get("", ns);
    return object && is_deleting(*object);
  }

  async::Task<Outcome> reconcile(Name name) {
    auto object = namespaces_->get("", name.name);
    if (!object || !is_deleting(*object)) co_return Outcome::done();
    const json::array& finalizers = base::get_array(*object, "spec.finalizers");
    json::array others;
    for (const auto& finalizer : finalizers) {
      if (!finalizer.is_string() || finalizer.get_string() != kNamespaceFinalizer) others.push_back(finalizer);
    }
    if (others.size() == finalizers.size()) co_return Outcome::done();
    std::vector<std::string> left;
    for (const auto& resource : contents_) {
      const std::size_t remaining = co_await remove_all(resource, name.name);
      if (remaining > 0) left.push_back(fmt::format("{} {}", remaining, resource.plural));
    }
    if (left.empty()) {
      co_await let_go(name.name, std::move(others));
      co_return Outcome::done();
    }
    Pass pass(client_, client::resources::kNamespaces, object);
    pass.set_condition("NamespaceContentRemaining", true, "SomeResourcesRemain",
                       "still being deleted: " + base::join(left, ", "), base::real_clock());
    co_await pass.commit();
    co_return Outcome::after(kLookAgain);
  }

 private:
  // The last step. Nothing new can have come: creation in a namespace that is being deleted is refused.
  async::Task<> let_go(std::string ns, json::array finalizers) {
    json::value patch = json::object{{"spec", json::object{{"finalizers", std::move(finalizers)}}}};
    try {
      co_await client_.merge_patch(client::resources::kNamespaces, "", ns, std::move(patch), "finalize");
    } catch (const base::StatusError& e) {
      if (!e.is_not_found()) throw;
    }
  }

  // How many are left after asking for the deletion of all.
  async::Task<std::size_t> remove_all(client::Resource resource, std::string ns) {
    auto before = co_await client_.list_objects(resource, ns);
    if (before.items.empty()) co_return 0;
    if (std::ranges::all_of(before.items, [](const auto& object) { return is_deleting(*object); }))
      co_return before.items.size();
    co_await client_.remove_with(resource, ns, "", json::object{{"propagationPolicy", "Background"}});
    auto after = co_await client_.list_objects(resource, ns);
    co_return after.items.size();
  }

  std::shared_ptr<client::Cache> namespaces_;
  client::ApiClient client_;
  std::vector<client::Resource> contents_;
};

}  // namespace

void start_namespace_controller(async::TaskGroup& group, client::Caches& caches, const api::TypeRegistry& types,
                                client::ApiClient client, base::Metrics& metrics) {
  auto cleaner = std::make_shared<Cleaner>(caches, types, std::move(client));
  ControllerOptions options{"namespace", client::resources::kNamespaces, {}, 4};
  auto controller = std::make_shared<Controller>(
      group, caches, std::move(options), [cleaner](Name name) { return cleaner->reconcile(std::move(name)); }, metrics);
  controller->start();
  for (const auto& resource : cleaner->contents()) {
    caches.of(resource)->on_change(
        [cleaner, controller](const client::ObjectPtr& before, const client::ObjectPtr& after) {
          if (after || !before) return;
          std::string ns = base::get_string(*before, "metadata.namespace");
          if (cleaner->terminating(ns)) controller->enqueue(Name{"", std::move(ns)});
        });
  }
}

}  // namespace mainstay::reconcile
