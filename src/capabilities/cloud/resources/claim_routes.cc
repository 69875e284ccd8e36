#include "capabilities/cloud/resources/claim_routes.h"

#include "base/status.h"

namespace mainstay::cloud {
namespace {

struct Found {
  platform::ClaimRequest request;
  std::shared_ptr<platform::ResourceDriver> driver;
};

async::Task<Found> find(platform::Host* host, std::shared_ptr<ClaimReconciler> claims, reconcile::Name name) {
  auto request = co_await claims->request_of(name);
  if (!request) throw base::from_error(request.error());
  const auto claim = co_await host->client("cloud").get(kResourceClaims, name.ns, name.name);
  auto driver = claims->driver_of(claim);
  if (!driver) throw base::unavailable("the driver of this claim's class is not here");
  co_return Found{*std::move(request), std::move(driver)};
}

async::Task<net::Response> backup(platform::Host* host, std::shared_ptr<ClaimReconciler> claims,
                                  std::shared_ptr<api::RequestContext> context) {
  const reconcile::Name name{context->params.at("namespace"), context->params.at("name")};
  Found found = co_await find(host, claims, name);
  const auto made = co_await found.driver->backup(std::move(found.request));
  if (!made) throw base::from_error(made.error());
  co_await claims->show_backups(name);
  co_return net::Response::json(201, {{"apiVersion", "mainstay.dev/v1"},
                                      {"kind", "ResourceClaim"},
                                      {"metadata", {{"name", name.name}, {"namespace", name.ns}}},
                                      {"status", {{"backup", {{"name", made->name}, {"bytes", made->bytes}}}}}});
}

async::Task<net::Response> restore(platform::Host* host, std::shared_ptr<ClaimReconciler> claims,
                                   std::shared_ptr<api::RequestContext> context) {
  const reconcile::Name name{context->params.at("namespace"), context->params.at("name")};
  const auto body = base::parse_json(co_await context->http->body->read_all(16u << 10), 8);
  const std::string wanted = body ? base::get_string(*body, "spec.backup") : "";
  const std::string moment = body ? base::get_string(*body, "spec.toTime") : "";
  if (wanted.empty() == moment.empty())
    throw base::bad_request(
        "the body is {\"spec\": {\"backup\": \"<name in status.backups>\"}} or {\"spec\": {\"toTime\": \"<RFC "
        "3339>\"}}");
  const auto to_time = moment.empty() ? base::Result<base::SystemTime>() : base::parse_rfc3339(moment);
  if (!to_time)
    throw base::bad_request(fmt::format("spec.toTime: \"{}\" is no time as in RFC 3339, such as 2026-01-02T15:04:05Z",
                                        moment.substr(0, 60)));
  Found found = co_await find(host, claims, name);
  const auto done = moment.empty() ? co_await found.driver->restore(std::move(found.request), wanted)
                                   : co_await found.driver->restore_to(std::move(found.request), *to_time);
  if (!done) throw base::from_error(done.error());
  const std::string restored = moment.empty() ? wanted : base::rfc3339_micro(*to_time);
  co_return net::Response::json(201, {{"apiVersion", "mainstay.dev/v1"},
                                      {"kind", "ResourceClaim"},
                                      {"metadata", {{"name", name.name}, {"namespace", name.ns}}},
                                      {"status", {{"restored", restored}}}});
}

}  // namespace

void add_claim_routes(platform::Host& host, std::shared_ptr<ClaimReconciler> claims) {
  api::Server::Subresource s;
  s.group = "mainstay.dev";
  s.resource = "resourceclaims";
  s.subresource = "backup";
  s.method = "POST";
  s.verb = "create";
  s.summary = "Makes a backup of the resource's data";
  s.handler = [host = &host, claims](std::shared_ptr<api::RequestContext> context) {
    return backup(host, claims, std::move(context));
  };
  host.api().add_subresource(s);
  s.subresource = "restore";
  s.summary = "Puts a backup, or what there was at a moment, in the place of the resource's data";
  s.handler = [host = &host, claims](std::shared_ptr<api::RequestContext> context) {
    return restore(host, claims, std::move(context));
  };
  host.api().add_subresource(s);
}

}  // namespace mainstay::cloud
