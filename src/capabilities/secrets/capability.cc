#include "capabilities/secrets/capability.h"

#include "capabilities/secrets/kv_routes.h"
#include "capabilities/secrets/login_tokens.h"
#include "capabilities/secrets/sync.h"
#include "capabilities/secrets/sys_routes.h"

namespace mainstay::embedded {
base::EmbeddedFiles secrets_files();
}

namespace mainstay::secrets {
namespace {

async::Task<> start(platform::Host* host, std::shared_ptr<KvStore> store, std::shared_ptr<LoginTokens> tokens) {
  co_await store->synced();
  co_await tokens->synced();
  host->api().authenticator().add(
      "login token",
      [tokens](std::string secret, std::string, std::optional<base::SystemTime> as_of)
          -> async::Task<std::optional<base::Result<api::UserInfo>>> { co_return tokens->verify(secret, as_of); });
}

}  // namespace

void register_secrets(platform::Host& host) {
  host.add_files(embedded::secrets_files());
  auto store = std::make_shared<KvStore>(host);
  auto tokens = std::make_shared<LoginTokens>(host);
  add_kv_routes(host, store);
  add_sys_routes(host, store);
  add_auth_routes(host, tokens);
  host.api().authenticator().add_source(&vault_token);
  host.on_start("secrets", [&host, store, tokens] { return start(&host, store, tokens); });
  add_sync_controllers(host, store);
  reconcile::ControllerOptions expiry;
  expiry.name = "logintoken-expiry";
  expiry.primary = kLoginTokens;
  host.add_controller(expiry, tokens->expiry());
  platform::CapabilityInfo info;
  info.name = "secrets";
  info.title = "General developer tools";
  info.number = 2;
  info.part = "secrets";
  info.provider = "built-in";
  info.lost_without = "Passwords end up in code and in chat.";
  host.add_capability(std::move(info));
}

}  // namespace mainstay::secrets
