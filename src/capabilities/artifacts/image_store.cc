#include "capabilities/artifacts/image_store.h"

#include "crypto/digest.h"

namespace mainstay::artifacts {

using base::ErrorCode;
using base::fail;
using platform::ImageReference;
namespace json = base::json;

namespace {

constexpr std::size_t kMaxConfigBytes = 8u << 20;

std::unexpected<base::Error> as_error(const RegistryError& error) {
  const auto code = error.status() == 404                            ? ErrorCode::kNotFound
                    : error.status() == 503 || error.status() == 424 ? ErrorCode::kUnavailable
                    : error.status() == 507                          ? ErrorCode::kExhausted
                    : error.status() < 500                           ? ErrorCode::kInvalid
                                                                     : ErrorCode::kInternal;
  return fail(code, error.message());
}

std::string reference_of(const ImageReference& reference) {
  return reference.digest.empty() ? reference.tag : reference.digest;
}

}  // namespace

async::Task<base::Result<std::string>> LocalImageStore::locate(ImageReference reference) {
  const bool own = config_.is_own_registry(reference.registry);
  const std::string repository = own ? reference.repository : reference.registry + "/" + reference.repository;
  if (!is_upstream_repository(repository)) {
    if (own) co_return repository;
    co_return fail(ErrorCode::kNotFound, fmt::format("image {}: {} is not a registry this platform caches",
                                                     reference.to_string(), reference.registry));
  }
  std::optional<RegistryError> problem;
  try {
    co_await upstreams_->ensure_manifest(repository, reference_of(reference));
  } catch (const RegistryError& error) {
    problem = error;
  }
  if (problem) {
    auto error = as_error(*problem);
    co_return fail(error.error().code, fmt::format("image {}: {}", reference.to_string(), error.error().message));
  }
  co_return repository;
}

async::Task<base::Result<std::string>> LocalImageStore::resolve(ImageReference reference) {
  MAINSTAY_CO_TRY(const auto repository, co_await locate(reference));
  const auto record = registry_->index().manifest(repository, reference_of(reference));
  if (!record) {
    co_return fail(ErrorCode::kNotFound, fmt::format("image {}: repository {} of this registry has no {}",
                                                     reference.to_string(), repository, reference_of(reference)));
  }
  co_return record->digest;
}

async::Task<base::Result<platform::ImageStore::Image>> LocalImageStore::image(ImageReference reference) {
  MAINSTAY_CO_TRY(const auto repository, co_await locate(reference));
  base::Result<Image> out = fail(ErrorCode::kInternal, "");
  try {
    out = co_await load(repository, reference_of(reference), reference.to_string());
  } catch (const RegistryError& error) {
    out = as_error(error);
  }
  co_return out;
}

async::Task<base::Result<platform::ImageStore::Image>> LocalImageStore::load(std::string repository,
                                                                             std::string reference,
                                                                             std::string asked_for) {
  const bool upstream = is_upstream_repository(repository);
  auto record = registry_->index().manifest(repository, reference);
  if (!record) {
    co_return fail(ErrorCode::kNotFound,
                   fmt::format("image {}: repository {} of this registry has no {}", asked_for, repository, reference));
  }
  auto content = co_await registry_->content(record->digest);
  MAINSTAY_CO_TRY(auto parsed, parse_manifest(*content, record->media_type));
  if (parsed.index) {
    const auto* entry = for_this_machine(parsed);
    if (entry == nullptr) {
      co_return fail(ErrorCode::kNotFound,
                     fmt::format("image {}: its index has no image for linux/{}", asked_for, machine_architecture()));
    }
    const std::string digest = entry->digest;
    if (upstream) co_await upstreams_->ensure_manifest(repository, digest);
    record = registry_->index().manifest(repository, digest);
    if (!record)
      co_return fail(ErrorCode::kNotFound, fmt::format("image {}: {} of its index is not here", asked_for, digest));
    content = co_await registry_->content(digest);
    MAINSTAY_CO_TRY(parsed, parse_manifest(*content, record->media_type));
    if (parsed.index)
      co_return fail(ErrorCode::kInvalid,
                     fmt::format("image {}: an index within an index is not understood", asked_for));
  }
  Image out{.repository = repository, .digest = record->digest};
  MAINSTAY_CO_TRY(out.manifest, base::parse_json(*content));
  // A manifest may name blobs that its repository never got (those with urls): the file that has the digest is another
  // team's, perhaps.
  const auto linked = [&](const std::string& digest) -> base::Result<> {
    if (registry_->index().blob(repository, digest) != nullptr) return {};
    return fail(ErrorCode::kNotFound, fmt::format("image {}: the blob {} is not in repository {}: push it there",
                                                  asked_for, digest, repository));
  };
  if (upstream) co_await upstreams_->ensure_blob(repository, parsed.config->digest);
  MAINSTAY_CO_TRY_VOID(linked(parsed.config->digest));
  MAINSTAY_CO_TRY(const auto config, co_await registry_->blobs().read(parsed.config->digest, kMaxConfigBytes));
  MAINSTAY_CO_TRY(out.config, base::parse_json(config));
  for (const auto& layer : parsed.layers) {
    if (upstream) co_await upstreams_->ensure_blob(repository, layer.digest);
    MAINSTAY_CO_TRY_VOID(linked(layer.digest));
    auto path = registry_->blobs().path(layer.digest);
    if (!path)
      co_return fail(path.error().code,
                     fmt::format("image {}: layer {}: {}", asked_for, layer.digest, path.error().message));
    out.layers.push_back(Layer{layer.digest, layer.media_type, layer.size, *std::move(path)});
  }
  co_return out;
}

async::Task<base::Result<json::array>> LocalImageStore::referrers(std::string repository, std::string digest,
                                                                  std::string artifact_type) {
  co_return registry_->referrers(repository, digest, artifact_type);
}

async::Task<base::Result<json::value>> LocalImageStore::manifest(std::string repository, std::string digest) {
  const auto record = registry_->index().manifest(repository, digest);
  if (!record)
    co_return fail(ErrorCode::kNotFound, fmt::format("repository {} has no manifest {}", repository, digest));
  std::optional<RegistryError> problem;
  Content content;
  try {
    content = co_await registry_->content(record->digest);
  } catch (const RegistryError& error) {
    problem = error;
  }
  if (problem) co_return as_error(*problem);
  co_return base::parse_json(*content);
}

async::Task<base::Result<std::string>> LocalImageStore::blob(std::string digest, std::size_t max_bytes) {
  if (!store::valid_digest(digest))
    co_return fail(ErrorCode::kInvalid, "a digest must be sha256: and 64 lower-case hex digits");
  co_return co_await registry_->blobs().read(std::move(digest), max_bytes);
}

async::Task<base::Result<std::string>> LocalImageStore::attach(
    std::string repository, std::string subject_digest, std::string artifact_type, std::string media_type,
    std::string content, std::vector<std::pair<std::string, std::string>> annotations) {
  const auto subject = registry_->index().manifest(repository, subject_digest);
  if (!subject) {
    co_return fail(ErrorCode::kNotFound, fmt::format("cannot attach {} to {}@{}: it is not in this registry",
                                                     artifact_type, repository, subject_digest));
  }
  std::optional<RegistryError> problem;
  std::string digest;
  try {
    const auto layer = co_await registry_->put_blob(repository, media_type, std::move(content));
    const auto empty = co_await registry_->put_blob(repository, std::string(media_type::kOciEmpty), "{}");
    const auto descriptor = [](const Descriptor& d) {
      return json::object{{"mediaType", d.media_type}, {"digest", d.digest}, {"size", d.size}};
    };
    json::object manifest{
        {"schemaVersion", 2}, {"mediaType", media_type::kOciManifest}, {"artifactType", artifact_type}};
    manifest["config"] = descriptor(empty);
    manifest["layers"] = json::array{descriptor(layer)};
    manifest["subject"] =
        json::object{{"mediaType", subject->media_type}, {"digest", subject->digest}, {"size", subject->size}};
    json::object notes;
    for (const auto& [name, value] : annotations) notes[name] = value;
    if (!notes.empty()) manifest["annotations"] = std::move(notes);
    const std::string bytes = base::to_json(manifest);
    const std::string expected = "sha256:" + crypto::sha256_hex(bytes);
    digest =
        (co_await registry_->put_manifest(repository, expected, std::string(media_type::kOciManifest), bytes)).digest;
  } catch (const RegistryError& error) {
    problem = error;
  }
  if (problem) co_return as_error(*problem);
  co_return digest;
}

}  // namespace mainstay::artifacts
