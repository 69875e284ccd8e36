#include "capabilities/pipelines/attestations.h"

#include "base/log.h"
#include "base/status.h"

namespace mainstay::pipelines {
namespace {

constexpr std::chrono::minutes kLimit{2};

std::string seconds_since(base::SteadyTime start, base::SteadyTime end) {
  return fmt::format("{:.2f}s", std::chrono::duration<double>(end - start).count());
}

}  // namespace

Attestations::Attestations(platform::Host& host, std::shared_ptr<RunStore> store)
    : host_(host), store_(std::move(store)) {}

void Attestations::start() { attester_ = host_.find<platform::Attester>(); }

bool Attestations::complete(const json::value& run) const {
  if (!attester_) return true;
  for (const json::value& image : base::get_array(run, "status.images")) {
    if (!base::get_string(image, "message").empty()) continue;
    if (base::get_string(image, "sbom").empty() || base::get_string(image, "provenance").empty()) return false;
  }
  return true;
}

void Attestations::begin(const json::value& run) {
  if (!attester_) return;
  const reconcile::Name name{base::get_string(run, "metadata.namespace"), base::get_string(run, "metadata.name")};
  for (const json::value& image : base::get_array(run, "status.images")) {
    if (!base::get_string(image, "message").empty()) continue;
    platform::BuildRecord build;
    build.team = name.ns;
    build.repository = base::get_string(run, "spec.repository");
    build.ref = base::get_string(run, "spec.ref");
    build.commit = base::get_string(run, "spec.commit");
    build.workflow = base::get_string(run, "spec.workflow");
    build.run_name = name.name;
    build.run_uid = base::get_string(run, "metadata.uid");
    build.actor = base::get_string(run, "spec.actor");
    build.image_repository = base::get_string(image, "repository");
    build.image_digest = base::get_string(image, "digest");
    build.dockerfile = base::get_string(image, "dockerfile");
    build.started = base::get_string(image, "startedAt");
    build.finished = base::get_string(image, "finishedAt");
    for (const bool signs : {true, false}) {
      if (!base::get_string(image, signs ? "provenance" : "sbom").empty()) continue;
      const std::string key = fmt::format("{}/{}@{}#{}", name.ns, name.name, build.image_digest, signs);
      if (under_way_.insert(key).second) host_.tasks().spawn("attest", one(name, build, signs));
    }
  }
}

async::Task<> Attestations::one(reconcile::Name name, platform::BuildRecord build, bool signs) {
  struct Done {
    std::set<std::string>& all;
    std::string key;
    ~Done() { all.erase(key); }
  } done{under_way_, fmt::format("{}/{}@{}#{}", name.ns, name.name, build.image_digest, signs)};
  const auto start = host_.clock().steady();
  base::Result<platform::AttestResult> result = base::fail(base::ErrorCode::kTimeout, "took longer than two minutes");
  try {
    auto answer = co_await async::with_timeout(signs ? attester_->attest(build) : attester_->scan(build), kLimit);
    if (answer) result = std::move(*answer);
  } catch (const base::StatusError& error) {
    result = base::fail(base::ErrorCode::kInternal, error.message());
  }
  const std::string took = seconds_since(start, host_.clock().steady());
  if (!result)
    base::log::warn("pipelines", "{} of {}@{}: {}", signs ? "attest" : "scan", build.image_repository,
                    build.image_digest, result.error().message);
  try {
    co_await store_->change(name, [&](json::value& run) {
      json::value* images = base::find(run, "status.images");
      if (images == nullptr || !images->is_array()) return;
      json::object* image = find_entry(images->as_array(), "digest", build.image_digest);
      if (image == nullptr) return;
      if (!result) {
        (*image)["message"] = fmt::format("{}: {}", signs ? "attest" : "scan", result.error().message);
      } else if (signs) {
        (*image)["provenance"] = result->provenance_digest;
        (*image)["attestedIn"] = took;
      } else {
        (*image)["sbom"] = result->sbom_digest;
        (*image)["packages"] = result->packages;
        (*image)["scannedIn"] = took;
      }
    });
  } catch (const base::StatusError& error) {
    if (!error.is_not_found()) base::log::warn("pipelines", "run {}/{}: {}", name.ns, name.name, error.message());
  }
}

}  // namespace mainstay::pipelines
