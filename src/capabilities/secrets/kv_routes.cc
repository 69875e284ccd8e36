#include "capabilities/secrets/kv_routes.h"

#include "base/status.h"
#include "capabilities/secrets/vault_answer.h"

namespace mainstay::secrets {
namespace {

using Store = std::shared_ptr<KvStore>;

template <class T>
T must(base::Result<T> result) {
  if (!result) throw base::from_error(result.error());
  return *std::move(result);
}

// A bad body is 400 in this API, not 422.
template <class T>
T parsed(base::Result<T> result) {
  if (!result && result.error().code == base::ErrorCode::kInvalid) throw base::bad_request(result.error().message);
  return must(std::move(result));
}

bool is_list(const net::Request& request) {
  return request.method == "LIST" || (request.method == "GET" && request.query.get("list") == "true");
}
bool is_write(const net::Request& request) { return request.method == "POST" || request.method == "PUT"; }

KvPath entry_path(const ContextPtr& context) { return parsed(KvPath::entry(context->params.at("path"))); }

void note(const ContextPtr& context, const KvPath& path, std::int64_t version) {
  (*context->audit_annotations)["mainstay.dev/secret-path"] = path.to_string();
  if (version > 0) (*context->audit_annotations)["mainstay.dev/secret-version"] = std::to_string(version);
}

async::Task<std::string> body_of(ContextPtr context) { co_return co_await context->http->body->read_all(kMaxBody); }

std::int64_t asked_version(const net::Request& request) {
  const std::string_view text = request.query.get("version");
  if (text.empty()) return 0;
  if (text.size() > 9 || text.find_first_not_of("0123456789") != std::string_view::npos)
    throw base::bad_request("version: must be a number");
  return std::stoll(std::string(text));
}

client::ObjectPtr existing(const Store& store, const KvPath& path) {
  client::ObjectPtr entry = store->find(path);
  if (!entry) throw base::StatusError(404, "NotFound", "");
  return entry;
}

// data/<path>

async::Task<net::Response> read_data(Store store, ContextPtr context) {
  const KvPath path = entry_path(context);
  const std::int64_t asked = asked_version(*context->http);
  note(context, path, asked);
  const client::ObjectPtr entry = existing(store, path);
  const json::value* version = find_version(*entry, asked);
  if (version == nullptr) throw base::StatusError(404, "NotFound", "");
  note(context, path, base::get_int(*version, "version"));
  json::object data = {{"data", nullptr}, {"metadata", version_answer(*entry, *version)}};
  const bool there = readable(*version);
  if (there) data["data"] = must(store->open(path, *version));
  net::Response response = answer(std::move(data));
  if (!there) response.status = 404;  // with its metadata, as the API has it
  response.headers.set("Cache-Control", "no-store");
  co_return response;
}

async::Task<net::Response> write_data(Store store, ContextPtr context) {
  const KvPath path = entry_path(context);
  note(context, path, 0);
  WriteBody body = parsed(parse_write(co_await body_of(context)));
  const std::string by = context->user.name;
  KvStore::Written written;
  if (context->http->method == "PATCH")
    written = co_await store->merge(path, std::move(body), by);
  else
    written = co_await store->write(path, std::move(body), by);
  note(context, path, written.version);
  co_return answer(version_answer(written.entry, *find_version(written.entry, written.version)));
}

async::Task<net::Response> delete_data(Store store, ContextPtr context) {
  const KvPath path = entry_path(context);
  const client::ObjectPtr entry = existing(store, path);
  note(context, path, current_version(*entry));
  const base::SystemTime now = base::real_clock().now();
  co_await store->change(path, [now](json::value& e) { delete_versions(e, {current_version(e)}, now); });
  co_return net::Response::empty(204);
}

async::Task<net::Response> data(Store store, ContextPtr context) {
  const std::string& method = context->http->method;
  if (method == "GET" || method == "HEAD") co_return co_await read_data(store, context);
  if (is_write(*context->http) || method == "PATCH") co_return co_await write_data(store, context);
  if (method == "DELETE") co_return co_await delete_data(store, context);
  throw base::StatusError(405, "MethodNotAllowed", "unsupported operation");
}

api::Attributes data_attributes(const Store& store, const api::RequestContext& context) {
  api::Attributes what{"get", "mainstay.dev", "secrets", "kv", "", "", ""};
  const auto path = KvPath::entry(context.params.at("path"));
  const std::string& method = context.http->method;
  if (method == "DELETE") what.verb = "delete";
  if (method == "PATCH") what.verb = "patch";
  if (is_write(*context.http)) what.verb = path && store->exists(*path) ? "update" : "create";
  if (path) what.ns = path->team, what.name = path->path;
  return what;
}

// delete/, undelete/ and destroy/<path> with {"versions": […]}

async::Task<net::Response> versions(Store store, ContextPtr context, std::string action) {
  if (!is_write(*context->http)) throw base::StatusError(405, "MethodNotAllowed", "unsupported operation");
  const KvPath path = entry_path(context);
  const std::vector<std::int64_t> wanted = parsed(parse_versions(co_await body_of(context)));
  std::string listed;
  for (const std::int64_t version : wanted) listed += (listed.empty() ? "" : ",") + std::to_string(version);
  note(context, path, 0);
  (*context->audit_annotations)["mainstay.dev/secret-version"] = listed;
  const base::SystemTime now = base::real_clock().now();
  co_await store->change(path, [action, wanted, now](json::value& entry) {
    if (action == "delete") delete_versions(entry, wanted, now);
    if (action == "undelete") undelete_versions(entry, wanted);
    if (action == "destroy") destroy_versions(entry, wanted);
  });
  co_return net::Response::empty(204);
}

// metadata/<path>

async::Task<net::Response> list(Store store, ContextPtr context) {
  const KvPath folder = parsed(KvPath::folder(context->params.at("path")));
  note(context, folder, 0);
  json::array keys;
  for (std::string& key : children(store->paths(folder.team), folder.path)) keys.emplace_back(std::move(key));
  if (keys.empty()) throw base::StatusError(404, "NotFound", "");
  co_return answer(json::object{{"keys", std::move(keys)}});
}

async::Task<net::Response> metadata(Store store, ContextPtr context) {
  const std::string& method = context->http->method;
  if (is_list(*context->http)) co_return co_await list(store, context);
  const KvPath path = entry_path(context);
  note(context, path, 0);
  if (method == "GET" || method == "HEAD") co_return answer(metadata_answer(*existing(store, path)));
  if (method == "DELETE") {
    co_await store->remove(path);
    co_return net::Response::empty(204);
  }
  if (!is_write(*context->http) && method != "PATCH")
    throw base::StatusError(405, "MethodNotAllowed", "unsupported operation");
  const MetadataBody change = parsed(parse_metadata(co_await body_of(context)));
  const bool patch = method == "PATCH";
  const base::SystemTime now = base::real_clock().now();
  co_await store->change(
      path, [change, patch, now](json::value& entry) { change_metadata(entry, change, patch, now); }, !patch);
  co_return net::Response::empty(204);
}

api::Attributes metadata_attributes(const api::RequestContext& context) {
  api::Attributes what{"get", "mainstay.dev", "secrets", "metadata", "", "", ""};
  const auto path = KvPath::folder(context.params.at("path"));
  const std::string& method = context.http->method;
  if (is_list(*context.http)) what.verb = "list";
  if (is_write(*context.http)) what.verb = "update";
  if (method == "PATCH") what.verb = "patch";
  // All versions go for good: it takes the right to delete values.
  if (method == "DELETE") what.verb = "delete", what.subresource = "kv";
  if (path) what.ns = path->team, what.name = path->path;
  return what;
}

// The root: the teams whose secrets the caller may list.
async::Task<net::Response> teams(platform::Host* host, Store store, ContextPtr context) {
  if (!is_list(*context->http)) throw base::StatusError(405, "MethodNotAllowed", "unsupported operation");
  json::array keys;
  for (const std::string& team : store->teams()) {
    const api::Attributes what{"list", "mainstay.dev", "secrets", "metadata", team, "", ""};
    if (host->api().authorizer().authorize(context->user, what).allowed) keys.emplace_back(team + "/");
  }
  if (keys.empty()) throw base::StatusError(404, "NotFound", "");
  co_return answer(json::object{{"keys", std::move(keys)}});
}

async::Task<net::Response> config(ContextPtr context) {
  if (context->http->method != "GET")
    throw base::StatusError(405, "MethodNotAllowed",
                            "the engine's settings are the platform's; set max_versions and "
                            "cas_required on a secret's metadata");
  co_return answer(
      json::object{{"cas_required", false}, {"delete_version_after", "0s"}, {"max_versions", kDefaultVersions}});
}

void add(platform::Host& host, std::string pattern, api::Permission permission, std::string summary, Handler handler) {
  api::Route route;
  route.method = "*";
  route.pattern = std::move(pattern);
  route.permission = std::move(permission);
  route.summary = std::move(summary);
  route.handler = in_vault_form(std::move(handler));
  route.on_denied = &denied;
  route.audit_reads = true;
  host.api().add_route(std::move(route));
}

}  // namespace

void add_kv_routes(platform::Host& host, Store store) {
  add(host, "/v1/secret/data/{path...}",
      api::Require([store](const api::RequestContext& c) { return data_attributes(store, c); }),
      "Secrets: read, write, patch or delete the newest version (Vault KV 2)",
      [store](ContextPtr c) { return data(store, std::move(c)); });
  for (const std::string action : {"delete", "undelete", "destroy"}) {
    const std::string verb = action == "undelete" ? "update" : "delete";
    add(host, "/v1/secret/" + action + "/{path...}", api::Require([verb](const api::RequestContext& c) {
          api::Attributes what{verb, "mainstay.dev", "secrets", "kv", "", "", ""};
          if (const auto path = KvPath::entry(c.params.at("path"))) what.ns = path->team, what.name = path->path;
          return what;
        }),
        "Secrets: " + action + " versions (Vault KV 2)",
        [store, action](ContextPtr c) { return versions(store, std::move(c), action); });
  }
  add(host, "/v1/secret/metadata/{path...}", api::Require(&metadata_attributes),
      "Secrets: versions and settings of one, or a list of names (Vault KV 2)",
      [store](ContextPtr c) { return metadata(store, std::move(c)); });
  add(host, "/v1/secret/metadata", api::Authenticated{"lists only the teams whose secrets the caller may list"},
      "Secrets: teams (Vault KV 2)", [&host, store](ContextPtr c) { return teams(&host, store, std::move(c)); });
  add(host, "/v1/secret/config", api::Authenticated{"says how the engine is set, nothing else"},
      "Secrets: the engine's settings (Vault KV 2)", [](ContextPtr c) { return config(std::move(c)); });
}

}  // namespace mainstay::secrets
