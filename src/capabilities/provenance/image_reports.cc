#include "capabilities/provenance/image_reports.h"

#include <set>

#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "capabilities/provenance/advisories.h"

namespace mainstay::provenance {

namespace json = base::json;
namespace resources = client::resources;

namespace {

constexpr std::size_t kMaxFindings = 500, kMaxHeld = 1000, kChunk = 1u << 20;
constexpr std::uint64_t kMaxUpload = 512ull << 20;

std::string report_name(const std::string& repository, const std::string& digest) {
  const auto slash = repository.rfind('/');
  return fmt::format("{}-{}", repository.substr(slash == std::string::npos ? 0 : slash + 1).substr(0, 40),
                     digest.substr(7, 12));
}

json::object status_of(const ImageReports::Known& known, const std::string& now) {
  json::object summary;
  for (const char* severity : {"critical", "high", "medium", "low", "negligible", "unknown"}) summary[severity] = 0;
  json::array findings;
  for (const Finding& finding : known.findings) {
    summary[finding.severity] = summary[finding.severity].as_int64() + 1;
    if (findings.size() >= kMaxFindings) continue;
    findings.push_back(json::object{{"id", finding.id},
                                    {"severity", finding.severity},
                                    {"package", finding.package},
                                    {"version", finding.version},
                                    {"type", finding.type},
                                    {"fixedVersion", finding.fixed},
                                    {"link", finding.link},
                                    {"title", finding.title}});
  }
  return {{"scannedAt", now},
          {"dataRevision", known.revision},
          {"packages", known.packages},
          {"message", ""},
          {"summary", std::move(summary)},
          {"truncated", known.findings.size() > kMaxFindings},
          {"findings", std::move(findings)}};
}

}  // namespace

void ImageReports::attach_controller() {
  reconcile::Watched releases{kReleases, [](const json::value& release) {
                                return std::vector<reconcile::Name>{{base::get_string(release, "metadata.namespace"),
                                                                     base::get_string(release, "spec.run")}};
                              }};
  controller_ = &host_.add_controller(
      {.name = "image-report", .primary = resources::kWorkflowRuns, .also = {std::move(releases)}, .workers = 2},
      [this](reconcile::Name run) { return reconcile(std::move(run)); });
}

async::Task<base::Result<std::shared_ptr<const ImageReports::Known>>> ImageReports::known(std::string repository,
                                                                                          std::string digest) {
  if (const auto at = held_.find(digest); at != held_.end() && at->second->revision == data_->revision())
    co_return at->second;
  const std::int64_t revision = data_->revision();
  MAINSTAY_CO_TRY(const auto packages, co_await attester_->packages_of(repository, digest));
  MAINSTAY_CO_TRY(auto findings,
                  co_await host_.runtime().blocking([data = data_, packages] { return data->match(*packages); }));
  auto known = std::make_shared<Known>();
  known->revision = revision;
  known->packages = static_cast<int>(packages->packages.size());
  known->findings = std::move(findings);
  if (held_.size() >= kMaxHeld) held_.clear();
  held_[digest] = known;
  co_return known;
}

async::Task<reconcile::Outcome> ImageReports::reconcile(reconcile::Name name) {
  const auto run = host_.caches().of(resources::kWorkflowRuns)->get(name.ns, name.name);
  std::map<std::string, std::pair<std::string, std::string>> images;  // digest to its repository, and the Repository
  if (run)
    for (const auto& image : base::get_array(*run, "status.images"))
      if (!base::get_string(image, "sbom").empty())
        images[base::get_string(image, "digest")] = {base::get_string(image, "repository"),
                                                     base::get_string(*run, "spec.repository")};
  for (const auto& release : host_.caches().of(kReleases)->list(name.ns))
    if (base::get_string(*release, "spec.run") == name.name && !base::get_string(*release, "spec.digest").empty())
      images[base::get_string(*release, "spec.digest")] = {base::get_string(*release, "spec.imageRepository"),
                                                           base::get_string(*release, "spec.repository")};
  for (const auto& [digest, named] : images) {
    const auto owner = co_await client_.find(resources::kRepositories, name.ns, named.second);
    if (owner && !named.first.empty()) co_await report(name.ns, named.first, digest, *owner);
  }
  if (!run) co_await sweep(name.ns);
  co_return reconcile::Outcome::done();
}

async::Task<> ImageReports::report(std::string team, std::string repository, std::string digest, json::value owner) {
  const std::string name = report_name(repository, digest);
  const auto there = co_await client_.find(kImageReports, team, name);
  if (there && base::get_int(*there, "status.dataRevision", -1) == data_->revision() &&
      base::get_string(*there, "spec.digest") == digest)
    co_return;
  if (!there) {
    try {
      co_await client_.create(
          kImageReports, team,
          json::object{{"apiVersion", "mainstay.dev/v1"},
                       {"kind", "ImageReport"},
                       {"metadata", json::object{{"name", name},
                                                 {"namespace", team},
                                                 {"ownerReferences", json::array{reconcile::owner_reference(owner)}}}},
                       {"spec", json::object{{"repository", repository}, {"digest", digest}}}});
    } catch (const base::StatusError& error) {
      if (!error.is_already_exists()) throw;
    }
  }
  const auto found = co_await known(repository, digest);
  json::object status =
      found ? status_of(**found, base::rfc3339(host_.clock().now()))
            : json::object{{"message", found.error().message}, {"scannedAt", base::rfc3339(host_.clock().now())}};
  co_await client_.merge_patch(kImageReports, team, name, json::object{{"status", std::move(status)}}, "status");
}

// Reports of images that no run and no release names any more.
async::Task<> ImageReports::sweep(std::string team) {
  std::set<std::string> used;
  for (const auto& run : host_.caches().of(resources::kWorkflowRuns)->list(team))
    for (const auto& image : base::get_array(*run, "status.images")) used.insert(base::get_string(image, "digest"));
  for (const auto& release : host_.caches().of(kReleases)->list(team))
    used.insert(base::get_string(*release, "spec.digest"));
  const auto listed = co_await client_.list_objects(kImageReports, team);
  for (const auto& report : listed.items)
    if (!used.contains(base::get_string(*report, "spec.digest")))
      co_await client_.remove(kImageReports, team, base::get_string(*report, "metadata.name"));
}

async::Task<net::Response> ImageReports::import(std::shared_ptr<api::RequestContext> context) {
  const auto file = host_.config().dir("vulnerabilities") / fmt::format("incoming-{}", context->audit_id);
  struct Remove {
    std::filesystem::path file;
    ~Remove() {
      std::error_code gone;
      std::filesystem::remove(file, gone);
    }
  } remove{file};
  const auto refuse = [] { throw base::too_large("a file of vulnerability data is at most 512 MiB"); };
  if (context->http->body->length().value_or(0) > kMaxUpload) refuse();
  std::vector<char> buffer(kChunk);
  std::uint64_t total = 0;
  while (const std::size_t n = co_await context->http->body->read(buffer)) {
    total += n;
    if (total > kMaxUpload) refuse();
    const auto chunk = std::make_shared<std::string>(buffer.data(), n);
    const bool good = co_await host_.runtime().blocking([file, chunk] {
      std::FILE* out = std::fopen(file.c_str(), "ab");
      if (out == nullptr) return false;
      const bool written = std::fwrite(chunk->data(), 1, chunk->size(), out) == chunk->size();
      return std::fclose(out) == 0 && written;
    });
    if (!good) throw base::internal_error("the file could not be kept: is the disk full?");
  }
  auto imported = co_await host_.runtime().blocking([data = data_, file] { return data->import(file); });
  if (!imported) throw base::from_error(imported.error());
  base::log::info("provenance", "imported {} advisories ({}), {} ranges of versions", imported->advisories,
                  imported->format, imported->ranges);
  // What is known is looked at anew.
  if (controller_ != nullptr) {
    for (const auto& run : host_.caches().of(resources::kWorkflowRuns)->list())
      controller_->enqueue({base::get_string(*run, "metadata.namespace"), base::get_string(*run, "metadata.name")});
    for (const auto& release : host_.caches().of(kReleases)->list())
      controller_->enqueue({base::get_string(*release, "metadata.namespace"), base::get_string(*release, "spec.run")});
  }
  co_return net::Response::json(200, json::object{{"format", imported->format},
                                                  {"advisories", imported->advisories},
                                                  {"ranges", imported->ranges},
                                                  {"revision", data_->revision()}});
}

}  // namespace mainstay::provenance
