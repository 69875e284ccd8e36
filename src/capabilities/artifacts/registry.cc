#include "capabilities/artifacts/registry.h"

#include <sys/statvfs.h>

#include "base/log.h"
#include "crypto/digest.h"

namespace mainstay::artifacts {

using base::ErrorCode;
namespace json = base::json;

namespace {

constexpr std::uint64_t kKeepFree = 256u << 20;
constexpr std::size_t kParseOnLoop = 32 * 1024;  // larger manifests are parsed and hashed on the pool

struct Parsed {
  base::Result<Manifest> manifest;
  std::string digest;
};

Parsed parse_and_hash(const std::string& bytes, const std::string& content_type) {
  return {parse_manifest(bytes, content_type), "sha256:" + crypto::sha256_hex(bytes)};
}

AddManifest record_of(const std::string& repository, const Manifest& manifest, const std::string& digest,
                      std::size_t size, std::int64_t now) {
  AddManifest out{.repository = repository,
                  .digest = digest,
                  .media_type = manifest.media_type,
                  .artifact_type = manifest.artifact_type,
                  .subject = manifest.subject ? manifest.subject->digest : "",
                  .annotations = manifest.annotations.empty() ? "" : base::to_json(manifest.annotations),
                  .size = size,
                  .pushed = now};
  if (manifest.config) out.blobs.push_back(manifest.config->digest);
  for (const auto& layer : manifest.layers) out.blobs.push_back(layer.digest);
  for (const auto& entry : manifest.manifests) out.manifests.push_back(entry.digest);
  return out;
}

}  // namespace

Content ContentCache::get(std::string_view digest) {
  const auto found = at_.find(digest);
  if (found == at_.end()) return nullptr;
  if (found->second != order_.begin()) order_.splice(order_.begin(), order_, found->second);
  return order_.front().second;
}

void ContentCache::put(const std::string& digest, Content content) {
  erase(digest);
  if (content->size() > max_bytes_ / 2) return;
  bytes_ += content->size();
  order_.emplace_front(digest, std::move(content));
  at_[digest] = order_.begin();
  while (bytes_ > max_bytes_) erase(std::string(order_.back().first));
}

void ContentCache::erase(std::string_view digest) {
  const auto found = at_.find(digest);
  if (found == at_.end()) return;
  bytes_ -= found->second->second->size();
  const auto position = found->second;
  at_.erase(found);
  order_.erase(position);
}

std::int64_t Registry::now_seconds() const { return std::chrono::system_clock::to_time_t(d_.clock.now()); }

async::Task<Content> Registry::content(std::string digest) {
  if (auto held = contents_.get(digest)) co_return held;
  auto read = co_await d_.blobs->read(digest, kMaxManifestBytes);
  if (!read) {
    throw RegistryError(
        500, "MANIFEST_UNKNOWN",
        fmt::format("the manifest {} is in the index, but its content cannot be read: {}; push it again", digest,
                    read.error().message));
  }
  auto content = std::make_shared<const std::string>(*std::move(read));
  contents_.put(digest, content);
  co_return content;
}

void Registry::check_room() const {
  struct statvfs disk{};
  if (::statvfs(d_.data_dir.c_str(), &disk) != 0) return;
  const std::uint64_t free = static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
  if (free < kKeepFree) {
    throw RegistryError(
        507, "UNAVAILABLE",
        fmt::format(
            "the platform's disk has only {} MiB free: an administrator must make room before anything is pushed",
            free >> 20));
  }
}

async::Task<> Registry::check_writable(std::string repository) {
  if (is_upstream_repository(repository)) {
    throw RegistryError(405, "UNSUPPORTED",
                        fmt::format("{} is a cache of another registry: push to <team>/<name> instead", repository));
  }
  const auto [ns, name] = split_repository(repository);
  if (name.empty()) {
    throw RegistryError(400, "NAME_INVALID",
                        fmt::format("repository \"{}\": the name must be <team>/<name>", repository));
  }
  if (!co_await d_.namespace_exists(ns)) {
    throw RegistryError(404, "NAME_UNKNOWN",
                        fmt::format("there is no team \"{}\": create it, or push to <team>/{}", ns, name));
  }
}

void Registry::check_references(std::string_view repository, const Manifest& manifest) const {
  const auto missing = [](std::string_view field, const Descriptor& what, std::string_view why) {
    return RegistryError(400, "MANIFEST_BLOB_UNKNOWN", fmt::format("{} {}: {}", field, what.digest, why));
  };
  const auto blob = [&](std::string_view field, const Descriptor& what) {
    const auto* link = d_.index->blob(repository, what.digest);
    if (link == nullptr) {
      if (what.foreign) return;
      throw missing(field, what, "is not in this repository; upload it before the manifest");
    }
    if (link->size != what.size) throw missing(field, what, fmt::format("has {} bytes, not {}", link->size, what.size));
  };
  if (manifest.config) blob("config", *manifest.config);
  for (const auto& layer : manifest.layers) blob("layer", layer);
  for (const auto& entry : manifest.manifests) {
    const auto record = d_.index->manifest(repository, entry.digest);
    if (!record) throw missing("manifest", entry, "is not in this repository; push it before the index");
    if (record->size != entry.size)
      throw missing("manifest", entry, fmt::format("has {} bytes, not {}", record->size, entry.size));
  }
}

async::Task<Registry::Pushed> Registry::put_manifest(std::string repository, std::string reference,
                                                     std::string content_type, std::string bytes, bool trusted) {
  if (bytes.size() > kMaxManifestBytes) throw RegistryError(413, "SIZE_INVALID", "a manifest may have at most 4 MiB");
  if (!trusted) co_await check_writable(repository);
  auto content = std::make_shared<const std::string>(std::move(bytes));
  auto parsed = std::make_shared<Parsed>();
  if (content->size() <= kParseOnLoop) {
    *parsed = parse_and_hash(*content, content_type);
  } else {
    co_await d_.runtime.run_blocking(
        [parsed, content, content_type] { *parsed = parse_and_hash(*content, content_type); });
  }
  const bool by_digest = reference.find(':') != std::string::npos;
  if (by_digest && reference != parsed->digest) {
    throw RegistryError(400, "DIGEST_INVALID",
                        fmt::format("the content's digest is {}, not {}", parsed->digest, reference));
  }
  if (!parsed->manifest) throw RegistryError(400, "MANIFEST_INVALID", parsed->manifest.error().message);
  const auto& manifest = *parsed->manifest;
  auto record = record_of(repository, manifest, parsed->digest, content->size(), now_seconds());

  std::vector<std::string> concerned = record.blobs;
  concerned.insert(concerned.end(), record.manifests.begin(), record.manifests.end());
  concerned.push_back(record.digest);
  const auto pin = co_await d_.index->pin(std::move(concerned));
  if (!trusted) check_references(repository, manifest);

  std::vector<Change> changes;
  const auto before = d_.index->manifest(repository, record.digest);
  if (!before || before->media_type != record.media_type) {
    auto stored = co_await d_.blobs->put(*content);
    if (!stored) throw registry_error(stored.error());
    changes.emplace_back(record);
  }
  if (!by_digest) {
    const auto current = d_.index->manifest(repository, reference);
    const bool same = current && current->digest == record.digest;
    // The cache's tags are written again: their time says when they were last compared.
    if (!same || trusted) changes.emplace_back(SetTag{repository, reference, record.digest, now_seconds()});
  }
  if (auto done = co_await d_.index->commit(std::move(changes)); !done) throw registry_error(done.error());
  contents_.put(parsed->digest, content);
  co_return Pushed{parsed->digest, record.subject};
}

async::Task<> Registry::delete_manifest(std::string repository, std::string digest) {
  const auto record = d_.index->manifest(repository, digest);
  if (!record) throw RegistryError(404, "MANIFEST_UNKNOWN", fmt::format("{} has no manifest {}", repository, digest));
  for (const auto& [other, manifest] : d_.index->find(repository)->manifests) {
    if (std::ranges::find(manifest->manifests, digest) != manifest->manifests.end()) {
      throw RegistryError(409, "DENIED", fmt::format("the index {} refers to it: delete that first", other));
    }
  }
  auto removal = d_.index->begin_removal(digest);
  if (!removal) throw RegistryError(409, "DENIED", "the manifest is being pushed or deleted just now: try again");
  std::vector<Change> changes{DropManifest{repository, digest}};
  if (d_.index->uses(digest) <= 1) changes.emplace_back(Doubt{digest});
  if (auto done = co_await d_.index->commit(std::move(changes)); !done) throw registry_error(done.error());
  contents_.erase(digest);
  co_await remove_unused(std::move(removal), digest);
}

async::Task<> Registry::delete_tag(std::string repository, std::string tag) {
  const auto* found = d_.index->find(repository);
  if (found == nullptr || !found->tags.contains(tag)) {
    throw RegistryError(404, "MANIFEST_UNKNOWN", fmt::format("{} has no tag {}", repository, tag));
  }
  if (auto done = co_await d_.index->commit({DropTag{repository, tag}}); !done) throw registry_error(done.error());
}

async::Task<> Registry::delete_blob(std::string repository, std::string digest) {
  if (d_.index->blob(repository, digest) == nullptr) {
    throw RegistryError(404, "BLOB_UNKNOWN", fmt::format("{} has no blob {}", repository, digest));
  }
  for (const auto& [other, manifest] : d_.index->find(repository)->manifests) {
    if (std::ranges::find(manifest->blobs, digest) != manifest->blobs.end()) {
      throw RegistryError(409, "DENIED", fmt::format("the manifest {} refers to it: delete that first", other));
    }
  }
  auto removal = d_.index->begin_removal(digest);
  if (!removal) throw RegistryError(409, "DENIED", "the blob is being pushed or deleted just now: try again");
  std::vector<Change> changes{UnlinkBlob{repository, digest}};
  if (d_.index->uses(digest) <= 1) changes.emplace_back(Doubt{digest});
  if (auto done = co_await d_.index->commit(std::move(changes)); !done) throw registry_error(done.error());
  co_await remove_unused(std::move(removal), digest);
}

async::Task<> Registry::remove_unused(std::unique_ptr<Index::Removal> removal, std::string digest) {
  if (d_.index->uses(digest) > 0) {
    if (d_.index->doubts().contains(digest)) co_await d_.index->commit({Settle{digest}});
    co_return;
  }
  auto removed = co_await d_.blobs->remove(digest);
  if (!removed && removed.error().code != ErrorCode::kNotFound) {
    base::log::warn("artifacts", "cannot remove the blob {}: {}; the next collection tries again", digest,
                    removed.error().message);
    co_return;
  }
  co_await d_.index->commit({Settle{digest}});
}

async::Task<bool> Registry::mount(std::string repository, std::string digest, std::string from) {
  const auto pin = co_await d_.index->pin({digest});
  const auto* source = d_.index->blob(from, digest);
  if (source == nullptr) co_return false;
  if (d_.index->blob(repository, digest) != nullptr) co_return true;
  LinkBlob link{repository, digest, source->size, now_seconds()};
  if (auto done = co_await d_.index->commit({std::move(link)}); !done) throw registry_error(done.error());
  co_return true;
}

async::Task<Descriptor> Registry::put_blob(std::string repository, std::string media_type, std::string content) {
  const std::uint64_t size = content.size();
  const std::string digest = "sha256:" + crypto::sha256_hex(content);
  const auto pin = co_await d_.index->pin({digest});
  if (d_.index->blob(repository, digest) == nullptr) {
    auto stored = co_await d_.blobs->put(std::move(content));
    if (!stored) throw registry_error(stored.error());
    auto done = co_await d_.index->commit({LinkBlob{repository, digest, size, now_seconds()}});
    if (!done) throw registry_error(done.error());
  }
  co_return Descriptor{.media_type = std::move(media_type), .digest = digest, .artifact_type = {}, .size = size};
}

json::array Registry::referrers(std::string_view repository, std::string_view subject,
                                std::string_view artifact_type) const {
  json::array out;
  const auto* found = d_.index->find(repository);
  if (found == nullptr) return out;
  const auto of = found->referrers.find(subject);
  if (of == found->referrers.end()) return out;
  for (const auto& digest : of->second) {
    const auto record = d_.index->manifest(repository, digest);
    if (!record || (!artifact_type.empty() && record->artifact_type != artifact_type)) continue;
    json::object item{{"mediaType", record->media_type}, {"digest", record->digest}, {"size", record->size}};
    if (!record->artifact_type.empty()) item["artifactType"] = record->artifact_type;
    if (!record->annotations.empty()) {
      if (auto annotations = base::parse_json(record->annotations)) item["annotations"] = *std::move(annotations);
    }
    out.push_back(std::move(item));
  }
  return out;
}

}  // namespace mainstay::artifacts
