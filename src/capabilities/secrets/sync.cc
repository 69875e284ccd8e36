#include "capabilities/secrets/sync.h"

#include "base/encoding.h"
#include "base/status.h"

namespace mainstay::secrets {
namespace {
namespace resources = client::resources;

constexpr std::string_view kTeamLabel = "mainstay.dev/team", kOfLabel = "mainstay.dev/secrets-of";

bool valid_key(std::string_view key) {
  if (key.empty() || key.size() > 253 || key == "." || key == "..") return false;
  return key.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
         std::string_view::npos;
}

// What the condition Ready is to say, where it is not true.
struct NotReady {
  std::string reason, message;
};

struct Syncer {
  client::ApiClient client;
  std::shared_ptr<KvStore> store;
  std::shared_ptr<client::Cache> syncs, namespaces;
  const base::Clock& clock;

  static async::Task<reconcile::Outcome> run(std::shared_ptr<Syncer> self, reconcile::Name name) {
    const client::ObjectPtr sync = self->syncs->get(name.ns, name.name);
    if (!sync) co_return reconcile::Outcome::done();
    reconcile::Pass pass(self->client, kSecretSyncs, sync);
    if (pass.deleting()) co_return reconcile::Outcome::done();
    std::optional<NotReady> problem;
    std::int64_t version = 0;
    try {
      version = co_await self->copy(*sync);
    } catch (const NotReady& e) {
      problem = e;
    }
    json::value& object = pass.object();
    base::set(object, "status.observedGeneration", base::get_int(*sync, "metadata.generation"));
    if (problem) {
      pass.set_condition("Ready", false, problem->reason, problem->message, self->clock);
    } else {
      if (base::get_int(*sync, "status.syncedVersion") != version)
        base::set(object, "status.syncedAt", json::string(base::rfc3339(self->clock.now())));
      base::set(object, "status.syncedVersion", version);
      pass.set_condition("Ready", true, "Synced", "the Secret holds the newest version", self->clock);
    }
    co_await pass.commit();
    co_return reconcile::Outcome::done();
  }

  // Gives the version copied; throws NotReady.
  async::Task<std::int64_t> copy(const json::value& sync) {
    const std::string ns = base::get_string(sync, "metadata.namespace");
    const client::ObjectPtr space = namespaces->get("", ns);
    const std::string team = space ? base::label(*space, kTeamLabel) : "";
    const auto path = KvPath::entry(base::get_string(sync, "spec.path"));
    if (!path) throw NotReady{"InvalidPath", "spec.path: " + path.error().message};
    if (team.empty() || path->team != team)
      throw NotReady{"Refused", fmt::format("spec.path: a namespace of team \"{}\" cannot have secrets of \"{}\"; only "
                                            "paths that begin with its own team",
                                            team, path->team)};
    const client::ObjectPtr entry = store->find(*path);
    const json::value* version = entry ? find_version(*entry, 0) : nullptr;
    if (version == nullptr)
      throw NotReady{"NotFound", fmt::format("there is no secret {}: write one with `mainstay secret put {}`",
                                             path->to_string(), path->to_string())};
    if (!readable(*version))
      throw NotReady{"Deleted",
                     "the newest version was deleted; the Secret, where there is one, keeps the last values"};
    const auto values = store->open(*path, *version);
    if (!values) throw NotReady{"Unreadable", values.error().message};
    auto data = secret_data(*values, sync);
    if (!data) throw NotReady{"InvalidKeys", data.error().message};
    co_await write(sync, *std::move(data), path->to_string(), base::get_int(*version, "version"));
    co_return base::get_int(*version, "version");
  }

  async::Task<> write(const json::value& sync, json::object data, std::string path, std::int64_t version) {
    const std::string ns = base::get_string(sync, "metadata.namespace"),
                      name = base::get_string(sync, "spec.target.name");
    json::object metadata = {
        {"name", name},
        {"namespace", ns},
        {"labels", {{"app.kubernetes.io/managed-by", "mainstay"}}},
        {"annotations", {{"mainstay.dev/secret-path", path}, {"mainstay.dev/secret-version", std::to_string(version)}}},
        {"ownerReferences", json::array{reconcile::owner_reference(sync)}}};
    json::value secret = {{"apiVersion", "v1"},
                          {"kind", "Secret"},
                          {"metadata", std::move(metadata)},
                          {"type", base::get_string(sync, "spec.target.type", "Opaque")},
                          {"data", std::move(data)}};
    const auto present = co_await client.find(resources::kSecrets, ns, name);
    if (!present) {
      co_await client.create(resources::kSecrets, ns, std::move(secret));
      co_return;
    }
    if (!reconcile::is_controlled_by(*present, base::get_string(sync, "metadata.uid")))
      throw NotReady{"Conflict", fmt::format("the Secret {} is there and is not this SecretSync's: name another in "
                                             "spec.target.name, or delete it",
                                             name)};
    const json::value* had = base::find(*present, "data");
    if (had != nullptr && *had == secret.at("data") &&
        base::annotation(*present, "mainstay.dev/secret-version") == std::to_string(version))
      co_return;
    base::set(secret, "metadata.resourceVersion", json::string(base::get_string(*present, "metadata.resourceVersion")));
    co_await client.update(resources::kSecrets, std::move(secret));
  }
};

// A RoleBinding in the team's own namespace for each namespace whose ServiceAccounts may read.
struct Readers {
  client::ApiClient client;
  std::shared_ptr<client::Cache> namespaces, bindings;

  static async::Task<reconcile::Outcome> run(std::shared_ptr<Readers> self, reconcile::Name name) {
    const client::ObjectPtr ns = self->namespaces->get("", name.name);
    const std::string label = ns ? base::label(*ns, kTeamLabel) : "";
    const client::ObjectPtr own = label.empty() ? nullptr : self->namespaces->get("", label);
    // Only a namespace that is the team's counts, never one that merely has its name.
    const bool wanted = own && base::label(*own, kTeamLabel) == label &&
                        base::get_string(*ns, "metadata.deletionTimestamp").empty() &&
                        base::get_string(*own, "metadata.deletionTimestamp").empty();
    const std::string binding = "secrets-reader-" + name.name;
    for (const client::ObjectPtr& one : self->bindings->list()) {
      if (base::label(*one, kOfLabel) != name.name) continue;
      const std::string where = base::get_string(*one, "metadata.namespace");
      if (!wanted || where != label)
        co_await self->client.remove(resources::kRoleBindings, where, base::get_string(*one, "metadata.name"));
    }
    if (!wanted) co_return reconcile::Outcome::done();
    co_await self->client.apply(
        resources::kRoleBindings,
        {{"apiVersion", "rbac.authorization.k8s.io/v1"},
         {"kind", "RoleBinding"},
         {"metadata", {{"name", binding}, {"namespace", label}, {"labels", {{kOfLabel, name.name}}}}},
         {"roleRef",
          {{"apiGroup", "rbac.authorization.k8s.io"}, {"kind", "ClusterRole"}, {"name", "mainstay:secrets-reader"}}},
         {"subjects", json::array{{{"apiGroup", "rbac.authorization.k8s.io"},
                                   {"kind", "Group"},
                                   {"name", "system:serviceaccounts:" + name.name}}}}});
    co_return reconcile::Outcome::done();
  }
};

}  // namespace

base::Result<json::object> secret_data(const json::object& values, const json::value& sync) {
  json::object out;
  const auto put = [&out](std::string_view key, const json::value& value) -> base::Result<> {
    if (!valid_key(key))
      return base::fail(base::ErrorCode::kInvalid,
                        fmt::format("the key \"{}\" cannot be one of a Secret (letters, digits, - _ .): name another "
                                    "with spec.keys[].as",
                                    key.substr(0, 253)));
    out[key] = base::base64(value.is_string() ? std::string(value.get_string()) : json::serialize(value));
    return {};
  };
  const json::array& keys = base::get_array(sync, "spec.keys");
  for (const json::value& wanted : keys) {
    const std::string key = base::get_string(wanted, "key");
    const json::value* value = values.if_contains(key);
    if (value == nullptr)
      return base::fail(base::ErrorCode::kInvalid, fmt::format("spec.keys: the secret has no key \"{}\"", key));
    MAINSTAY_TRY_VOID(put(base::get_string(wanted, "as", key), *value));
  }
  if (!keys.empty()) return out;
  for (const auto& [key, value] : values) {
    MAINSTAY_TRY_VOID(put(key, value));
  }
  return out;
}

void add_sync_controllers(platform::Host& host, std::shared_ptr<KvStore> store) {
  auto syncs = host.caches().of(kSecretSyncs);
  auto namespaces = host.caches().of(resources::kNamespaces);
  auto syncer = std::make_shared<Syncer>(Syncer{host.client("secrets"), store, syncs, namespaces, host.clock()});
  reconcile::ControllerOptions options;
  options.name = "secretsync";
  options.primary = kSecretSyncs;
  options.also = {
      {kSecretEntries,
       [syncs](const json::value& entry) {
         const std::string path =
             base::get_string(entry, "metadata.namespace") + "/" + base::get_string(entry, "spec.path");
         std::vector<reconcile::Name> out;
         for (const client::ObjectPtr& sync : syncs->list()) {
           if (base::get_string(*sync, "spec.path") == path)
             out.push_back({base::get_string(*sync, "metadata.namespace"), base::get_string(*sync, "metadata.name")});
         }
         return out;
       }},
      {resources::kSecrets, reconcile::owner_of_kind("SecretSync")}};
  host.add_controller(options, [syncer](reconcile::Name name) { return Syncer::run(syncer, std::move(name)); });
  auto readers = std::make_shared<Readers>(
      Readers{host.client("secrets"), namespaces, host.caches().of(resources::kRoleBindings)});
  reconcile::ControllerOptions of_namespaces;
  of_namespaces.name = "secrets-readers";
  of_namespaces.primary = resources::kNamespaces;
  of_namespaces.also = {{resources::kRoleBindings, [](const json::value& binding) {
                           const std::string of = base::label(binding, kOfLabel);
                           return of.empty() ? std::vector<reconcile::Name>{} : std::vector<reconcile::Name>{{"", of}};
                         }}};
  host.add_controller(of_namespaces,
                      [readers](reconcile::Name name) { return Readers::run(readers, std::move(name)); });
}

}  // namespace mainstay::secrets
