#include "capabilities/provenance/attester.h"

#include "base/files.h"
#include "base/log.h"
#include "capabilities/provenance/bundle.h"
#include "capabilities/provenance/spdx.h"
#include "capabilities/provenance/statement.h"
#include "capabilities/provenance/verifier.h"

namespace mainstay::provenance {

using base::ErrorCode;
using base::fail;
using platform::AttestResult;
using platform::BuildRecord;

namespace {

constexpr std::size_t kMaxHeldLayers = 256;
constexpr std::size_t kMaxFactsBytes = 64u << 20;
constexpr std::size_t kMaxBundleBytes = 256 * 1024;
constexpr std::size_t kMaxEarlier = 50;
constexpr auto kSignerLifetime = std::chrono::minutes(10);
constexpr std::string_view kRunAnnotation = "mainstay.dev/run-uid";
constexpr std::string_view kPackagesAnnotation = "mainstay.dev/packages";

// What Fulcio's certificates carry, under the same identifiers, so that clients' policies over them apply.
// https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md
std::vector<std::pair<std::string, std::string>> signer_extensions(const BuildRecord& build,
                                                                   const std::string& issuer) {
  const auto url = repository_url(issuer, build.team, build.repository);
  return {{"1.3.6.1.4.1.57264.1.8", issuer},
          {"1.3.6.1.4.1.57264.1.12", url},
          {"1.3.6.1.4.1.57264.1.13", build.commit},
          {"1.3.6.1.4.1.57264.1.14", build.ref},
          {"1.3.6.1.4.1.57264.1.21",
           fmt::format("{}/apis/mainstay.dev/v1/namespaces/{}/workflowruns/{}", issuer, build.team, build.run_name)}};
}

base::Result<> check(const BuildRecord& build) {
  const std::pair<std::string_view, const std::string&> needed[] = {{"team", build.team},
                                                                    {"repository", build.repository},
                                                                    {"ref", build.ref},
                                                                    {"commit", build.commit},
                                                                    {"workflow", build.workflow},
                                                                    {"run_uid", build.run_uid},
                                                                    {"run_name", build.run_name},
                                                                    {"image_repository", build.image_repository},
                                                                    {"image_digest", build.image_digest}};
  for (const auto& [name, value] : needed) {
    if (value.empty()) return fail(ErrorCode::kInvalid, fmt::format("build record: {} is missing", name));
  }
  if (!store::valid_digest(build.image_digest))
    return fail(ErrorCode::kInvalid, "build record: image_digest is malformed");
  if (!build.image_repository.starts_with(build.team + "/")) {
    return fail(ErrorCode::kForbidden, fmt::format("an image of {} cannot be attested for team {}: push to {}/<name>",
                                                   build.image_repository, build.team, build.team));
  }
  return {};
}

}  // namespace

async::Task<base::Result<std::shared_ptr<const LayerFacts>>> LayerCache::facts(std::string digest,
                                                                               std::filesystem::path blob) {
  if (const auto at = held_.find(digest); at != held_.end()) {
    order_.splice(order_.begin(), order_, at->second.second);
    co_return at->second.first;
  }
  const auto file = folder_ / (digest.substr(digest.find(':') + 1) + ".json");
  auto read =
      co_await runtime_.blocking([file, blob, folder = folder_]() -> base::Result<std::shared_ptr<const LayerFacts>> {
        if (auto text = base::read_file(file, kMaxFactsBytes)) {
          if (auto facts = facts_from_json(*text)) return std::make_shared<const LayerFacts>(*std::move(facts));
        }
        MAINSTAY_TRY(auto facts, scan_layer(blob));
        // A cache: where it cannot be written, the layer is read again next time.
        if (base::make_directories(folder, 0700))
          static_cast<void>(base::write_file(file, base::to_json(to_json(facts)), 0600));
        return std::make_shared<const LayerFacts>(std::move(facts));
      });
  if (!read || held_.contains(digest)) co_return read;
  order_.push_front(digest);
  held_[digest] = {*read, order_.begin()};
  if (held_.size() > kMaxHeldLayers) {
    held_.erase(order_.back());
    order_.pop_back();
  }
  co_return read;
}

LocalAttester::LocalAttester(async::Runtime& runtime, const base::Config& config, const crypto::Authority& authority,
                             std::shared_ptr<const TimestampAuthority> timestamps, base::Clock& clock, Images images)
    : runtime_(runtime),
      config_(config),
      authority_(authority),
      timestamps_(std::move(timestamps)),
      clock_(clock),
      images_(std::move(images)),
      layers_(runtime, config.dir("cache") / "sbom") {}

async::Task<base::Result<platform::ImageStore::Image>> LocalAttester::image_of(BuildRecord build) {
  MAINSTAY_CO_TRY_VOID(check(build));
  auto images = images_();
  if (!images) co_return fail(ErrorCode::kUnavailable, "there is no artifact store");
  co_return co_await images->image({.registry = config_.registry_host(),
                                    .repository = build.image_repository,
                                    .tag = "",
                                    .digest = build.image_digest});
}

async::Task<base::Result<AttestResult>> LocalAttester::scan(BuildRecord build) {
  const std::string key = build.run_uid + " " + build.image_repository + "@" + build.image_digest;
  if (const auto at = scans_.find(key); at != scans_.end()) {
    const auto other = at->second;
    while (!other->finished) co_await other->ended.wait();
    co_return other->result;
  }
  const auto mine = std::make_shared<Scan>(runtime_.executor());
  scans_[key] = mine;
  struct End {
    LocalAttester& self;
    const std::string& key;
    Scan& scan;
    ~End() {
      self.scans_.erase(key);
      scan.finished = true;
      scan.ended.notify_all();
    }
  } end{*this, key, *mine};
  mine->result = co_await scan_alone(build);
  co_return mine->result;
}

async::Task<base::Result<std::shared_ptr<const ImagePackages>>> LocalAttester::packages_of(std::string repository,
                                                                                           std::string digest) {
  auto images = images_();
  if (!images) co_return fail(ErrorCode::kUnavailable, "there is no artifact store");
  MAINSTAY_CO_TRY(const auto image,
                  co_await images->image(
                      {.registry = config_.registry_host(), .repository = repository, .tag = "", .digest = digest}));
  auto layers = std::make_shared<std::vector<std::shared_ptr<const LayerFacts>>>();
  for (const auto& layer : image.layers) {
    MAINSTAY_CO_TRY(auto facts, co_await layers_.facts(layer.digest, layer.path));
    layers->push_back(std::move(facts));
  }
  co_return co_await runtime_.blocking(
      [layers] { return std::make_shared<const ImagePackages>(merge_layers(*layers)); });
}

async::Task<base::Result<AttestResult>> LocalAttester::scan_alone(BuildRecord build) {
  MAINSTAY_CO_TRY(const auto image, co_await image_of(build));
  auto layers = std::make_shared<std::vector<std::shared_ptr<const LayerFacts>>>();
  for (const auto& layer : image.layers) {
    MAINSTAY_CO_TRY(auto facts, co_await layers_.facts(layer.digest, layer.path));
    layers->push_back(std::move(facts));
  }
  auto subject = std::make_shared<SbomSubject>(
      SbomSubject{config_.registry_host() + "/" + build.image_repository, build.image_digest, config_.server_url(),
                  build.finished.empty() ? base::rfc3339(clock_.now()) : build.finished});
  auto made = co_await runtime_.blocking([layers, subject] {
    const auto packages = merge_layers(*layers);
    return std::pair(spdx_document(*subject, packages), static_cast<int>(packages.packages.size()));
  });
  MAINSTAY_CO_TRY(auto digest,
                  co_await images_()->attach(build.image_repository, build.image_digest, std::string(kSpdxType),
                                             std::string(kSpdxType), std::move(made.first),
                                             {{"org.opencontainers.image.created", subject->created},
                                              {std::string(kPackagesAnnotation), std::to_string(made.second)},
                                              {std::string(kRunAnnotation), build.run_uid}}));
  co_return AttestResult{std::move(digest), "", made.second};
}

// Provenance of the same run that is already there: a repeated attest() adds nothing.
async::Task<std::string> LocalAttester::earlier(BuildRecord build) {
  auto images = images_();
  const auto list = co_await images->referrers(build.image_repository, build.image_digest, std::string(kBundleType));
  if (!list) co_return "";
  std::size_t looked = 0;
  for (const auto& item : *list) {
    const auto* annotations = base::find(item, "annotations");
    const auto* run = annotations == nullptr ? nullptr : base::find(*annotations, {kRunAnnotation});
    if (run == nullptr || !run->is_string() || run->get_string() != build.run_uid || ++looked > kMaxEarlier) continue;
    const std::string digest = base::get_string(item, "digest");
    const auto manifest = co_await images->manifest(build.image_repository, digest);
    if (!manifest || base::get_array(*manifest, "layers").size() != 1) continue;
    const auto content = co_await images->blob(base::get_string(base::get_array(*manifest, "layers").front(), "digest"),
                                               kMaxBundleBytes);
    if (content && verify_provenance(*content, build.image_digest, authority_)) co_return digest;
  }
  co_return "";
}

// The digest of the SBOM itself, from the manifest it is attached with.
async::Task<std::string> LocalAttester::sbom_of(BuildRecord build, std::string referrer) {
  const auto manifest = co_await images_()->manifest(build.image_repository, referrer);
  if (!manifest || base::get_array(*manifest, "layers").size() != 1) co_return "";
  co_return base::get_string(base::get_array(*manifest, "layers").front(), "digest");
}

base::Result<std::string> LocalAttester::sign_as(std::string identity,
                                                 std::vector<std::pair<std::string, std::string>> extensions,
                                                 std::string payload) const {
  Bundle bundle{.payload_type = std::string(kPayloadType), .payload = std::move(payload)};
  // A key for this one signature: there is nothing to keep, and nothing to steal afterwards.
  const auto key = crypto::PrivateKey::generate();
  crypto::CertificateRequest request{.lifetime = kSignerLifetime};
  request.uris = {std::move(identity)};
  request.code_signing = true;
  request.text_extensions = std::move(extensions);
  MAINSTAY_TRY(bundle.certificate_pem, authority_.issue(request, key.public_pem(), clock_));
  bundle.signature = key.sign(pre_authentication_encoding(bundle.payload_type, bundle.payload));
  MAINSTAY_TRY(bundle.timestamp, timestamps_->sign(bundle.signature, clock_));
  return write_bundle(bundle);
}

base::Result<std::string> LocalAttester::sign(const BuildRecord& build, const std::string& sbom_digest) const {
  const auto issuer = config_.server_url();
  return sign_as(signer_identity(issuer, build.team, build.repository, build.workflow, build.ref),
                 signer_extensions(build, issuer),
                 base::to_json(provenance_statement(build, issuer, config_.registry_host(), sbom_digest)));
}

base::Result<std::string> LocalAttester::sign(const platform::ApprovalRecord& approval) const {
  const auto issuer = config_.server_url();
  return sign_as(approval_identity(issuer, approval), {{"1.3.6.1.4.1.57264.1.8", issuer}},
                 base::to_json(approval_statement(approval, issuer, config_.registry_host())));
}

async::Task<base::Result<std::string>> LocalAttester::approve(platform::ApprovalRecord approval) {
  if (!store::valid_digest(approval.image_digest) || !approval.image_repository.starts_with(approval.team + "/"))
    co_return fail(ErrorCode::kInvalid, "only an image of the team's own can be approved");
  auto images = images_();
  if (!images) co_return fail(ErrorCode::kUnavailable, "there is no artifact store");
  auto shared = std::make_shared<platform::ApprovalRecord>(approval);
  MAINSTAY_CO_TRY(auto bundle, co_await runtime_.blocking([this, shared] { return sign(*shared); }));
  co_return co_await images->attach(approval.image_repository, approval.image_digest, std::string(kBundleType),
                                    std::string(kBundleType), std::move(bundle),
                                    {{"org.opencontainers.image.created", base::rfc3339(clock_.now())},
                                     {"dev.sigstore.bundle.content", "dsse-envelope"},
                                     {"dev.sigstore.bundle.predicateType", std::string(kApprovalPredicate)},
                                     {"mainstay.dev/release", approval.team + "/" + approval.release},
                                     {"mainstay.dev/environment", approval.environment},
                                     {"mainstay.dev/approved-by", approval.approver}});
}

async::Task<base::Result<AttestResult>> LocalAttester::attest(BuildRecord build) {
  MAINSTAY_CO_TRY_VOID(check(build));
  auto images = images_();
  if (!images) co_return fail(ErrorCode::kUnavailable, "there is no artifact store");
  AttestResult out;
  out.provenance_digest = co_await earlier(build);
  if (!out.provenance_digest.empty()) co_return out;
  // The statement names the SBOM, which binds it to the signature. Without one the provenance still counts.
  const auto scanned = co_await scan(build);
  if (!scanned) {
    base::log::warn("provenance", "{}@{} is attested without its SBOM: {}", build.image_repository, build.image_digest,
                    scanned.error().message);
  }
  const auto sbom = scanned ? co_await sbom_of(build, scanned->sbom_digest) : std::string();
  auto shared = std::make_shared<BuildRecord>(build);
  MAINSTAY_CO_TRY(auto bundle, co_await runtime_.blocking([this, shared, sbom] { return sign(*shared, sbom); }));
  MAINSTAY_CO_TRY(out.provenance_digest,
                  co_await images->attach(build.image_repository, build.image_digest, std::string(kBundleType),
                                          std::string(kBundleType), std::move(bundle),
                                          {{"org.opencontainers.image.created", base::rfc3339(clock_.now())},
                                           {"dev.sigstore.bundle.content", "dsse-envelope"},
                                           {"dev.sigstore.bundle.predicateType", std::string(kSlsaPredicate)},
                                           {std::string(kRunAnnotation), build.run_uid}}));
  base::log::info("provenance", "attested {}@{} of run {}", build.image_repository, build.image_digest, build.run_name);
  co_return out;
}

}  // namespace mainstay::provenance
