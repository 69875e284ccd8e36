// Answers in the form of the Vault API, errors too.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "api/route.h"
#include "base/json.h"
#include "base/status.h"
#include "net/http.h"

namespace mainstay::secrets {
namespace json = boost::json;
using ContextPtr = std::shared_ptr<api::RequestContext>;
using Handler = std::function<async::Task<net::Response>(ContextPtr)>;

net::Response answer(json::value data);  // {"data": …} with the fields every answer has
// {"errors": [message]}; none where the message is empty, as the API has it for what is not there. 401 becomes 403.
net::Response failure(int status, const std::string& message);
net::Response denied(const api::RequestContext& context, int status, const std::string& message);  // Route::on_denied
// What a client asks for by a header that is not offered here, and that would mislead it if it were passed over: a
// Vault namespace, a wrapped answer. 400; nullopt where it asks for neither.
std::optional<net::Response> unsupported(const net::Headers& headers);
// Runs the handler; its StatusErrors come out in this form, and `unsupported` requests are refused.
Handler in_vault_form(Handler handler);
// The token a request presents: X-Vault-Token, or Bearer. "" where none.
std::string presented_token(const net::Request& request);

}  // namespace mainstay::secrets
