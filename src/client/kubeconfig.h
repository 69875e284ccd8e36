// A kubeconfig's context, read: where the server is and how we show who we are.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>

#include "base/json.h"
#include "base/result.h"
#include "net/tls.h"

namespace mainstay::client {

struct ClusterAccess {
  std::string origin;       // "https://10.0.0.1:6443"
  std::string path_prefix;  // "/k8s/clusters/c-1", "" mostly
  net::ClientTls tls;
  std::string authorization;         // a whole header value; "" where a certificate or a token file serves
  std::filesystem::path token_file;  // read again from time to time: the kubelet renews it
  std::string ns;                    // the context's namespace
};

// `context` empty: current-context. What we cannot honour (exec plug-ins, proxies) is an error that says what to do
// instead.
base::Result<ClusterAccess> read_kubeconfig(const base::json::value& kubeconfig, std::string_view context = "");

}  // namespace mainstay::client
