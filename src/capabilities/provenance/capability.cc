#include "capabilities/provenance/capability.h"

#include "capabilities/provenance/attester.h"
#include "capabilities/provenance/image_policy.h"
#include "capabilities/provenance/image_reports.h"
#include "capabilities/provenance/trusted_root.h"

namespace mainstay::embedded {
base::EmbeddedFiles provenance_files();
}

namespace mainstay::provenance {
namespace {

namespace resources = client::resources;
namespace json = base::json;

// From the copy; where that lags behind (a namespace of a moment ago), from the API, in this process.
async::Task<json::object> labels_of(platform::Host* host, std::string ns) {
  auto cache = host->caches().of(resources::kNamespaces);
  if (auto held = cache->has_synced() ? cache->get("", ns) : nullptr)
    co_return base::get_object(*held, "metadata.labels");
  const auto found = co_await host->client("provenance").find(resources::kNamespaces, "", ns);
  co_return found ? base::get_object(*found, "metadata.labels") : json::object();
}

async::Task<platform::Health> health(platform::Host* host, std::shared_ptr<const TimestampAuthority> timestamps) {
  if (!host->find<platform::ImageStore>())
    co_return platform::Health{false, "there is no artifact store to keep attestations in"};
  const auto now = host->clock().now();
  if (auto valid = host->authority().verify(timestamps->certificate_pem(), now); !valid) {
    co_return platform::Health{false, "the timestamp authority's certificate: " + valid.error().message};
  }
  co_return platform::Health{true, "environments admit only images with verified provenance"};
}

async::Task<net::Response> answer_root(platform::Host* host, std::shared_ptr<const TimestampAuthority> timestamps) {
  co_return net::Response::json(200, trusted_root(host->config().server_url(), host->authority().certificate_pem(),
                                                  timestamps->certificate_pem()));
}

async::Task<base::Result<std::vector<Finding>>> findings_of(std::shared_ptr<ImageReports> reports,
                                                            std::string repository, std::string digest) {
  MAINSTAY_CO_TRY(const auto known, co_await reports->known(std::move(repository), std::move(digest)));
  co_return known->findings;
}

api::Attributes import_attributes(const api::RequestContext&) {
  api::Attributes out;
  out.verb = "create";
  out.group = "mainstay.dev";
  out.resource = "vulnerabilities";
  return out;
}

void add_admission(platform::Host& host, std::shared_ptr<ImagePolicy> policy) {
  host.api().add_admission(
      {.name = "image-digests",
       .mutating = true,
       .matches = ImagePolicy::concerns,
       .admit = [policy](api::AdmissionRequest& request) { return ImagePolicy::resolve(policy, request); }});
  host.api().add_admission(
      {.name = "image-provenance",
       .mutating = false,
       .matches = ImagePolicy::concerns,
       .admit = [policy](api::AdmissionRequest& request) { return ImagePolicy::verify(policy, request); }});
}

}  // namespace

void register_provenance(platform::Host& host) {
  auto* h = &host;
  auto opened = TimestampAuthority::open(host.config().dir("pki"), host.authority(), host.clock());
  if (!opened) throw std::runtime_error("provenance: " + opened.error().message);
  auto timestamps = std::make_shared<const TimestampAuthority>(*std::move(opened));
  const auto images = [h] { return h->find<platform::ImageStore>(); };
  auto attester = std::make_shared<LocalAttester>(host.runtime(), host.config(), host.authority(), timestamps,
                                                  host.clock(), images);
  host.provide<platform::Attester>(attester);
  auto data = Vulnerabilities::open(host.config().dir("vulnerabilities"));
  if (!data) throw std::runtime_error("provenance: " + data.error().message);
  auto reports = std::make_shared<ImageReports>(host, attester, *std::move(data));
  reports->attach_controller();
  host.add_files(embedded::provenance_files());
  add_admission(host, std::make_shared<ImagePolicy>(ImagePolicy::Dependencies{
                          host.config(), host.authority(), host.metrics(), images,
                          [h](std::string ns) { return labels_of(h, std::move(ns)); },
                          [h] { return h->caches().of(kVerificationPolicies)->list(); },
                          [reports](std::string repository, std::string digest) {
                            return findings_of(reports, std::move(repository), std::move(digest));
                          },
                          &host.clock()}));
  host.api().add_route({.method = "POST",
                        .pattern = "/provenance/v1/vulnerabilities",
                        .permission = api::Require(import_attributes),
                        .summary = "Imports a file of vulnerability data: OSV, or the Debian security tracker's",
                        .handler = [reports](std::shared_ptr<api::RequestContext> context) {
                          return reports->import(std::move(context));
                        }});

  host.api().add_route(
      {.method = "GET",
       .pattern = "/provenance/v1/trusted-root",
       .permission = api::Public{"public certificates: whoever pulls an image may check where it comes from"},
       .summary = "The trusted root for checking attestations (Sigstore TrustedRoot v0.1)",
       .handler = [h, timestamps](std::shared_ptr<api::RequestContext>) { return answer_root(h, timestamps); }});
  host.add_capability(
      {.name = "provenance",
       .title = "Software security and provenance",
       .number = 7,
       .part = "",
       .provider = "built-in",
       .engine = "",
       .lost_without = "SBOMs and signed provenance of images, and the check that environments run nothing else",
       .health = [h, timestamps] { return health(h, timestamps); }});
}

}  // namespace mainstay::provenance
