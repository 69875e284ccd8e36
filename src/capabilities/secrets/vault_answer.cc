#include "capabilities/secrets/vault_answer.h"

#include <fmt/format.h>

#include "base/ids.h"
#include "base/strings.h"

namespace mainstay::secrets {

net::Response answer(json::value data) {
  return net::Response::json(200, json::object{{"request_id", base::uuid4()},
                                               {"lease_id", ""},
                                               {"renewable", false},
                                               {"lease_duration", 0},
                                               {"data", std::move(data)},
                                               {"wrap_info", nullptr},
                                               {"warnings", nullptr},
                                               {"auth", nullptr}});
}

net::Response failure(int status, const std::string& message) {
  json::array errors;
  if (!message.empty()) errors.emplace_back(message);
  return net::Response::json(status == 401 ? 403 : status, json::object{{"errors", std::move(errors)}});
}

net::Response denied(const api::RequestContext&, int, const std::string& message) {
  return failure(403, "permission denied: " + message);
}

std::optional<net::Response> unsupported(const net::Headers& headers) {
  const std::string_view ns = base::trim(headers.get("X-Vault-Namespace"));
  if (!ns.empty() && ns != "root" && ns != "root/" && ns != "/")
    return failure(400,
                   "X-Vault-Namespace: there are no Vault namespaces here; the team is the first segment of the path: "
                   "secret/<team>/<name>");
  // Whoever asks for a wrapped answer means to pass it on: the secret itself must not be in it.
  const std::string_view ttl = base::trim(headers.get("X-Vault-Wrap-TTL"));
  if (!ttl.empty() && ttl != "0" && ttl != "0s")
    return failure(400,
                   "X-Vault-Wrap-TTL: answers are not wrapped here; leave the header out (-wrap-ttl, VAULT_WRAP_TTL), "
                   "and give the reader its own access instead");
  return std::nullopt;
}

Handler in_vault_form(Handler handler) {
  struct Run {
    static async::Task<net::Response> go(Handler handler, ContextPtr context) {
      if (auto refused = unsupported(context->http->headers)) co_return std::move(*refused);
      std::optional<base::StatusError> error;
      try {
        co_return co_await handler(context);
      } catch (const base::StatusError& e) {
        error = e;
      }
      co_return failure(error->code(), error->message());
    }
  };
  return [handler = std::move(handler)](ContextPtr context) { return Run::go(handler, std::move(context)); };
}

std::string presented_token(const net::Request& request) {
  if (const std::string_view token = request.headers.get("X-Vault-Token"); !token.empty()) return std::string(token);
  const std::string_view header = request.headers.get("Authorization");
  constexpr std::string_view kBearer = "bearer ";
  if (header.size() > kBearer.size() && base::iequals(header.substr(0, kBearer.size()), kBearer))
    return std::string(base::trim(header.substr(kBearer.size())));
  return "";
}

}  // namespace mainstay::secrets
