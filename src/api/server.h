// The API server: the handler chain (authenticate, route, authorize, admit, act, audit) over the object verbs and the
// capabilities' routes. handle() is the one entrance, for HTTPS and for in-process clients alike.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/admission.h"
#include "api/audit.h"
#include "api/auth.h"
#include "api/route.h"
#include "api/types.h"
#include "async/runtime.h"
#include "base/clock.h"
#include "base/config.h"
#include "base/metrics.h"
#include "net/http.h"
#include "store/backend.h"

namespace mainstay::api {

class WatchFeed;
struct ListResult;

// Objects of one type, as in-process clients ask for them.
struct Collection {
  std::string group, version, plural;
  std::string ns;  // "": all
  std::string label_selector, field_selector, resource_version, continue_token;
  std::size_t limit = 0;
};

class Server {
 public:
  struct Dependencies {
    async::Runtime& runtime;
    const base::Config& config;
    base::Clock& clock;
    base::Metrics& metrics;
    store::Backend& store;
    AuditLog& audit;
  };
  explicit Server(Dependencies dependencies);
  ~Server();

  // Registration, before start(): the only phase in which these may be called.
  base::Result<> add_types(base::EmbeddedFiles files);
  void add_route(Route route);
  void add_admission(AdmissionPlugin plugin);
  // A subresource handled by a capability: GET pods/{name}/log. `verb` is RBAC's (get, create…).
  struct Subresource {
    std::string group, resource, subresource, method, verb, summary;
    // Params of the context: "namespace" and "name". The parent object's existence is NOT checked before.
    std::function<async::Task<net::Response>(std::shared_ptr<RequestContext>)> handler;
  };
  void add_subresource(Subresource subresource);
  Authenticator& authenticator();
  const Authorizer& authorizer() const;
  const TypeRegistry& types() const;
  // Resolves schemas and checks the tables; an error names what is wrong (a route without permission, a dangling $ref).
  base::Result<> start();

  // The whole chain. Never throws StatusError: it is turned into a response here.
  async::Task<net::Response> handle(std::shared_ptr<net::Request> request);
  // The same for a caller already authenticated (in-process service identities).
  async::Task<net::Response> handle_as(UserInfo user, std::shared_ptr<net::Request> request);
  // In-process list and watch that share the store's records instead of copying them through text. Authorized and
  // counted as handle_as() does. Throw StatusError.
  async::Task<ListResult> list_as(UserInfo user, Collection which);
  async::Task<std::unique_ptr<WatchFeed>> watch_as(UserInfo user, Collection which);
  // To be called where a credential may have ended before its time: a user disabled, a grant or a pod gone. Answers
  // that go on (watches, followed logs, exec) are looked at again, and end with their caller's credential or right.
  // Changes of RBAC need no call.
  void recheck_streams();
  // Cancels and joins responses that in-process clients still stream. After the last request, before the loop ends.
  async::Task<> stop();
  async::TaskGroup& streams();
  async::Runtime& runtime();
  // The route table, for docs and the authorization audit.
  const std::vector<Route>& routes() const;

  struct Impl;  // of server*.cc

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace mainstay::api
