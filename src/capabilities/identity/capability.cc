#include "capabilities/identity/capability.h"

#include <stdexcept>

#include "capabilities/identity/routes.h"
#include "capabilities/identity/team_reconcile.h"
#include "capabilities/identity/tokens.h"

namespace mainstay::embedded {
base::EmbeddedFiles identity_files();
}

namespace mainstay::identity {
namespace {
namespace resources = client::resources;

void add_controllers(platform::Host& host) {
  auto teams = host.caches().of(resources::kTeams);
  auto namespaces = host.caches().of(resources::kNamespaces);
  const client::ApiClient client = host.client("identity");
  reconcile::ControllerOptions options;
  options.name = "team";
  options.primary = resources::kTeams;
  options.also = {{resources::kNamespaces, reconcile::owner_of_kind("Team")},
                  {resources::kRoleBindings, [](const json::value& binding) {
                     // Bindings belong to a namespace that belongs to a team of that name, or to one before its last
                     // dash.
                     std::vector<reconcile::Name> out;
                     if (!base::get_string(binding, "metadata.name").starts_with("mainstay:")) return out;
                     const std::string ns = base::get_string(binding, "metadata.namespace");
                     out.push_back({"", ns});
                     for (auto dash = ns.find('-'); dash != std::string::npos; dash = ns.find('-', dash + 1))
                       out.push_back({"", ns.substr(0, dash)});
                     return out;
                   }}};
  host.add_controller(options, team_reconcile(client, teams, namespaces, host.clock()));
  reconcile::ControllerOptions ns_options;
  ns_options.name = "namespace-defaults";
  ns_options.primary = resources::kNamespaces;
  host.add_controller(ns_options, namespace_reconcile(client, namespaces, host.authority().certificate_pem()));
}

}  // namespace

void register_identity(platform::Host& host) {
  host.add_files(embedded::identity_files());
  auto keys = open_signing_keys(host.config().dir("keys"));
  if (!keys) throw std::runtime_error("token signing keys: " + keys.error().message);
  add_routes(host, *keys);
  // The caches start with the program's tasks, so the verifier is made when the API answers.
  host.on_start("identity", [&host, keys = *keys]() {
    struct Start {
      static async::Task<> go(platform::Host& host, std::vector<crypto::PrivateKey> keys) {
        auto verifier = std::make_shared<TokenVerifier>(std::move(keys), host.config().server_url(),
                                                        std::vector<std::string>{host.config().server_url()},
                                                        host.caches(), host.clock());
        host.api().authenticator().add(
            "token",
            [verifier](std::string secret, std::string) -> async::Task<std::optional<base::Result<api::UserInfo>>> {
              co_return verifier->verify(secret);
            });
        co_await verifier->synced();
      }
    };
    return Start::go(host, keys);
  });
  add_controllers(host);
  platform::CapabilityInfo info;
  info.name = "identity";
  info.title = "Identity";
  info.number = 1;
  info.provider = "built-in";
  info.lost_without = "Nobody can be let in or kept out; every other capability depends on it.";
  host.add_capability(std::move(info));
}

}  // namespace mainstay::identity
