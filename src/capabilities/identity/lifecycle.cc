#include "capabilities/identity/lifecycle.h"

#include "base/encoding.h"
#include "base/ids.h"
#include "base/status.h"
#include "base/strings.h"
#include "capabilities/identity/resources.h"

namespace mainstay::identity {
namespace {

constexpr std::string_view kFinalizer = "mainstay.dev/identity";

async::Task<> leave_teams(client::ApiClient client, std::shared_ptr<client::Cache> teams, std::string user) {
  for (const client::ObjectPtr& team : teams->list()) {
    json::array stay;
    for (const json::value& member : base::get_array(*team, "spec.members")) {
      if (base::get_string(member, "user") != user) stay.push_back(member);
    }
    if (stay.size() == base::get_array(*team, "spec.members").size()) continue;
    json::value changed = *team;
    base::set(changed, "spec.members", std::move(stay));
    co_await client.update(resources::kTeams, std::move(changed));  // a conflict is tried again with the whole pass
  }
}

struct UserLifecycle {
  std::shared_ptr<Provider> provider;

  async::Task<reconcile::Outcome> operator()(reconcile::Name name) const {
    const client::ObjectPtr user = provider->users->get("", name.name);
    if (!user) co_return reconcile::Outcome::done();
    reconcile::Pass pass(provider->client, resources::kUsers, user);
    if (!pass.deleting()) {
      if (!pass.has_finalizer(kFinalizer)) pass.add_finalizer(kFinalizer);
      co_await pass.commit();
      // Refused from the first moment; and who is let in again begins by signing in.
      if (!is_active(*user)) co_await provider->sign_out_everywhere(name.name);
      co_return reconcile::Outcome::done();
    }
    if (!pass.has_finalizer(kFinalizer)) co_return reconcile::Outcome::done();
    const client::ApiClient client = provider->client;
    co_await leave_teams(client, provider->teams, name.name);
    auto tokens = provider->host.caches().of(resources::kAccessTokens);
    for (const client::ObjectPtr& token : tokens->list()) {
      if (base::get_string(*token, "spec.user") == name.name)
        co_await client.remove(resources::kAccessTokens, "", base::get_string(*token, "metadata.name"));
    }
    co_await provider->sign_out_everywhere(name.name);
    co_await client.remove(resources::kUserCredentials, "", name.name);
    pass.remove_finalizer(kFinalizer);
    co_await pass.commit();
    co_return reconcile::Outcome::done();
  }
};

struct Expiry {
  client::ApiClient client;
  client::Resource resource;
  std::shared_ptr<client::Cache> cache;
  const base::Clock& clock;

  async::Task<reconcile::Outcome> operator()(reconcile::Name name) const {
    const client::ObjectPtr object = cache->get("", name.name);
    if (!object) co_return reconcile::Outcome::done();
    const auto end = base::parse_rfc3339(base::get_string(*object, "spec.expiresAt"));
    const auto left = end ? *end - clock.now() : std::chrono::nanoseconds(0);
    if (left > std::chrono::nanoseconds(0))
      co_return reconcile::Outcome::after(std::min<std::chrono::nanoseconds>(left, std::chrono::hours(24)));
    // Only as it was read: a refresh in between gave it a longer life.
    co_await client.remove_with(
        resource, "", name.name,
        {{"preconditions", {{"resourceVersion", base::get_string(*object, "metadata.resourceVersion")}}}});
    co_return reconcile::Outcome::done();
  }
};

// A grant ends with what it stands on, also where that was deleted as an object: its browser's session (unless it was
// asked to last beyond), its user, its application.
struct GrantLifecycle {
  std::shared_ptr<Provider> provider;

  bool stands(const json::value& grant) const {
    const std::string user_name = base::get_string(grant, "spec.user"), uid = base::get_string(grant, "spec.clientUID");
    const auto client = provider->clients.find(base::get_string(grant, "spec.client"));
    if (!client || client->uid != uid) return false;
    if (user_name.empty()) return true;  // a device that nobody has let in yet
    const client::ObjectPtr user = provider->users->get("", user_name);
    if (!user || base::get_string(*user, "metadata.uid") != base::get_string(grant, "spec.userUID")) return false;
    return base::get_bool(grant, "spec.lastsBeyondSession") ||
           provider->sessions.cache()->get("", base::get_string(grant, "spec.session")) != nullptr;
  }

  async::Task<reconcile::Outcome> operator()(reconcile::Name name) const {
    const client::ObjectPtr grant = provider->grants.cache()->get("", name.name);
    if (grant && !stands(*grant)) co_await provider->grants.end(name.name);
    co_return reconcile::Outcome::done();
  }
};

struct ClientLifecycle {
  std::shared_ptr<Provider> provider;

  // The Secret with the application's secret, unless its team brought one; "" or what is wrong with the one there.
  async::Task<std::string> secret_of(json::value object, std::string id, std::string secret_name) const {
    const std::string ns = base::get_string(object, "metadata.namespace");
    if (auto present = co_await provider->client.find(resources::kSecrets, ns, secret_name)) {
      const json::value* kept = base::find(*present, {"data", "client-secret"});
      const auto text =
          base::base64_decode(kept != nullptr && kept->is_string() ? std::string_view(kept->as_string()) : "");
      co_return text && text->size() >= 16
          ? ""
          : fmt::format("the Secret {} has no client-secret of 16 bytes or more: add it, or delete the Secret",
                        secret_name);
    }
    const json::value secret = {{"apiVersion", "v1"},
                                {"kind", "Secret"},
                                {"type", "Opaque"},
                                {"metadata",
                                 {{"name", secret_name},
                                  {"namespace", ns},
                                  {"ownerReferences", json::array{reconcile::owner_reference(object)}}}},
                                {"data",
                                 {{"client-id", base::base64(id)},
                                  {"client-secret", base::base64(base::random_hex(24))},
                                  {"issuer", base::base64(provider->issuer())}}}};
    co_await provider->client.create(resources::kSecrets, ns, secret);
    co_return "";
  }

  async::Task<reconcile::Outcome> operator()(reconcile::Name name) const {
    const client::ObjectPtr object = provider->clients.cache()->get(name.ns, name.name);
    if (!object) co_return reconcile::Outcome::done();
    reconcile::Pass pass(provider->client, resources::kOAuthClients, object);
    if (pass.deleting()) co_return reconcile::Outcome::done();
    const std::string id = name.ns + "." + name.name;
    const auto who = provider->clients.find(id);
    if (!who) co_return reconcile::Outcome::done();
    const std::string problem = who->is_public ? "" : co_await secret_of(*object, id, who->secret_name);
    base::set(pass.object(), "status.clientID", json::value(id));
    base::set(pass.object(), "status.issuer", json::value(provider->issuer()));
    if (!who->is_public) base::set(pass.object(), "status.secretName", json::value(who->secret_name));
    base::set(pass.object(), "status.observedGeneration", json::value(base::get_int(*object, "metadata.generation")));
    pass.set_condition("Ready", problem.empty(), problem.empty() ? "Registered" : "BadSecret",
                       problem.empty() ? "users can sign in to it" : problem, provider->host.clock());
    co_await pass.commit();
    co_return reconcile::Outcome::done();
  }
};

void add_expiry(platform::Host& host, const client::ApiClient& client, const client::Resource& resource) {
  reconcile::ControllerOptions options;
  options.name = "expiry-of-" + resource.plural;
  options.primary = resource;
  host.add_controller(options, Expiry{client, resource, host.caches().of(resource), host.clock()});
}

async::Task<> admit_client(platform::Host* host, api::AdmissionRequest& request) {
  std::vector<base::Cause> wrong;
  for (const char* field : {"redirectURIs", "postLogoutRedirectURIs"}) {
    int at = 0;
    for (const json::value& uri : base::get_array(*request.object, std::string("spec.") + field)) {
      if (auto good = check_redirect_uri(uri.is_string() ? std::string_view(uri.as_string()) : ""); !good)
        wrong.push_back({fmt::format("spec.{}[{}]", field, at), "FieldValueInvalid", good.error().message});
      ++at;
    }
  }
  const std::string account = base::get_string(*request.object, "spec.serviceAccountName");
  if (!account.empty() && base::get_bool(*request.object, "spec.public"))
    wrong.push_back({"spec.serviceAccountName", "FieldValueInvalid", "a public client has no credentials of its own"});
  if (!wrong.empty()) throw base::invalid("OAuthClient", request.name, wrong);
  // Its secret is that account's rights: who writes this, whatever they change, must have them to give.
  const api::Attributes what{"create", "", "serviceaccounts", "token", request.ns, account, ""};
  if (!account.empty() && !host->api().authorizer().authorize(request.user, what).allowed)
    throw base::forbidden(fmt::format("spec.serviceAccountName: {} may not make tokens for the service account {}",
                                      request.user.name, account));
  co_return;
}

}  // namespace

void add_lifecycle(platform::Host& host, const std::shared_ptr<Provider>& provider) {
  for (const client::Resource& resource :
       {resources::kAccessTokens, resources::kOAuthGrants, resources::kLoginSessions})
    add_expiry(host, provider->client, resource);
  reconcile::ControllerOptions users;
  users.name = "user";
  users.primary = resources::kUsers;
  host.add_controller(users, UserLifecycle{provider});
  const auto grants_with = [provider](std::string field, std::string value) {
    std::vector<reconcile::Name> out;
    for (const client::ObjectPtr& grant : provider->grants.cache()->list()) {
      if (base::get_string(*grant, field) == value) out.push_back({"", base::get_string(*grant, "metadata.name")});
    }
    return out;
  };
  reconcile::ControllerOptions grants;
  grants.name = "oauth-grant";
  grants.primary = resources::kOAuthGrants;
  grants.also = {
      {resources::kLoginSessions,
       [grants_with](const json::value& o) {
         return grants_with("spec.session", base::get_string(o, "metadata.name"));
       }},
      {resources::kUsers,
       [grants_with](const json::value& o) { return grants_with("spec.user", base::get_string(o, "metadata.name")); }},
      {resources::kOAuthClients, [grants_with](const json::value& o) {
         return grants_with("spec.client", fmt::format("{}.{}", base::get_string(o, "metadata.namespace"),
                                                       base::get_string(o, "metadata.name")));
       }}};
  host.add_controller(grants, GrantLifecycle{provider});
  reconcile::ControllerOptions clients;
  clients.name = "oauth-client";
  clients.primary = resources::kOAuthClients;
  clients.also = {{resources::kSecrets, reconcile::owner_of_kind("OAuthClient")}};
  host.add_controller(clients, ClientLifecycle{provider});
}

void add_client_admission(platform::Host& host) {
  api::AdmissionPlugin plugin;
  plugin.name = "oauth-clients";
  plugin.matches = [](const api::AdmissionRequest& request) {
    return request.type->plural == "oauthclients" && request.subresource.empty() && request.object != nullptr;
  };
  plugin.admit = [host = &host](api::AdmissionRequest& request) { return admit_client(host, request); };
  host.api().add_admission(std::move(plugin));
}

}  // namespace mainstay::identity
