#include "capabilities/identity/capability.h"

#include <stdexcept>

#include "base/files.h"
#include "base/ids.h"
#include "base/log.h"
#include "capabilities/identity/federation.h"
#include "capabilities/identity/lifecycle.h"
#include "capabilities/identity/provider.h"
#include "capabilities/identity/routes.h"
#include "capabilities/identity/team_reconcile.h"
#include "capabilities/identity/tokens.h"
#include "platform/interfaces/people.h"

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

// 32 random bytes; made at the first start.
base::Result<std::string> sign_in_secret(const std::filesystem::path& file) {
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) {
    MAINSTAY_TRY_VOID(base::write_file(file, base::random_hex(32), 0600));
  }
  MAINSTAY_TRY(std::string text, base::read_file(file, 1024));
  if (text.size() != 64)
    return base::fail(base::ErrorCode::kInvalid, file.string() + ": must hold 64 hexadecimal digits");
  return text;
}

// A new signing key when its time has come; sleeps until then.
async::Task<> rotate_keys(platform::Host& host, std::shared_ptr<KeyRing> keys) {
  for (;;) {
    if (auto pruned = keys->prune(); !pruned)
      base::log::warn("identity", "old signing keys: {}", pruned.error().message);
    const auto left = keys->next_rotation() - host.clock().now();
    if (left.count() > 0) {
      co_await async::sleep_for(left);
      continue;
    }
    if (auto rotated = keys->rotate(); !rotated) {
      base::log::error("identity", "a new signing key: {}", rotated.error().message);
      co_await async::sleep_for(std::chrono::hours(1));
    }
  }
}

class KnownPeople final : public platform::People {
 public:
  explicit KnownPeople(client::Caches& caches)
      : users_(caches.of(resources::kUsers)), teams_(caches.of(resources::kTeams)) {}
  base::Result<api::UserInfo> person(const std::string& user) const override {
    return user_info(users_->get("", user), teams_->list());
  }

 private:
  std::shared_ptr<client::Cache> users_, teams_;
};

async::Task<> start(platform::Host& host, std::shared_ptr<Provider> provider) {
  auto verifier = std::make_shared<TokenVerifier>(provider->keys, host.config().server_url(),
                                                  std::vector<std::string>{host.config().server_url()}, host.caches(),
                                                  host.clock(), [&host] { host.api().recheck_streams(); });
  host.api().authenticator().add(
      "token",
      [verifier](std::string secret, std::string, std::optional<base::SystemTime> as_of)
          -> async::Task<std::optional<base::Result<api::UserInfo>>> { co_return verifier->verify(secret, as_of); });
  co_await verifier->synced();
  co_await provider->sessions.cache()->synced();
  co_await provider->credentials.offer_first_password(host.config().dir("admin.password"));
  host.tasks().spawn("signing keys", rotate_keys(host, provider->keys));
}

}  // namespace

void register_identity(platform::Host& host) {
  host.add_files(embedded::identity_files());
  auto keys = KeyRing::open(host.config().dir("keys"), host.clock());
  if (!keys) throw std::runtime_error("token signing keys: " + keys.error().message);
  auto secret = sign_in_secret(host.config().dir("keys") / "sign-in.key");
  if (!secret) throw std::runtime_error("sign-in key: " + secret.error().message);
  auto provider = std::make_shared<Provider>(host, *keys, *secret);
  add_routes(host, provider);
  add_lifecycle(host, provider);
  add_client_admission(host);
  add_federation(host, provider);
  // The caches start with the program's tasks, so the verifier is made when the API answers.
  host.provide<platform::People>(std::make_shared<KnownPeople>(host.caches()));
  host.on_start("identity", [&host, provider]() { return start(host, provider); });
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
