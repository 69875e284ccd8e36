#include "client/kubeconfig.h"

#include <fmt/core.h>

#include "base/encoding.h"
#include "base/files.h"

namespace mainstay::client {
namespace {
namespace json = boost::json;
using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxFile = 1u << 20;

// The entry called `name` of kubeconfig's list `list`, under its field `field`.
Result<const json::value*> named(const json::value& config, std::string_view list, std::string_view field,
                                 std::string_view name) {
  for (const auto& entry : base::get_array(config, list)) {
    if (base::get_string(entry, "name") != name) continue;
    if (const auto* value = base::find(entry, field); value && value->is_object()) return value;
  }
  return fail(ErrorCode::kInvalid, fmt::format("kubeconfig: {} has no entry \"{}\"", list, name));
}

// `<field>-data` (base64) or the file that `<field>` names; "" where neither is there.
Result<std::string> data_or_file(const json::value& from, const std::string& field) {
  if (std::string data = base::get_string(from, field + "-data"); !data.empty()) {
    auto decoded = base::base64_decode(data);
    if (!decoded) return fail(ErrorCode::kInvalid, fmt::format("kubeconfig: {}-data is not base64", field));
    return decoded;
  }
  if (std::string file = base::get_string(from, field); !file.empty()) return base::read_file(file, kMaxFile);
  return std::string();
}

Result<> read_cluster(const json::value& cluster, ClusterAccess& access) {
  std::string server = base::get_string(cluster, "server");
  auto scheme_end = server.find("://");
  if (scheme_end == std::string::npos) {
    return fail(ErrorCode::kInvalid,
                fmt::format("kubeconfig: cluster.server is \"{}\", which is no URL; write https://host:port", server));
  }
  const std::string scheme = server.substr(0, scheme_end);
  if (scheme != "https" && scheme != "http")
    return fail(ErrorCode::kInvalid, "kubeconfig: cluster.server must be an https:// URL");
  auto path = server.find('/', scheme_end + 3);
  access.origin = server.substr(0, path);
  if (path != std::string::npos) access.path_prefix = server.substr(path);
  while (access.path_prefix.ends_with('/')) access.path_prefix.pop_back();
  if (!base::get_string(cluster, "proxy-url").empty()) {
    return fail(ErrorCode::kInvalid, "kubeconfig: cluster.proxy-url is not supported; reach the server directly");
  }
  MAINSTAY_TRY(access.tls.ca_pem, data_or_file(cluster, "certificate-authority"));
  access.tls.insecure = base::get_bool(cluster, "insecure-skip-tls-verify");
  access.tls.server_name = base::get_string(cluster, "tls-server-name");
  return {};
}

Result<> read_user(const json::value& user, ClusterAccess& access) {
  for (std::string_view refused : {"exec", "auth-provider"}) {
    if (base::find(user, refused)) {
      return fail(ErrorCode::kInvalid,
                  fmt::format("kubeconfig: users[].user.{} runs a plug-in, which a server must not do; put a token "
                              "(`kubectl create token`) or a client certificate in its place",
                              refused));
    }
  }
  MAINSTAY_TRY(access.tls.certificate_pem, data_or_file(user, "client-certificate"));
  MAINSTAY_TRY(access.tls.private_key_pem, data_or_file(user, "client-key"));
  if (std::string token = base::get_string(user, "token"); !token.empty()) {
    access.authorization = "Bearer " + token;
  } else if (std::string file = base::get_string(user, "tokenFile"); !file.empty()) {
    access.token_file = file;
  } else if (std::string name = base::get_string(user, "username"); !name.empty()) {
    access.authorization = "Basic " + base::base64(name + ":" + base::get_string(user, "password"));
  }
  return {};
}

}  // namespace

Result<ClusterAccess> read_kubeconfig(const json::value& kubeconfig, std::string_view context) {
  const std::string chosen = context.empty() ? base::get_string(kubeconfig, "current-context") : std::string(context);
  if (chosen.empty()) return fail(ErrorCode::kInvalid, "kubeconfig: current-context is not set; name a context");
  MAINSTAY_TRY(const json::value* where, named(kubeconfig, "contexts", "context", chosen));
  MAINSTAY_TRY(const json::value* cluster,
               named(kubeconfig, "clusters", "cluster", base::get_string(*where, "cluster")));
  ClusterAccess access;
  access.ns = base::get_string(*where, "namespace");
  MAINSTAY_TRY_VOID(read_cluster(*cluster, access));
  if (std::string name = base::get_string(*where, "user"); !name.empty()) {
    MAINSTAY_TRY(const json::value* user, named(kubeconfig, "users", "user", name));
    MAINSTAY_TRY_VOID(read_user(*user, access));
  }
  return access;
}

}  // namespace mainstay::client
