// The one way objects are read and written: ApiClient over a Transport, in this process or over HTTPS to any cluster.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/runtime.h"
#include "base/json.h"
#include "base/status.h"
#include "net/client.h"

namespace mainstay::client {
namespace json = boost::json;

struct Resource {
  std::string group, version, plural;
  bool namespaced = true;
  std::string kind;
  std::string api_version() const { return group.empty() ? version : group + "/" + version; }
  auto operator<=>(const Resource&) const = default;
};
// The types the platform's own reconcilers speak of. Defined in one place: initialised in each of the files that
// include this, they were a tenth of what there is to compile.
namespace resources {
extern const Resource kNamespaces, kConfigMaps, kSecrets, kServiceAccounts, kNodes, kPods, kServices, kEndpointSlices,
    kEvents, kLeases, kDeployments, kReplicaSets, kRoles, kRoleBindings, kClusterRoles, kClusterRoleBindings, kTeams,
    kUsers, kAccessTokens, kRepositories, kWorkflowRuns, kCapabilities;
}  // namespace resources

struct ListQuery {
  std::string label_selector, field_selector;
  std::int64_t limit = 0;
  std::string continue_token;
};
struct WatchEvent {
  std::string type;  // ADDED MODIFIED DELETED BOOKMARK
  std::shared_ptr<const json::value> object;
};
class WatchStream {
 public:
  virtual ~WatchStream() = default;
  // The next event; nullopt where the server ended the watch. Throws StatusError (410: list again).
  virtual async::Task<std::optional<WatchEvent>> next() = 0;
};
// A list's items as shared, immutable objects (apiVersion and kind filled in), with the revision they were read at.
struct ObjectList {
  std::vector<std::shared_ptr<const json::value>> items;
  std::string resource_version;
};

// Sends one request and gives the response's head and streamed body.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual async::Task<base::Result<net::ClientResponse>> send(net::ClientRequest request) = 0;
  // The in-process transport's shortcuts: the store's own objects, shared instead of copied through text, after the
  // same authorization. Empty where a transport has none; the caller then sends a request. Throw StatusError.
  virtual async::Task<std::optional<ObjectList>> list_objects(Resource resource, std::string ns, ListQuery query);
  virtual async::Task<std::unique_ptr<WatchStream>> watch_objects(Resource resource, std::string ns,
                                                                  std::string resource_version, ListQuery query);
};
// HTTPS to a kubeconfig's server with its credentials (client certificate, token; exec plug-ins are refused with a
// clear error).
base::Result<std::shared_ptr<Transport>> http_transport(async::Executor executor, const json::value& kubeconfig,
                                                        std::string_view context = "");

// Cheap to copy. All verbs throw StatusError; an unreachable server is 503 ServiceUnavailable.
class ApiClient {
 public:
  ApiClient() = default;
  ApiClient(std::shared_ptr<Transport> transport, std::string field_manager);
  async::Task<json::value> get(Resource resource, std::string ns, std::string name) const;
  async::Task<std::optional<json::value>> find(Resource resource, std::string ns,
                                               std::string name) const;  // nullopt: 404
  async::Task<json::value> list(Resource resource, std::string ns,
                                ListQuery query = {}) const;  // the List object; follows continue
  async::Task<ObjectList> list_objects(Resource resource, std::string ns,
                                       ListQuery query = {}) const;  // follows continue; shares memory
  async::Task<json::value> create(Resource resource, std::string ns, json::value object) const;
  async::Task<json::value> update(Resource resource, json::value object) const;  // by its metadata
  async::Task<json::value> update_status(Resource resource, json::value object) const;
  async::Task<json::value> merge_patch(Resource resource, std::string ns, std::string name, json::value patch,
                                       std::string subresource = "") const;
  async::Task<json::value> apply(Resource resource, json::value object, bool force = true,
                                 std::string subresource = "") const;  // server-side
  async::Task<> remove(Resource resource, std::string ns, std::string name,
                       std::string propagation = "Background") const;  // 404 is fine
  async::Task<std::unique_ptr<WatchStream>> watch(Resource resource, std::string ns, std::string resource_version,
                                                  ListQuery query = {}) const;
  // POST to a subresource: serviceaccounts/{name}/token. `limit`: how long the answer may take, where that is longer
  // than the transport's own limit.
  async::Task<json::value> create_subresource(Resource resource, std::string ns, std::string name,
                                              std::string subresource, json::value body,
                                              std::optional<std::chrono::milliseconds> limit = {}) const;
  // DELETE with DeleteOptions (propagationPolicy, preconditions); `name` empty deletes the collection. 404 is fine.
  async::Task<> remove_with(Resource resource, std::string ns, std::string name, json::object options) const;
  // Anything else. Throws only 503 where no response came; any status is given to the caller.
  async::Task<net::ClientResponse> raw(net::ClientRequest request) const;
  // Records an Event on the object (repeats are counted on the existing one). Failures are logged, never thrown.
  async::Task<> event(json::value about, std::string type, std::string reason,
                      std::string message) const;  // type: Normal, Warning
  const std::string& field_manager() const { return manager_; }
  std::string path(const Resource& resource, std::string_view ns, std::string_view name = "",
                   std::string_view subresource = "") const;

 private:
  // One request that answers one JSON document; an error status is thrown.
  async::Task<json::value> call(std::string method, std::string target, std::string body, std::string content_type,
                                std::optional<std::chrono::milliseconds> limit = {}) const;
  std::string manager_query(std::string_view more = "") const;

  std::shared_ptr<Transport> transport_;
  std::string manager_;
};

}  // namespace mainstay::client
