// The OCI Distribution 1.1 endpoints below /v2/.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "api/route.h"
#include "capabilities/artifacts/upstream.h"

namespace mainstay::artifacts {

class Endpoints {
 public:
  // Whether a user may: for what the route table cannot say (the source of a mount).
  using Allowed = std::function<bool(const api::UserInfo&, const api::Attributes&)>;
  Endpoints(std::shared_ptr<Registry> registry, std::shared_ptr<Uploads> uploads, std::shared_ptr<Upstreams> upstreams,
            Allowed allowed)
      : registry_(std::move(registry)),
        uploads_(std::move(uploads)),
        upstreams_(std::move(upstreams)),
        allowed_(std::move(allowed)) {}

  // The whole of /v2/. Never throws RegistryError or StatusError: answers with the specification's error JSON.
  static async::Task<net::Response> serve(std::shared_ptr<Endpoints> self,
                                          std::shared_ptr<api::RequestContext> context);

 private:
  using Context = const api::RequestContext&;
  async::Task<net::Response> dispatch(std::shared_ptr<api::RequestContext> context, Target target);
  async::Task<net::Response> manifests(std::shared_ptr<api::RequestContext> context, Target target);
  async::Task<net::Response> get_manifest(std::shared_ptr<api::RequestContext> context, Target target);
  async::Task<net::Response> put_manifest(std::shared_ptr<api::RequestContext> context, Target target);
  async::Task<net::Response> blobs(std::shared_ptr<api::RequestContext> context, Target target);
  async::Task<net::Response> begin_upload(std::shared_ptr<api::RequestContext> context, Target target);
  async::Task<net::Response> upload(std::shared_ptr<api::RequestContext> context, Target target);
  async::Task<net::Response> patch_upload(std::shared_ptr<api::RequestContext> context, Uploads::UsePtr use);
  async::Task<net::Response> finish_upload(std::shared_ptr<api::RequestContext> context, Uploads::UsePtr use);
  net::Response tags(Context context, const Target& target) const;
  net::Response catalog(Context context) const;
  net::Response referrers(Context context, const Target& target) const;

  std::shared_ptr<Registry> registry_;
  std::shared_ptr<Uploads> uploads_;
  std::shared_ptr<Upstreams> upstreams_;
  Allowed allowed_;
};

// The records for the route table.
std::vector<api::Route> routes(std::shared_ptr<Endpoints> endpoints);
// What RBAC is asked for a request.
api::Attributes attributes_of(const api::RequestContext& context);

}  // namespace mainstay::artifacts
