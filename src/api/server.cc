// The chain: authenticate, match, impersonate, authorize, act (admission is part of the verbs), audit.
#include <fmt/format.h>

#include "api/protobuf.h"
#include "api/server_impl.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/status.h"
#include "base/strings.h"

namespace mainstay::embedded {
base::EmbeddedFiles api_files();
}

namespace mainstay::api {
namespace {

constexpr std::string_view kServiceAccount = "system:serviceaccount:";

Attributes about_user(std::string resource, std::string name, std::string ns = "") {
  return {"impersonate", "", std::move(resource), "", std::move(ns), std::move(name), ""};
}

// Whom Impersonate-User names, as RBAC sees it.
Attributes impersonation_target(const std::string& name) {
  if (!name.starts_with(kServiceAccount)) return about_user("users", name);
  const std::string rest = name.substr(kServiceAccount.size());
  const auto colon = rest.find(':');
  if (colon == std::string::npos)
    throw base::bad_request("Impersonate-User: a service account is system:serviceaccount:<namespace>:<name>");
  return about_user("serviceaccounts", rest.substr(colon + 1), rest.substr(0, colon));
}

}  // namespace

Server::Impl::Impl(Dependencies dependencies)
    : d(dependencies),
      authorizer(d.store),
      verbs(types, d.store, d.clock, [this](AdmissionRequest& request) { return admit(request); }),
      streams(d.runtime.executor(), "streams"),
      rights_changed(d.runtime.executor()) {
  watchers = &d.metrics.gauge("apiserver_longrunning_requests", "Watches being served.", {{"verb", "WATCH"}});
  d.metrics.on_scrape([this,
                       reads = &d.metrics.gauge("apiserver_current_inflight_requests", "Requests under way.",
                                                {{"request_kind", "readOnly"}}),
                       writes = &d.metrics.gauge("apiserver_current_inflight_requests", "Requests under way.",
                                                 {{"request_kind", "mutating"}})] {
    reads->set(inflight.total(false));
    writes->set(inflight.total(true));
  });
}

Server::Server(Dependencies dependencies) : impl_(std::make_unique<Impl>(dependencies)) {
  if (auto added = add_types(embedded::api_files()); !added)
    throw std::logic_error("api/schemas: " + added.error().message);
  impl_->add_builtin_routes();
}
Server::~Server() = default;

base::Result<> Server::add_types(base::EmbeddedFiles files) {
  std::vector<base::EmbeddedFile> schemas;
  for (const auto& file : files) {
    if (file.path.starts_with("schemas/")) schemas.push_back(file);
  }
  return impl_->types.add_files(schemas);
}

void Server::add_route(Route route) { impl_->routes.push_back(std::move(route)); }
void Server::add_admission(AdmissionPlugin plugin) { impl_->admission.push_back(std::move(plugin)); }
void Server::add_subresource(Subresource subresource) { impl_->subresources.push_back(std::move(subresource)); }
Authenticator& Server::authenticator() { return impl_->authenticator; }
const Authorizer& Server::authorizer() const { return impl_->authorizer; }
const TypeRegistry& Server::types() const { return impl_->types; }
const std::vector<Route>& Server::routes() const { return impl_->routes; }
async::TaskGroup& Server::streams() { return impl_->streams; }
async::Runtime& Server::runtime() { return impl_->d.runtime; }

async::Task<> Server::stop() {
  impl_->streams.cancel();
  co_await impl_->streams.join();
}

base::Result<> Server::start() {
  MAINSTAY_TRY_VOID(impl_->types.resolve());
  MAINSTAY_TRY_VOID(impl_->index());
  impl_->started = true;
  return {};
}

base::Result<> Server::Impl::index() {
  for (const Type* type : types.all()) type_index[type->group + "/" + type->version + "/" + type->plural] = type;
  // Mutating plugins first, otherwise as registered.
  std::vector<AdmissionPlugin> ordered;
  for (const bool mutating : {true, false}) {
    std::ranges::copy_if(admission, std::back_inserter(ordered),
                         [&](const AdmissionPlugin& plugin) { return plugin.mutating == mutating; });
  }
  admission = std::move(ordered);
  for (const auto& route : routes) {
    if (std::holds_alternative<std::monostate>(route.permission) || !route.handler) {
      return base::fail(base::ErrorCode::kInvalid,
                        fmt::format("route {} {} has no permission or no handler", route.method, route.pattern));
    }
  }
  for (const auto& subresource : subresources) {
    const Type* type = types.find_plural(subresource.group, subresource.resource);
    if (!type || subresource.verb.empty() || !subresource.handler) {
      return base::fail(base::ErrorCode::kInvalid,
                        fmt::format("subresource {}/{} is of an unknown resource, or has no verb or handler",
                                    subresource.resource, subresource.subresource));
    }
    subresource_index[subresource.group + "/" + subresource.resource + "/" + subresource.subresource].push_back(
        &subresource);
  }
  return table.build(routes);
}

const Type* Server::Impl::find_type(std::string_view group, std::string_view version, std::string_view plural) const {
  auto found = type_index.find(fmt::format("{}/{}/{}", group, version, plural));
  return found == type_index.end() ? nullptr : found->second;
}

ExchangePtr Server::Impl::begin(std::shared_ptr<net::Request> request) {
  auto x = std::make_shared<Exchange>();
  x->http = std::move(request);
  x->audit_id = base::uuid4();
  x->received = d.clock.now();
  x->begun = d.clock.steady();
  return x;
}

async::Task<net::Response> Server::handle(std::shared_ptr<net::Request> request) {
  auto x = impl_->begin(std::move(request));
  co_return co_await impl_->chain(x, std::nullopt);
}

async::Task<net::Response> Server::handle_as(UserInfo user, std::shared_ptr<net::Request> request) {
  auto x = impl_->begin(std::move(request));
  x->in_process = true;
  add_implied_groups(user);
  co_return co_await impl_->chain(x, std::move(user));
}

async::Task<net::Response> Server::Impl::chain(ExchangePtr x, std::optional<UserInfo> known) {
  std::optional<base::StatusError> error;
  net::Response response;
  try {
    x->rights = rights;
    x->roles = roles;
    match(*x);  // first, so that a refusal can be told in the route's own words
    if (known) {
      x->user = std::move(*known);
    } else if (x->route && x->route->own_credentials) {
      add_implied_groups(x->user);
    } else {
      auto user = co_await authenticator.authenticate(*x->http);
      if (!user) throw base::unauthorized(user.error().message);
      x->user = std::move(*user);
    }
    impersonate(*x);
    authorize(*x);
    response = co_await run(x);
    guard(x, response);
  } catch (const base::StatusError& e) {
    error = e;
  } catch (const async::Cancelled&) {
    throw;
  } catch (const std::exception& e) {
    base::log::error(kComponent, "{} {} failed (audit id {}): {}", x->http->method, x->http->path, x->audit_id,
                     e.what());
    error = base::internal_error("something went wrong in the server; its log has more under audit id " + x->audit_id);
  }
  if (error) response = refuse(x, *error);
  finish(*x, response, error ? error->message() : "");
  co_return std::move(response);
}

async::Task<net::Response> Server::Impl::run(ExchangePtr x) {
  if (x->route) co_return co_await x->route->handler(context(*x));
  co_await accept_protobuf(types.protobuf(), *x->http, kMaxBody);
  if (x->handler) co_return co_await x->handler->handler(context(*x));
  if (x->verb == "watch") co_return co_await act(x);
  auto slot = inflight.take(x->user, x->changes);
  co_return co_await act(x);
}

std::shared_ptr<RequestContext> Server::Impl::context(const Exchange& x) const {
  return std::make_shared<RequestContext>(RequestContext{x.http, x.user, x.params, x.audit_id, x.annotations});
}

void Server::Impl::match(Exchange& x) const {
  x.verb = base::lower(x.http->method);
  const std::string_view path = x.http->path;
  // A capability's own route wins over an object's path: it may lie below one (users/{name}/token).
  auto found = table.match(x.http->method, path);
  if (found.route) {
    x.route = found.route;
    x.params = std::move(found.params);
    x.changes =
        !x.route->reads_only && x.http->method != "GET" && x.http->method != "HEAD" && x.http->method != "OPTIONS";
    return;
  }
  if (path.starts_with("/api/") || path.starts_with("/apis/")) {
    x.path = parse_object_path(path);
    if (x.path) return match_object(x);
  }
  if (!found.allowed.empty()) {
    throw base::StatusError(405, "MethodNotAllowed",
                            fmt::format("{} is not allowed on {}; allowed: {}", x.http->method, path, found.allowed),
                            {{"allow", found.allowed}});
  }
  throw base::StatusError(404, "NotFound", fmt::format("the server could not find the requested resource: {}", path));
}

void Server::Impl::match_object(Exchange& x) const {
  const ObjectPath& path = *x.path;
  x.type = find_type(path.group, path.version, path.resource);
  if (!x.type || (!path.ns.empty() && !x.type->namespaced) ||
      (path.ns.empty() && x.type->namespaced && !path.name.empty())) {
    throw base::StatusError(404, "NotFound", "the server could not find the requested resource",
                            {{"group", path.group}, {"kind", path.resource}});
  }
  x.verb = object_verb(x.http->method, path, x.http->query);
  bool known = path.subresource.empty();
  if (auto found = subresource_index.find(path.group + "/" + path.resource + "/" + path.subresource);
      found != subresource_index.end()) {
    known = true;
    for (const auto* candidate : found->second) {
      if (candidate->method != "*" && candidate->method != x.http->method) continue;
      x.handler = candidate;
      x.verb = candidate->verb;
    }
    if (!x.handler) x.verb.clear();  // known, but not with this method
  }
  static constexpr std::array<std::string_view, 2> kOfObjects{"status", "scale"};
  const bool builtin = (std::ranges::find(kOfObjects, path.subresource) != kOfObjects.end() &&
                        x.type->subresources.contains(path.subresource)) ||
                       (path.subresource == "finalize" && path.resource == "namespaces" && path.group.empty());
  if (!known && builtin && path.rest.empty()) {
    known = true;
    if (x.verb != "get" && x.verb != "update" && x.verb != "patch") x.verb.clear();
  }
  if (!known)
    throw base::StatusError(404, "NotFound",
                            fmt::format("{} has no subresource {}", x.type->qualified(), path.subresource),
                            {{"group", path.group}, {"kind", path.resource}});
  const bool unserved = path.subresource.empty() && !x.type->verbs.contains(x.verb);
  const bool misplaced =
      x.verb == "create" && !x.handler && (!path.name.empty() || (x.type->namespaced && path.ns.empty()));
  if (x.verb.empty() || unserved || misplaced) {
    throw base::StatusError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource");
  }
  x.changes = x.verb != "get" && x.verb != "list" && x.verb != "watch";
  x.what = Attributes{x.verb, path.group, path.resource, path.subresource, path.ns, path.name, ""};
  if (path.resource == "namespaces" && path.group.empty()) x.what.ns = path.name;
  // A list of one name is what resourceNames can allow.
  if (path.name.empty() && (x.verb == "list" || x.verb == "watch") && x.http->query.has("fieldSelector")) {
    if (auto fields = base::FieldSelector::parse(x.http->query.get("fieldSelector")))
      x.what.name = fields->required("metadata.name");
  }
  x.params = {{"namespace", path.ns}, {"name", path.name}, {"path", path.rest}};
}

void Server::Impl::impersonate(Exchange& x) const {
  const net::Headers& headers = x.http->headers;
  const std::string name(headers.get("Impersonate-User"));
  UserInfo wanted;
  std::vector<Attributes> asked;
  for (const auto& [header, value] : headers.all()) {
    if (base::iequals(header, "Impersonate-Group")) {
      wanted.groups.push_back(value);
      asked.push_back(about_user("groups", value));
    } else if (base::iequals(header, "Impersonate-Uid")) {
      wanted.uid = value;
      asked.push_back({"impersonate", "authentication.k8s.io", "uids", "", "", value, ""});
    } else if (base::lower(header).starts_with("impersonate-extra-")) {
      const std::string key = base::lower(header).substr(18);
      wanted.extra[key].push_back(value);
      asked.push_back({"impersonate", "authentication.k8s.io", "userextras", key, "", value, ""});
    }
  }
  if (name.empty() && asked.empty()) return;
  if (name.empty()) throw base::bad_request("Impersonate-Group, -Uid and -Extra need an Impersonate-User");
  asked.insert(asked.begin(), impersonation_target(name));
  for (const auto& attributes : asked) {
    Decision decision = authorizer.authorize(x.user, attributes);
    if (!decision.allowed) {
      x.decision = std::move(decision);
      x.decision.reason = "impersonation refused";
      throw base::forbidden(forbidden_message(x.user, attributes, ""));
    }
  }
  wanted.name = name;
  add_implied_groups(wanted);
  x.impersonator = std::exchange(x.user, std::move(wanted)).name;
}

void Server::Impl::authorize(Exchange& x) const {
  if (x.route) {
    if (const auto* require = std::get_if<Require>(&x.route->permission)) {
      x.what = (*require)(*context(x));
      static const std::set<std::string, std::less<>> kReading{"get", "list", "watch"};
      if (!x.what.resource.empty()) x.changes = !kReading.contains(x.what.verb);
    } else {
      x.what.verb = x.verb;
      x.what.path = x.http->path;
      const bool authenticated = std::holds_alternative<Authenticated>(x.route->permission);
      if (authenticated && x.user.anonymous())
        throw base::unauthorized("log in first (`mainstay login`): this needs a user");
      x.decision = {true, authenticated ? "any authenticated user" : "public"};
      return;
    }
  }
  x.decision = authorizer.authorize(x.user, x.what);
  if (x.decision.allowed) return;
  // Clients of other protocols send their credentials only when asked to.
  if (x.route && x.user.anonymous() && !x.what.resource.empty())
    throw base::unauthorized("log in first (`mainstay login`): this needs a user");
  throw base::forbidden(forbidden_message(x.user, x.what, x.decision.reason));
}

std::string forbidden_message(const UserInfo& user, const Attributes& what, std::string_view reason) {
  if (what.resource.empty())
    return fmt::format("forbidden: User \"{}\" cannot {} path \"{}\"", user.name, what.verb, what.path);
  const std::string qualified = what.group.empty() ? what.resource : what.resource + "." + what.group;
  const std::string resource = what.subresource.empty() ? what.resource : what.resource + "/" + what.subresource;
  const std::string named = what.name.empty() ? qualified : fmt::format("{} \"{}\"", qualified, what.name);
  const std::string where =
      what.ns.empty() ? std::string("at the cluster scope") : fmt::format("in the namespace \"{}\"", what.ns);
  const std::string hint = user.anonymous() ? std::string("you are not logged in: `mainstay login`")
                                            : fmt::format(
                                                  "see what you may do with `kubectl auth can-i --list{}`; an owner of "
                                                  "the team or an administrator can grant it",
                                                  what.ns.empty() ? "" : " -n " + what.ns);
  return fmt::format("{} is forbidden: User \"{}\" cannot {} resource \"{}\" in API group \"{}\" {} ({})", named,
                     user.name, what.verb, resource, what.group, where, hint);
}

net::Response Server::Impl::refuse(const ExchangePtr& x, const base::StatusError& error) const {
  const bool denied = error.code() == 401 || error.code() == 403;
  if (denied && x->route && x->route->on_denied && !x->decision.allowed) {
    return x->route->on_denied(*context(*x), error.code(), error.message());
  }
  net::Response response = net::Response::json(error.code(), base::json::value(error.to_json()));
  if (error.code() == 401) response.headers.set("WWW-Authenticate", "Bearer realm=\"mainstay\"");
  if (auto* seconds = error.details().if_contains("retryAfterSeconds"); seconds && seconds->is_int64()) {
    response.headers.set("Retry-After", std::to_string(seconds->get_int64()));
  }
  if (auto* allow = error.details().if_contains("allow"); allow && allow->is_string()) {
    response.headers.set("Allow", std::string(allow->get_string()));
  }
  return response;
}

void Server::Impl::finish(const Exchange& x, net::Response& response, const std::string& refusal) {
  response.headers.set("Audit-Id", x.audit_id);
  if (!response.headers.has("Cache-Control")) response.headers.set("Cache-Control", "no-cache, private");
  for (const auto& warning : x.warnings) {
    // RFC 9111 no longer defines Warning, but clients of this API print it: code, agent, quoted text.
    std::string text;
    for (char c : warning) {
      if (c == '"' || c == '\\') text += '\\';
      text += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
    response.headers.add("Warning", fmt::format("299 - \"{}\"", text));
  }
  measure(x, response.status);
  audit(x, response.status, refusal);
}

}  // namespace mainstay::api
