// Our own routes: health, version, discovery and OpenAPI.
#include <fmt/format.h>

#include "api/server_impl.h"
#include "base/status.h"
#include "crypto/digest.h"

namespace mainstay::api {
namespace {
namespace json = base::json;

constexpr std::string_view kOpenApiV2Protobuf = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

Permission by_path() {
  return Require([](const RequestContext& context) {
    Attributes what;
    what.verb = "get";
    what.path = context.http->path;
    return what;
  });
}

// Attributes of a registered subresource as discovery lists them: one entry, all its verbs.
json::object subresource_entry(const Type& type, const std::string& subresource, const std::set<std::string>& verbs) {
  return json::object{{"name", type.plural + "/" + subresource},
                      {"singularName", ""},
                      {"namespaced", type.namespaced},
                      {"kind", subresource == "token"      ? "TokenRequest"
                               : subresource == "eviction" ? "Eviction"
                                                           : type.kind},
                      {"verbs", json::value_from(verbs)}};
}

// Replaces the entry whose `key` is `value`, or adds it.
void put_entry(json::array& list, std::string_view key, std::string_view value, json::value entry) {
  for (auto& other : list) {
    if (base::get_string(other, key) == value) {
      other = std::move(entry);
      return;
    }
  }
  list.push_back(std::move(entry));
}

using Handler = std::function<async::Task<net::Response>(std::shared_ptr<RequestContext>)>;

Handler answers_text(std::string text) {
  return [text](std::shared_ptr<RequestContext>) -> async::Task<net::Response> {
    co_return net::Response::text(200, text);
  };
}

json::value version_document() {
  return json::object{{"major", "1"},    {"minor", "32"},           {"gitVersion", "v1.32.0+mainstay"},
                      {"gitCommit", ""}, {"gitTreeState", "clean"}, {"buildDate", "1970-01-01T00:00:00Z"},
                      {"goVersion", ""}, {"compiler", "clang"},     {"platform", "linux/amd64"}};
}

}  // namespace

async::Task<net::Response> Server::Impl::document(std::string key, std::shared_ptr<net::Request> request,
                                                  std::string content_type, std::function<std::string()> make) {
  auto found = documents.find(key);
  if (found == documents.end()) {
    // The types do not change once started, so the pool may read them.
    auto bytes = co_await d.runtime.blocking([make] { return std::make_shared<const std::string>(make()); });
    Document made{bytes, std::move(content_type), "\"" + crypto::sha256_hex(*bytes).substr(0, 32) + "\""};
    found = documents.insert_or_assign(key, std::move(made)).first;
  }
  const Document& document = found->second;
  const bool unchanged = request->headers.get("If-None-Match") == document.etag;
  net::Response response = unchanged ? net::Response::empty(304) : net::Response::json_bytes(200, document.bytes);
  if (!unchanged) response.headers.set("Content-Type", document.content_type);
  response.headers.set("ETag", document.etag);
  response.headers.set("Vary", "Accept");
  co_return std::move(response);
}

void Server::Impl::add_subresources_to(json::value& resources, std::string_view group) const {
  json::value* list = base::find(resources, "resources");
  if (!list || !list->is_array()) return;
  const std::string version = base::get_string(resources, "groupVersion");
  for (const auto& [key, handlers] : subresource_index) {
    const Subresource& one = *handlers.front();
    const Type* type = types.find_plural(one.group, one.resource);
    if (one.group != group || type->api_version() != version) continue;
    std::set<std::string> verbs;
    for (const auto* handler : handlers) verbs.insert(handler->verb);
    put_entry(list->as_array(), "name", one.resource + "/" + one.subresource,
              subresource_entry(*type, one.subresource, verbs));
  }
}

void Server::Impl::add_subresources_to_aggregated(json::value& list) const {
  for (const auto& [key, handlers] : subresource_index) {
    const Subresource& one = *handlers.front();
    const Type* type = types.find_plural(one.group, one.resource);
    std::set<std::string> verbs;
    for (const auto* handler : handlers) verbs.insert(handler->verb);
    json::value entry = json::object{
        {"subresource", one.subresource},
        {"responseKind", json::object{{"group", type->group}, {"version", type->version}, {"kind", type->kind}}},
        {"verbs", json::value_from(verbs)}};
    for (auto& group : list.as_object()["items"].as_array()) {
      if (base::get_string(group, "metadata.name") != one.group) continue;
      for (auto& version : group.as_object()["versions"].as_array()) {
        if (base::get_string(version, "version") != type->version) continue;
        for (auto& resource : version.as_object()["resources"].as_array()) {
          if (base::get_string(resource, "resource") != one.resource) continue;
          json::value& under = resource.as_object()["subresources"];
          if (!under.is_array()) under = json::array();
          put_entry(under.as_array(), "subresource", one.subresource, entry);
        }
      }
    }
  }
}

namespace {

// The routes' handlers. Coroutines with values for parameters; `impl` outlives every request.
struct Discovery {
  static async::Task<net::Response> groups(Server::Impl* impl, std::shared_ptr<RequestContext> context, bool core) {
    auto form = negotiate(context->http->headers.get("Accept"), false);
    if (!form)
      throw base::StatusError(406, "NotAcceptable", "only the following media types are accepted: application/json");
    if (form->aggregated_discovery) {
      const std::string version = form->as_version;
      const std::string type =
          fmt::format("application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList", version);
      co_return co_await impl->document(fmt::format("aggregated/{}/{}", version, core), context->http, type,
                                        [impl, core, version] {
                                          json::value list = discovery_aggregated(impl->types, core);
                                          list.as_object()["apiVersion"] = "apidiscovery.k8s.io/" + version;
                                          impl->add_subresources_to_aggregated(list);
                                          return base::to_json(list);
                                        });
    }
    co_return co_await impl->document(core ? "api" : "apis", context->http, "application/json", [impl, core] {
      if (!core) return base::to_json(discovery_groups(impl->types));
      return base::to_json(
          json::object{{"kind", "APIVersions"},
                       {"versions", json::array{"v1"}},
                       {"serverAddressByClientCIDRs",
                        json::array{json::object{{"clientCIDR", "0.0.0.0/0"}, {"serverAddress", ""}}}}});
    });
  }

  static async::Task<net::Response> group(Server::Impl* impl, std::shared_ptr<RequestContext> context) {
    const json::value list = discovery_groups(impl->types);
    for (const auto& entry : base::get_array(list, "groups")) {
      if (base::get_string(entry, "name") != context->params["group"]) continue;
      json::value one = entry;
      one.as_object()["kind"] = "APIGroup";
      one.as_object()["apiVersion"] = "v1";
      co_return net::Response::json(200, one);
    }
    throw base::StatusError(404, "NotFound", fmt::format("there is no API group {}", context->params["group"]));
  }

  static async::Task<net::Response> resources(Server::Impl* impl, std::shared_ptr<RequestContext> context, bool core) {
    const std::string group = core ? "" : context->params["group"], version = context->params["version"];
    const bool known = std::ranges::any_of(
        impl->types.all(), [&](const Type* type) { return type->group == group && type->version == version; });
    if (!known) throw base::StatusError(404, "NotFound", fmt::format("there is no API version {}/{}", group, version));
    co_return co_await impl->document("resources/" + group + "/" + version, context->http, "application/json",
                                      [impl, group, version] {
                                        json::value document = discovery_resources(impl->types, group, version);
                                        impl->add_subresources_to(document, group);
                                        return base::to_json(document);
                                      });
  }

  static async::Task<net::Response> openapi2(Server::Impl* impl, std::shared_ptr<RequestContext> context) {
    if (context->http->headers.get("Accept").find("proto-openapi.spec.v2") != std::string_view::npos) {
      co_return co_await impl->document("openapi/v2.pb", context->http, std::string(kOpenApiV2Protobuf),
                                        [impl] { return openapi_v2_protobuf(openapi_v2(impl->types)); });
    }
    co_return co_await impl->document("openapi/v2", context->http, "application/json",
                                      [impl] { return base::to_json(openapi_v2(impl->types)); });
  }

  static async::Task<net::Response> openapi3(Server::Impl* impl, std::shared_ptr<RequestContext> context) {
    co_return co_await impl->document("openapi/v3", context->http, "application/json",
                                      [impl] { return base::to_json(openapi_v3_index(impl->types)); });
  }

  static async::Task<net::Response> openapi3_group(Server::Impl* impl, std::shared_ptr<RequestContext> context,
                                                   bool core) {
    const std::string group = core ? "" : context->params["group"], version = context->params["version"];
    const bool known = std::ranges::any_of(
        impl->types.all(), [&](const Type* type) { return type->group == group && type->version == version; });
    if (!known) throw base::StatusError(404, "NotFound", fmt::format("there is no API version {}/{}", group, version));
    co_return co_await impl->document(
        "openapi/v3/" + group + "/" + version, context->http, "application/json",
        [impl, group, version] { return base::to_json(openapi_v3(impl->types, group, version)); });
  }

  static async::Task<net::Response> ready(Server::Impl* impl) {
    if (!impl->started) throw base::unavailable("the server is starting");
    co_return net::Response::text(200, "ok");
  }
};

}  // namespace

void Server::Impl::add_builtin_routes() {
  using Context = std::shared_ptr<RequestContext>;
  auto add = [this](std::string pattern, Permission permission, std::string summary, Handler handler) {
    routes.push_back(
        Route{"GET", std::move(pattern), std::move(permission), std::move(summary), std::move(handler), {}, false});
  };
  const Public health{"probes have no credentials"};
  add("/healthz", health, "Whether the server runs", answers_text("ok"));
  add("/livez", health, "Whether the server runs", answers_text("ok"));
  add("/readyz", health, "Whether the server serves", [this](Context) { return Discovery::ready(this); });
  add("/version", Public{"clients ask it before they log in"}, "The API version served",
      [](Context) -> async::Task<net::Response> { co_return net::Response::json(200, version_document()); });
  add("/api", by_path(), "Versions of the core API", [this](Context c) { return Discovery::groups(this, c, true); });
  add("/apis", by_path(), "API groups", [this](Context c) { return Discovery::groups(this, c, false); });
  add("/api/{version}", by_path(), "Resources of the core API",
      [this](Context c) { return Discovery::resources(this, c, true); });
  add("/apis/{group}", by_path(), "Versions of an API group", [this](Context c) { return Discovery::group(this, c); });
  add("/apis/{group}/{version}", by_path(), "Resources of an API group",
      [this](Context c) { return Discovery::resources(this, c, false); });
  add("/openapi/v2", by_path(), "OpenAPI 2 document", [this](Context c) { return Discovery::openapi2(this, c); });
  add("/openapi/v3", by_path(), "Index of the OpenAPI 3 documents",
      [this](Context c) { return Discovery::openapi3(this, c); });
  add("/openapi/v3/api/{version}", by_path(), "OpenAPI 3 document of the core API",
      [this](Context c) { return Discovery::openapi3_group(this, c, true); });
  add("/openapi/v3/apis/{group}/{version}", by_path(), "OpenAPI 3 document of an API group",
      [this](Context c) { return Discovery::openapi3_group(this, c, false); });
}

}  // namespace mainstay::api
