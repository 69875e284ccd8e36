#include "capabilities/provenance/image_policy.h"

#include "base/log.h"
#include "base/status.h"
#include "base/strings.h"
#include "capabilities/provenance/bundle.h"
#include "capabilities/provenance/verifier.h"

namespace mainstay::provenance {

using base::ErrorCode;
using base::fail;
using platform::ImageReference;
namespace json = base::json;

namespace {

constexpr std::string_view kTeamLabel = "mainstay.dev/team", kEnvironmentLabel = "mainstay.dev/environment";
constexpr std::size_t kMaxVerified = 8192;
constexpr std::size_t kMaxBundleBytes = 256 * 1024;
constexpr std::size_t kMaxReferrers = 200;
constexpr const char* kLists[] = {"containers", "initContainers", "ephemeralContainers"};

std::string what_to_do(std::string_view team) {
  return fmt::format(
      "push the source to a repository of team {} so that its pipeline builds the image, or ask an administrator for "
      "an exception: spec.exceptions {{images, provenance: true, until, reason}} of a VerificationPolicy",
      team);
}

base::StatusError refuse(std::string_view container, std::string_view image, std::string_view what,
                         std::string_view todo) {
  return base::forbidden(
      fmt::format("image \"{}\" of container \"{}\" is not allowed here: {}; {}", image, container, what, todo));
}

const json::array* list_of(const json::value& pod, const char* name) {
  const auto* spec = base::find(pod, "spec");
  const auto* list = spec == nullptr ? nullptr : base::find(*spec, {std::string_view(name)});
  return list != nullptr && list->is_array() ? &list->get_array() : nullptr;
}

// The image that the old pod has in the container of that name.
std::string image_before(const json::value* old, const char* list, const std::string& container) {
  const auto* before = old == nullptr ? nullptr : list_of(*old, list);
  if (before == nullptr) return "";
  for (const auto& item : *before) {
    if (base::get_string(item, "name") == container) return base::get_string(item, "image");
  }
  return "";
}

std::string label_text(const json::object& labels, std::string_view name) {
  const auto* value = labels.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

bool of_team(const std::string& repository, const std::string& team) { return repository.starts_with(team + "/"); }

}  // namespace

ImagePolicy::ImagePolicy(Dependencies dependencies)
    : d_(std::move(dependencies)),
      admitted_(d_.metrics.counter("mainstay_image_admission_total",
                                   "Images that the provenance check let through or refused.",
                                   {{"decision", "allowed"}})),
      refused_(d_.metrics.counter("mainstay_image_admission_total",
                                  "Images that the provenance check let through or refused.",
                                  {{"decision", "refused"}})) {}

bool ImagePolicy::concerns(const api::AdmissionRequest& request) {
  return request.operation != api::Operation::kDelete && request.type->group.empty() && request.type->kind == "Pod" &&
         (request.subresource.empty() || request.subresource == "ephemeralcontainers") && request.object != nullptr;
}

async::Task<ImagePolicy::Place> ImagePolicy::place_of(std::string ns) {
  const auto labels = co_await d_.labels(std::move(ns));
  co_return Place{label_text(labels, kTeamLabel), label_text(labels, kEnvironmentLabel)};
}

std::vector<ImagePolicy::Named> ImagePolicy::images_of(const api::AdmissionRequest& request) {
  std::vector<Named> out;
  for (const char* name : kLists) {
    const auto* list = list_of(*request.object, name);
    if (list == nullptr) continue;
    for (auto& item : const_cast<json::array&>(*list)) {
      Named named{base::get_string(item, "name"), base::get_string(item, "image"), &item};
      const bool update = request.operation == api::Operation::kUpdate;
      if (update && named.image == image_before(request.old_object, name, named.container)) continue;
      out.push_back(std::move(named));
    }
  }
  return out;
}

async::Task<> ImagePolicy::resolve(std::shared_ptr<ImagePolicy> self, api::AdmissionRequest& request) {
  const auto place = co_await self->place_of(request.ns);
  if (place.environment.empty()) co_return;
  auto images = self->d_.images();
  if (!images) co_return;  // verify() refuses
  for (auto& named : images_of(request)) {
    auto reference = ImageReference::parse(named.image);
    if (!reference || !reference->digest.empty() || !self->d_.config.is_own_registry(reference->registry) ||
        !of_team(reference->repository, place.team)) {
      continue;  // nothing to resolve, or verify() refuses
    }
    const auto digest = co_await images->resolve(*reference);
    if (!digest) {
      self->refused_.add();
      const bool missing = digest.error().code == ErrorCode::kNotFound;
      throw refuse(named.container, named.image,
                   missing ? "this platform's registry does not have it" : digest.error().message,
                   what_to_do(place.team));
    }
    reference->tag.clear();
    reference->digest = *digest;
    base::set(*named.field, "image", json::value(json::string(reference->to_string())));
  }
}

async::Task<> ImagePolicy::verify(std::shared_ptr<ImagePolicy> self, api::AdmissionRequest& request) {
  const auto place = co_await self->place_of(request.ns);
  if (place.environment.empty() && place.team.empty()) co_return;
  for (const auto& named : images_of(request)) {
    try {
      if (place.environment.empty()) {
        self->check_job_image(place, named);
      } else {
        co_await self->check_deployed_image(place, named);
      }
    } catch (const base::StatusError&) {
      self->refused_.add();
      throw;
    }
    self->admitted_.add();
  }
}

void ImagePolicy::check_job_image(const Place& place, const Named& named) const {
  const auto reference = ImageReference::parse(named.image);
  const std::string todo =
      fmt::format("use an image of team {}, a base image of library, or the runner mainstay.dev/runner", place.team);
  if (!reference) throw refuse(named.container, named.image, reference.error().message, todo);
  if (reference->registry == "mainstay.dev" && reference->repository == "runner") return;
  if (!d_.config.is_own_registry(reference->registry)) {
    throw refuse(named.container, named.image, "it is not kept in this platform's registry", todo);
  }
  // The node pulls with the platform's rights, so whose image it is must be checked here.
  const auto first = reference->repository.substr(0, reference->repository.find('/'));
  const bool cached = first.find('.') != std::string::npos;
  if (first != place.team && first != "library" && !cached) {
    throw refuse(named.container, named.image, fmt::format("it belongs to team {}", first), todo);
  }
}

async::Task<> ImagePolicy::check_deployed_image(Place place, Named named) {
  if (place.team.empty()) {
    throw refuse(named.container, named.image, fmt::format("the namespace has no label {}", kTeamLabel),
                 "an environment is made by its Team object");
  }
  const std::string todo = what_to_do(place.team);
  const auto reference = ImageReference::parse(named.image);
  if (!reference) throw refuse(named.container, named.image, reference.error().message, todo);
  const bool own = d_.config.is_own_registry(reference->registry);
  const Candidate candidate{place.team, place.environment,
                            own ? reference->repository : reference->registry + "/" + reference->repository};
  std::string why;
  if (!own) {
    why = "it is not kept in this platform's registry";
  } else if (!of_team(reference->repository, place.team)) {
    why = fmt::format("it is not an image of team {}", place.team);
  } else if (reference->digest.empty()) {
    why = "it is not named by digest";
  }
  // Another team's image stays refused: an exception speaks of where an image comes from, not of whose it is.
  if (!why.empty()) {
    const bool foreign = own && !of_team(reference->repository, place.team) &&
                         !reference->repository.starts_with("library/") &&
                         !reference->repository.substr(0, reference->repository.find('/')).contains('.');
    if (!foreign && excepted(candidate)) co_return;
    throw refuse(named.container, named.image, why, todo);
  }
  const std::string key = place.team + " " + reference->repository + "@" + reference->digest;
  Claims claims;
  if (const Claims* held = known(key)) {
    claims = *held;
  } else {
    const auto checked = co_await provenance_of(reference->repository, reference->digest, place.team);
    if (!checked) {
      if (excepted(candidate)) co_return;
      throw refuse(named.container, named.image, checked.error().message, todo);
    }
    claims = *checked;
    remember(key, claims);
  }
  co_await check_policies(candidate, named, reference->digest, std::move(claims));
}

bool ImagePolicy::excepted(const Candidate& candidate) const {
  if (!d_.policies) return false;
  for (const auto& policy : d_.policies()) {
    if (!excepts_provenance(*policy, candidate, now())) continue;
    base::log::warn("provenance", "{} runs in {}-{} by an exception of VerificationPolicy {}", candidate.repository,
                    candidate.team, candidate.environment, base::get_string(*policy, "metadata.name"));
    return true;
  }
  return false;
}

async::Task<> ImagePolicy::check_policies(Candidate candidate, Named named, std::string digest, Claims claims) {
  if (!d_.policies) co_return;
  for (const auto& policy : d_.policies()) {
    if (!policy_concerns(*policy, candidate)) continue;
    std::vector<Finding> findings;
    std::vector<std::string> problems;
    if (policy_needs_findings(*policy) && d_.findings) {
      auto found = co_await d_.findings(candidate.repository, digest);
      if (found)
        findings = *std::move(found);
      else
        problems.push_back("its packages cannot be listed: " + found.error().message);
    }
    for (auto& problem : policy_problems(*policy, candidate, claims, findings, now()))
      problems.push_back(std::move(problem));
    if (problems.empty()) continue;
    const std::string name = base::get_string(*policy, "metadata.name"),
                      mode = base::get_string(*policy, "spec.mode", "audit");
    const std::string what = fmt::format("VerificationPolicy {}: {}", name, base::join(problems, "; "));
    d_.metrics
        .counter("mainstay_policy_violations_total", "Images that a VerificationPolicy refused, or would refuse.",
                 {{"policy", name}, {"mode", mode}})
        .add();
    if (mode == "enforce")
      throw refuse(named.container, named.image, what,
                   how_to_except(name, candidate,
                                 problems.front().starts_with("its provenance") ? "provenance: true"
                                                                                : "vulnerabilities: [<id>]"));
    base::log::warn("provenance", "{}@{} in {}-{}: {} (audit)", candidate.repository, digest, candidate.team,
                    candidate.environment, what);
  }
}

async::Task<base::Result<Claims>> ImagePolicy::provenance_of(std::string repository, std::string digest,
                                                             std::string team) {
  auto images = d_.images();
  if (!images) co_return fail(ErrorCode::kUnavailable, "there is no artifact store to look for its provenance in");
  MAINSTAY_CO_TRY([[maybe_unused]] const auto manifest, co_await images->manifest(repository, digest));
  MAINSTAY_CO_TRY(const auto referrers, co_await images->referrers(repository, digest, std::string(kBundleType)));
  std::string why = "it has no signed provenance";
  std::size_t looked = 0;
  for (const auto& item : referrers) {
    if (++looked > kMaxReferrers) {
      why = fmt::format("none of its first {} attestations is provenance that verifies", kMaxReferrers);
      break;
    }
    const auto attestation = co_await images->manifest(repository, base::get_string(item, "digest"));
    if (!attestation || base::get_array(*attestation, "layers").size() != 1) continue;
    const auto blob = base::get_string(base::get_array(*attestation, "layers").front(), "digest");
    const auto bundle = co_await images->blob(blob, kMaxBundleBytes);
    if (!bundle) continue;
    const auto claims = verify_provenance(*bundle, digest, d_.authority);
    if (!claims) {
      why = "its provenance does not verify: " + claims.error().message;
      continue;
    }
    if (claims->team == team) co_return *claims;
    why = fmt::format("it was built from a repository of team {}", claims->team);
  }
  co_return fail(ErrorCode::kForbidden, why);
}

const Claims* ImagePolicy::known(const std::string& key) {
  const auto at = verified_.find(key);
  if (at == verified_.end()) return nullptr;
  order_.splice(order_.begin(), order_, at->second.second);
  return &at->second.first;
}

void ImagePolicy::remember(const std::string& key, Claims claims) {
  if (verified_.contains(key)) return;
  order_.push_front(key);
  verified_[key] = {std::move(claims), order_.begin()};
  if (verified_.size() > kMaxVerified) {
    verified_.erase(order_.back());
    order_.pop_back();
  }
}

}  // namespace mainstay::provenance
