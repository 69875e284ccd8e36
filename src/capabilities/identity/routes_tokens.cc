// What a user holds: personal access tokens, and the applications they let in; listed and ended by themselves.
#include "base/status.h"
#include "base/strings.h"
#include "capabilities/identity/provider.h"
#include "capabilities/identity/resources.h"
#include "capabilities/identity/routes.h"

namespace mainstay::identity {
namespace {

// Everybody their own; another's takes the right to the objects behind them.
std::string whose(platform::Host& host, const api::RequestContext& context, std::string_view verb) {
  const std::string user = context.params.at("name");
  if (user == context.user.name) return user;
  const api::Attributes what{std::string(verb), "mainstay.dev", "accesstokens", "", "", "", ""};
  if (!host.api().authorizer().authorize(context.user, what).allowed)
    throw base::forbidden(fmt::format("{} may see and end only their own access tokens", context.user.name));
  return user;
}

bool is_live_grant(const json::value& grant) { return base::find(grant, "spec.refresh") != nullptr; }

async::Task<net::Response> list_tokens(std::shared_ptr<Provider> provider, ContextPtr context) {
  const std::string user = whose(provider->host, *context, "list");
  json::array items;
  client::ListQuery query;
  query.field_selector = "spec.user=" + user;
  for (const auto& token : (co_await provider->client.list_objects(resources::kAccessTokens, "", query)).items) {
    items.push_back({{"id", base::get_string(*token, "metadata.name")},
                     {"type", "token"},
                     {"description", base::get_string(*token, "spec.description")},
                     {"createdAt", base::get_string(*token, "metadata.creationTimestamp")},
                     {"expiresAt", base::get_string(*token, "spec.expiresAt")}});
  }
  for (const auto& grant : provider->grants.cache()->list()) {
    if (base::get_string(*grant, "spec.user") != user || !is_live_grant(*grant)) continue;
    items.push_back({{"id", base::get_string(*grant, "metadata.name")},
                     {"type", "sign-in"},
                     {"description", base::get_string(*grant, "spec.client")},
                     {"createdAt", base::get_string(*grant, "metadata.creationTimestamp")},
                     {"expiresAt", base::get_string(*grant, "spec.expiresAt")}});
  }
  co_return net::Response::json(200, {{"apiVersion", "mainstay.dev/v1"}, {"kind", "TokenList"}, {"items", items}});
}

async::Task<net::Response> end_token(std::shared_ptr<Provider> provider, ContextPtr context) {
  const std::string user = whose(provider->host, *context, "delete"), id = context->params.at("id");
  const auto token = co_await provider->client.find(resources::kAccessTokens, "", id);
  if (token && base::get_string(*token, "spec.user") == user) {
    co_await provider->client.remove(resources::kAccessTokens, "", id);
    // The next request with it must be refused: wait until the verifier has seen it go.
    auto cache = provider->host.caches().of(resources::kAccessTokens);
    for (int i = 0; i < 500 && cache->get("", id); ++i) co_await async::sleep_for(std::chrono::milliseconds(1));
  } else {
    const client::ObjectPtr grant = provider->grants.cache()->get("", id);
    // Another's is as good as none: nobody learns what others hold.
    if (!grant || base::get_string(*grant, "spec.user") != user) throw base::not_found("tokens of this user", id);
    co_await provider->grants.end(id);
  }
  co_return net::Response::json(200, {{"apiVersion", "v1"}, {"kind", "Status"}, {"status", "Success"}});
}

}  // namespace

void add_token_routes(platform::Host& host, const std::shared_ptr<Provider>& provider) {
  const api::Authenticated own{"users see and end their own; for others the handler asks for rights on accesstokens"};
  host.api().add_route({"GET", "/apis/mainstay.dev/v1/users/{name}/tokens", own, "Access tokens and sign-ins of a user",
                        [provider](ContextPtr c) { return list_tokens(provider, std::move(c)); }, nullptr});
  host.api().add_route({"DELETE", "/apis/mainstay.dev/v1/users/{name}/tokens/{id}", own, "End one",
                        [provider](ContextPtr c) { return end_token(provider, std::move(c)); }, nullptr});
}

}  // namespace mainstay::identity
