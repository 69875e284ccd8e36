// The transport to a cluster named by a kubeconfig.
#include "base/files.h"
#include "base/strings.h"
#include "client/client.h"
#include "client/kubeconfig.h"

namespace mainstay::client {
namespace {

constexpr std::chrono::seconds kTokenFileLife{30};

class HttpTransport final : public Transport {
 public:
  HttpTransport(std::shared_ptr<net::Client> client, ClusterAccess access)
      : client_(std::move(client)), access_(std::move(access)) {}

  async::Task<base::Result<net::ClientResponse>> send(net::ClientRequest request) override {
    auto client = client_;
    if (!access_.path_prefix.empty()) request.target = access_.path_prefix + request.target;
    if (!request.headers.has("Authorization")) {
      auto authorization = current_authorization();
      if (!authorization) co_return std::unexpected(authorization.error());
      if (!authorization->empty()) request.headers.set("Authorization", std::move(*authorization));
    }
    co_return co_await client->send(std::move(request));
  }

 private:
  base::Result<std::string> current_authorization() {
    if (access_.token_file.empty()) return access_.authorization;
    const auto now = std::chrono::steady_clock::now();
    if (access_.authorization.empty() || now - read_at_ > kTokenFileLife) {
      auto token = base::read_file(access_.token_file, 64 * 1024);
      if (!token)
        return base::fail(base::ErrorCode::kUnavailable,
                          "cannot read the kubeconfig's tokenFile: " + token.error().message);
      access_.authorization = "Bearer " + std::string(base::trim(*token));
      read_at_ = now;
    }
    return access_.authorization;
  }

  std::shared_ptr<net::Client> client_;
  ClusterAccess access_;
  std::chrono::steady_clock::time_point read_at_;
};

}  // namespace

base::Result<std::shared_ptr<Transport>> http_transport(async::Executor executor, const json::value& kubeconfig,
                                                        std::string_view context) {
  MAINSTAY_TRY(ClusterAccess access, read_kubeconfig(kubeconfig, context));
  net::ClientOptions options;
  options.tls = access.tls;
  MAINSTAY_TRY(auto client, net::Client::create(std::move(executor), access.origin, std::move(options)));
  return std::make_shared<HttpTransport>(std::move(client), std::move(access));
}

}  // namespace mainstay::client
