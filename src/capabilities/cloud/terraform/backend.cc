#include "capabilities/cloud/terraform/backend.h"

#include <fmt/format.h>

#include "base/ids.h"
#include "base/status.h"
#include "capabilities/cloud/terraform/state.h"

namespace mainstay::cloud {
namespace {
using ContextPtr = std::shared_ptr<api::RequestContext>;

const client::Resource kWorkspaces{"mainstay.dev", "v1", "workspaces", true, "Workspace"};
const client::Resource kStates{"mainstay.dev", "v1", "terraformstates", true, "TerraformState"};

// 423 with the holder's lock, which the client prints.
net::Response locked(const json::value& workspace) {
  net::Response response = net::Response::text(423, base::get_string(workspace, "status.lock.info"));
  response.headers.set("Content-Type", "application/json");
  return response;
}

// Somebody (the reconciler that shows outputs, for one) changed the workspace in between: look again.
struct Raced {};

class Backend : public std::enable_shared_from_this<Backend> {
 public:
  explicit Backend(platform::Host& host) : host_(host), client_(host.client("terraform")) {}

  async::Task<net::Response> serve(ContextPtr context) {
    auto keep = shared_from_this();
    const std::string& method = context->http->method;
    if (method == "GET") co_return co_await read(context);
    const bool writes = method == "POST" || method == "PUT", locks = method == "LOCK" || method == "UNLOCK";
    if (writes || locks || method == "DELETE") {
      const std::string body = co_await context->http->body->read_all(writes ? kMaxState : kMaxLock);
      for (int attempt = 0; attempt < 16; ++attempt) {
        try {
          if (writes) co_return co_await write(context, body);
          if (method == "DELETE") co_return co_await remove(context);
          co_return method == "LOCK" ? co_await lock(context, body) : co_await unlock(context, body);
        } catch (const Raced&) {
        }
      }
      throw base::unavailable("the workspace changes too often just now; try again");  // 503: the client does
    }
    net::Response response = net::Response::text(405, "the state backend knows GET, POST, DELETE, LOCK and UNLOCK\n");
    response.headers.set("Allow", "GET, POST, PUT, DELETE, LOCK, UNLOCK");
    co_return response;
  }

 private:
  async::Task<json::value> workspace(ContextPtr context) {
    const std::string ns = context->params.at("namespace"), name = context->params.at("name");
    auto found = co_await client_.find(kWorkspaces, ns, name);
    if (!found)
      throw base::StatusError(404, "NotFound",
                              fmt::format("there is no workspace {} in {}: make one with `kubectl apply` "
                                          "(kind: Workspace, apiVersion: mainstay.dev/v1)",
                                          name, ns));
    co_return std::move(*found);
  }

  async::Task<net::Response> read(ContextPtr context) {
    const json::value ws = co_await workspace(context);
    std::string name = base::get_string(ws, "status.current");
    // An earlier version, by its name: for looking, and for going back.
    if (const auto version = context->http->query.get("version"); !version.empty()) {
      name.clear();
      for (const json::value& kept : base::get_array(ws, "status.versions")) {
        if (base::get_string(kept, "name") == version) name = version;
      }
      if (name.empty()) throw base::not_found("state", version);
    }
    if (name.empty()) co_return net::Response::empty(204);
    const json::value state = co_await client_.get(kStates, context->params.at("namespace"), name);
    net::Response response = net::Response::text(200, base::get_string(state, "spec.state"));
    response.headers.set("Content-Type", "application/json");
    co_return response;
  }

  // The lock must be the caller's where there is one, and a caller who names a lock must still hold it.
  static bool holds_lock(const json::value& ws, std::string_view id) {
    const std::string held = base::get_string(ws, "status.lock.id");
    return held.empty() ? id.empty() : held == id;
  }

  async::Task<net::Response> write(ContextPtr context, std::string text) {
    auto head = read_state(text);
    if (!head) throw base::bad_request(head.error().message);
    const json::value ws = co_await workspace(context);
    if (!holds_lock(ws, context->http->query.get("ID"))) {
      if (base::get_string(ws, "status.lock.id").empty())
        throw base::StatusError(409, "Conflict",
                                "the lock that this state was made under is no longer held; plan anew");
      co_return locked(ws);
    }
    const StateHead before{base::get_int(ws, "status.serial"), 0, base::get_string(ws, "status.lineage")};
    if (const std::string why = why_not_after(before, *head); !why.empty())
      throw base::StatusError(409, "Conflict", "the state was not written: " + why);
    const std::string ns = context->params.at("namespace"), name = context->params.at("name");
    const std::string version = fmt::format("{}-{}", name.substr(0, 200), base::random_hex(8));
    const std::string now = base::rfc3339(host_.clock().now());
    const std::size_t bytes = text.size();
    json::value object =
        json::object{{"apiVersion", "mainstay.dev/v1"},
                     {"kind", "TerraformState"},
                     {"metadata", json::object{{"name", version},
                                               {"namespace", ns},
                                               {"ownerReferences", json::array{reconcile::owner_reference(ws)}}}},
                     {"spec", json::object{{"workspace", name}, {"serial", head->serial}, {"state", std::move(text)}}}};
    co_await client_.create(kStates, ns, std::move(object));
    json::array versions = base::get_array(ws, "status.versions");
    versions.push_back(json::object{{"name", version},
                                    {"serial", head->serial},
                                    {"at", now},
                                    {"by", context->user.name},
                                    {"bytes", static_cast<std::int64_t>(bytes)}});
    std::vector<std::string> old;
    const auto most = static_cast<std::size_t>(base::get_int(ws, "spec.history", 20)) + 1;
    while (versions.size() > most) {
      old.push_back(base::get_string(versions.front(), "name"));
      versions.erase(versions.begin());
    }
    bool raced = false;
    try {
      co_await put_status(ws, json::object{{"serial", head->serial},
                                           {"lineage", head->lineage},
                                           {"resources", head->resources},
                                           {"current", version},
                                           {"updatedAt", now},
                                           {"updatedBy", context->user.name},
                                           {"versions", std::move(versions)}});
    } catch (const Raced&) {
      raced = true;
    }
    if (raced) {
      co_await client_.remove(kStates, ns, version);
      throw Raced{};
    }
    for (const std::string& gone : old) co_await client_.remove(kStates, ns, gone);
    co_return net::Response::empty(200);
  }

  // Guarded by the version that was looked at: of two who write at once, one is told to try again.
  async::Task<> put_status(const json::value& ws, json::object status) {
    status["address"] = address(ws);
    json::value patch =
        json::object{{"metadata", json::object{{"resourceVersion", base::get_string(ws, "metadata.resourceVersion")}}},
                     {"status", std::move(status)}};
    try {
      co_await client_.merge_patch(kWorkspaces, base::get_string(ws, "metadata.namespace"),
                                   base::get_string(ws, "metadata.name"), std::move(patch), "status");
    } catch (const base::StatusError& error) {
      if (!error.is_conflict()) throw;
      throw Raced{};
    }
  }

  async::Task<net::Response> remove(ContextPtr context) {
    const json::value ws = co_await workspace(context);
    if (!holds_lock(ws, context->http->query.get("ID"))) co_return locked(ws);
    // The versions stay until the workspace goes: a state deleted by mistake is the worst of mistakes.
    co_await put_status(ws, json::object{{"current", nullptr},
                                         {"serial", nullptr},
                                         {"lineage", nullptr},
                                         {"resources", nullptr},
                                         {"updatedAt", base::rfc3339(host_.clock().now())},
                                         {"updatedBy", context->user.name}});
    co_return net::Response::empty(200);
  }

  async::Task<net::Response> lock(ContextPtr context, std::string text) {
    const auto info = read_lock(text);
    if (!info) throw base::bad_request(info.error().message);
    const json::value ws = co_await workspace(context);
    const std::string held = base::get_string(ws, "status.lock.id");
    if (held == info->id) co_return net::Response::empty(200);
    if (!held.empty()) co_return locked(ws);
    co_await put_status(ws, json::object{{"lock", json::object{{"id", info->id},
                                                               {"operation", info->operation},
                                                               {"who", info->who},
                                                               {"user", context->user.name},
                                                               {"at", base::rfc3339(host_.clock().now())},
                                                               {"info", info->text}}}});
    co_return net::Response::empty(200);
  }

  async::Task<net::Response> unlock(ContextPtr context, std::string text) {
    const json::value ws = co_await workspace(context);
    const std::string held = base::get_string(ws, "status.lock.id");
    if (held.empty()) co_return net::Response::empty(200);
    // `terraform force-unlock` sends no body; its user has the same right to the state.
    if (!text.empty()) {
      const auto info = read_lock(text);
      if (!info) throw base::bad_request(info.error().message);
      if (info->id != held) co_return locked(ws);
    }
    co_await put_status(ws, json::object{{"lock", nullptr}});
    co_return net::Response::empty(200);
  }

  std::string address(const json::value& ws) const {
    return fmt::format("{}/terraform/state/{}/{}", host_.config().server_url(),
                       base::get_string(ws, "metadata.namespace"), base::get_string(ws, "metadata.name"));
  }

  platform::Host& host_;
  client::ApiClient client_;
};

api::Attributes permission(const api::RequestContext& context) {
  const std::string& method = context.http->method;
  return {method == "GET"      ? "get"
          : method == "DELETE" ? "delete"
                               : "update",
          "mainstay.dev",
          "workspaces",
          "state",
          context.params.at("namespace"),
          context.params.at("name"),
          ""};
}

// Terraform sends credentials of its own accord, yet a person with curl needs to be asked.
net::Response denied(const api::RequestContext&, int status, const std::string& message) {
  net::Response response = net::Response::text(status, message + "\n");
  if (status == 401) response.headers.set("WWW-Authenticate", "Basic realm=\"mainstay\"");
  return response;
}

}  // namespace

void add_state_backend(platform::Host& host) {
  auto backend = std::make_shared<Backend>(host);
  api::Route route;
  route.method = "*";
  route.pattern = "/terraform/state/{namespace}/{name}";
  route.permission = permission;
  route.summary =
      "The HTTP state backend of Terraform and OpenTofu: GET, POST, DELETE, LOCK and UNLOCK of a workspace's state";
  route.handler = [backend](ContextPtr context) { return backend->serve(std::move(context)); };
  route.on_denied = denied;
  host.api().add_route(std::move(route));
}

}  // namespace mainstay::cloud
