// A route outside the object verbs, as data: method, pattern, permission, summary, handler. OpenAPI, docs and the
// authorization audit derive from the table; a route without a permission stops the program at start.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "api/user.h"
#include "net/http.h"

namespace mainstay::api {

// One request on its way through the chain.
struct RequestContext {
  std::shared_ptr<net::Request> http;
  UserInfo user;
  std::map<std::string, std::string> params;  // of the pattern
  std::string audit_id;
  // Goes into the audit line beside who and what (a version, never a value).
  std::shared_ptr<std::map<std::string, std::string>> audit_annotations =
      std::make_shared<std::map<std::string, std::string>>();
};

// Everyone, also without a token (health, OIDC discovery). Give the reason.
struct Public {
  std::string why;
};
// Any authenticated user; the handler itself checks more where it must.
struct Authenticated {
  std::string why;
};
// What RBAC is asked. The function sees pattern parameters and the request.
using Require = std::function<Attributes(const RequestContext&)>;
using Permission = std::variant<std::monostate, Public, Authenticated, Require>;

struct Route {
  std::string method;   // "GET", "*" for any
  std::string pattern;  // "/git/{team}/{repo}/info/refs"; "{rest...}" last takes several segments
  Permission permission;
  std::string summary;  // one line, for OpenAPI and docs
  std::function<async::Task<net::Response>(std::shared_ptr<RequestContext>)> handler;
  // What an unauthenticated or forbidden client is told; default: a JSON Status. Git and OCI clients need their own
  // words (WWW-Authenticate: Basic; OCI error JSON).
  std::function<net::Response(const RequestContext&, int status, const std::string& message)> on_denied;
  bool log_body_size = false;
  // The Authorization header is the handler's own to judge (OAuth clients' passwords): the request comes as anonymous.
  bool own_credentials = false;
  bool audit_reads = false;  // a line in the audit log for reads, too
  bool reads_only = false;   // a POST that changes nothing (a query that is too long for a URL): no line for it
};

}  // namespace mainstay::api
