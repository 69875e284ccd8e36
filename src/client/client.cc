#include "client/client.h"

#include "base/encoding.h"
#include "base/utf8.h"
#include "client/wire.h"

namespace mainstay::client {
namespace {

constexpr std::int64_t kPageSize = 500;
constexpr std::string_view kJson = "application/json";

std::string metadata_string(const json::value& object, std::string_view field) {
  return base::get_string(object, std::string("metadata.") + std::string(field));
}

// What comes from outside, the end of a log, a commit's author, a message cut at its limit, may hold bytes that are no
// UTF-8: for those the server would refuse the whole object, now and at every later try.
std::string body_of(const json::value& value) {
  std::string text = base::to_json(value);
  return base::is_utf8(text) ? text : base::utf8_text(text);
}

// Items of a list do not repeat apiVersion and kind on foreign servers; readers of single objects expect them.
void fill_kind(json::value& item, const Resource& resource) {
  if (!item.is_object()) return;
  auto& object = item.as_object();
  if (!object.contains("apiVersion")) object["apiVersion"] = resource.api_version();
  if (!object.contains("kind") && !resource.kind.empty()) object["kind"] = resource.kind;
}

}  // namespace

async::Task<std::optional<ObjectList>> Transport::list_objects(Resource, std::string, ListQuery) {
  co_return std::nullopt;
}

async::Task<std::unique_ptr<WatchStream>> Transport::watch_objects(Resource, std::string, std::string, ListQuery) {
  co_return nullptr;
}

ApiClient::ApiClient(std::shared_ptr<Transport> transport, std::string field_manager)
    : transport_(std::move(transport)), manager_(std::move(field_manager)) {}

std::string ApiClient::path(const Resource& resource, std::string_view ns, std::string_view name,
                            std::string_view subresource) const {
  std::string path =
      resource.group.empty() ? "/api/" + resource.version : "/apis/" + resource.group + "/" + resource.version;
  if (resource.namespaced && !ns.empty()) path += "/namespaces/" + base::percent_encode(ns);
  path += "/" + resource.plural;
  if (!name.empty()) path += "/" + base::percent_encode(name, ":");
  if (!subresource.empty()) path += "/" + std::string(subresource);
  return path;
}

std::string ApiClient::manager_query(std::string_view more) const {
  std::string query = "fieldManager=" + base::percent_encode(manager_);
  if (!more.empty()) query += "&" + std::string(more);
  return query;
}

async::Task<net::ClientResponse> ApiClient::raw(net::ClientRequest request) const {
  if (!transport_) throw base::unavailable("this client has no server: it was made without a transport");
  auto transport = transport_;  // this object may go while the request is under way
  auto response = co_await transport->send(std::move(request));
  if (!response) throw base::unavailable(response.error().message);
  co_return std::move(*response);
}

async::Task<json::value> ApiClient::call(std::string method, std::string target, std::string body,
                                         std::string content_type,
                                         std::optional<std::chrono::milliseconds> limit) const {
  net::ClientRequest request;
  request.response_timeout = limit;
  request.method = std::move(method);
  request.target = std::move(target);
  request.headers.set("Accept", std::string(kJson));
  request.headers.set("User-Agent", manager_ + "/mainstay");
  if (!content_type.empty()) request.headers.set("Content-Type", std::move(content_type));
  request.body = std::move(body);
  auto response = co_await raw(std::move(request));
  if (response.status >= 400) co_await throw_status(std::move(response));
  std::string text = co_await response.body->read_all(kMaxDocumentBytes);
  auto value = base::parse_json(text, 128);
  if (!value) throw base::unavailable("the server answered with something that is not JSON: " + value.error().message);
  co_return std::move(*value);
}

async::Task<json::value> ApiClient::get(Resource resource, std::string ns, std::string name) const {
  co_return co_await call("GET", path(resource, ns, name), "", "");
}

async::Task<std::optional<json::value>> ApiClient::find(Resource resource, std::string ns, std::string name) const {
  try {
    co_return co_await call("GET", path(resource, ns, name), "", "");
  } catch (const base::StatusError& e) {
    if (!e.is_not_found()) throw;
  }
  co_return std::nullopt;
}

async::Task<ObjectList> ApiClient::list_objects(Resource resource, std::string ns, ListQuery query) const {
  if (!transport_) throw base::unavailable("this client has no server: it was made without a transport");
  auto transport = transport_;
  if (auto shared = co_await transport->list_objects(resource, ns, query)) co_return std::move(*shared);
  ObjectList all;
  const bool one_page = query.limit > 0;
  if (!one_page) query.limit = kPageSize;
  while (true) {
    json::value page = co_await call("GET", append_query(path(resource, ns), list_query(query)), "", "");
    all.resource_version = base::get_string(page, "metadata.resourceVersion");
    if (auto* items = base::find(page, "items"); items && items->is_array()) {
      for (auto& item : items->as_array()) {
        fill_kind(item, resource);
        all.items.push_back(std::make_shared<const json::value>(std::move(item)));
      }
    }
    query.continue_token = base::get_string(page, "metadata.continue");
    if (one_page || query.continue_token.empty()) co_return std::move(all);
  }
}

async::Task<json::value> ApiClient::list(Resource resource, std::string ns, ListQuery query) const {
  ObjectList all = co_await list_objects(resource, ns, std::move(query));
  json::array items;
  items.reserve(all.items.size());
  for (const auto& item : all.items) items.push_back(*item);
  co_return json::value(json::object{{"apiVersion", resource.api_version()},
                                     {"kind", resource.kind + "List"},
                                     {"metadata", json::object{{"resourceVersion", all.resource_version}}},
                                     {"items", std::move(items)}});
}

async::Task<json::value> ApiClient::create(Resource resource, std::string ns, json::value object) const {
  fill_kind(object, resource);
  co_return co_await call("POST", append_query(path(resource, ns), manager_query()), body_of(object),
                          std::string(kJson));
}

async::Task<json::value> ApiClient::update(Resource resource, json::value object) const {
  fill_kind(object, resource);
  std::string target = path(resource, metadata_string(object, "namespace"), metadata_string(object, "name"));
  co_return co_await call("PUT", append_query(std::move(target), manager_query()), body_of(object), std::string(kJson));
}

async::Task<json::value> ApiClient::update_status(Resource resource, json::value object) const {
  fill_kind(object, resource);
  std::string target = path(resource, metadata_string(object, "namespace"), metadata_string(object, "name"), "status");
  co_return co_await call("PUT", append_query(std::move(target), manager_query()), body_of(object), std::string(kJson));
}

async::Task<json::value> ApiClient::merge_patch(Resource resource, std::string ns, std::string name, json::value patch,
                                                std::string subresource) const {
  std::string target = append_query(path(resource, ns, name, subresource), manager_query());
  co_return co_await call("PATCH", std::move(target), body_of(patch), "application/merge-patch+json");
}

async::Task<json::value> ApiClient::apply(Resource resource, json::value object, bool force,
                                          std::string subresource) const {
  fill_kind(object, resource);
  std::string target =
      path(resource, metadata_string(object, "namespace"), metadata_string(object, "name"), subresource);
  target = append_query(std::move(target), manager_query(force ? "force=true" : ""));
  co_return co_await call("PATCH", std::move(target), body_of(object), "application/apply-patch+yaml");
}

async::Task<> ApiClient::remove(Resource resource, std::string ns, std::string name, std::string propagation) const {
  co_await remove_with(std::move(resource), std::move(ns), std::move(name),
                       json::object{{"propagationPolicy", propagation}});
}

async::Task<> ApiClient::remove_with(Resource resource, std::string ns, std::string name, json::object options) const {
  options["apiVersion"] = "v1";
  options["kind"] = "DeleteOptions";
  try {
    co_await call("DELETE", path(resource, ns, name), base::to_json(json::value(std::move(options))),
                  std::string(kJson));
  } catch (const base::StatusError& e) {
    if (!e.is_not_found()) throw;
  }
}

async::Task<json::value> ApiClient::create_subresource(Resource resource, std::string ns, std::string name,
                                                       std::string subresource, json::value body,
                                                       std::optional<std::chrono::milliseconds> limit) const {
  std::string target = append_query(path(resource, ns, name, subresource), manager_query());
  co_return co_await call("POST", std::move(target), body_of(body), std::string(kJson), limit);
}

}  // namespace mainstay::client
