#include "capabilities/console/capability.h"

#include "base/status.h"
#include "capabilities/console/assets.h"
#include "capabilities/console/stream.h"

namespace mainstay::console {
namespace {
using ContextPtr = std::shared_ptr<api::RequestContext>;

async::Task<net::Response> page(ContextPtr context) {
  const auto path = context->params.find("path");
  co_return serve_asset(embedded_assets(), path == context->params.end() ? "" : path->second, context->http->headers);
}

// People who type the endpoint's address into a browser come to the console; programs are told what they were told
// before there was one.
async::Task<net::Response> front_door(ContextPtr context) {
  if (!context->http->headers.get("Accept").contains("text/html"))
    throw base::StatusError(404, "NotFound", "the server could not find the requested resource: /");
  net::Response response = net::Response::empty(302);
  response.headers.set("Location", "/console/");
  response.headers.set("Vary", "Accept");
  harden(response.headers);
  co_return response;
}

}  // namespace

void register_console(platform::Host& host) {
  const api::Public why{"the console's files hold no data: it asks the API with the token of who signs in"};
  for (const char* pattern : {"/console", "/console/{path...}"})
    host.api().add_route({"GET", pattern, why, "The web console", page, nullptr});
  host.api().add_route(
      {"GET", "/", api::Public{"a redirection for browsers"}, "Sends browsers to the console", front_door, nullptr});
  add_stream_route(host);
}

}  // namespace mainstay::console
