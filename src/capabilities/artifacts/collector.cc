#include "capabilities/artifacts/collector.h"

#include <unordered_set>

#include "base/log.h"

namespace mainstay::artifacts {

using base::ErrorCode;

namespace {

constexpr std::chrono::minutes kFirst(5), kEvery(60);
constexpr std::int64_t kKeepCached = 30 * 24 * 3600;  // seconds since an upstream's tag was last asked for
constexpr std::size_t kBatch = 500;                   // changes to a commit

std::vector<std::string> names(const Index& index) {
  std::vector<std::string> out;
  for (const auto& [name, repository] : index.repositories()) out.push_back(name);
  return out;
}

}  // namespace

async::Task<> Collector::run(std::shared_ptr<Collector> self) {
  auto wait = std::chrono::nanoseconds(kFirst);
  while (true) {
    co_await async::sleep_for(wait);
    wait = kEvery;
    try {
      co_await self->collect();
    } catch (const async::Cancelled&) {
      throw;
    } catch (const std::exception& error) {
      base::log::warn("artifacts", "collecting unused blobs: {}; the next run tries again", error.what());
    }
  }
}

async::Task<Collected> Collector::collect(std::chrono::seconds age) {
  Collected out;
  if (running_) co_return out;
  running_ = true;
  struct Done {
    bool& running;
    ~Done() { running = false; }
  } done{running_};

  out.uploads = co_await uploads_->expire(age);
  // Files of uploads that were begun, but not recorded before the program was killed.
  co_await registry_->blobs().expire_uploads(age);
  std::set<std::string> gone;
  for (const auto& repository : names(registry_->index())) {
    if (is_upstream_repository(repository)) continue;
    const auto ns = split_repository(repository).first;
    if (!gone.contains(ns) && !co_await namespace_exists_(ns)) gone.insert(ns);
  }
  for (const auto& ns : gone) out.repositories += co_await drop_namespace(ns);
  const std::int64_t before = registry_->now_seconds() - age.count();
  for (const auto& repository : names(registry_->index())) {
    if (is_upstream_repository(repository)) co_await evict(repository, registry_->now_seconds() - kKeepCached);
  }
  for (const auto& repository : names(registry_->index())) co_await unlink_unreferenced(repository, before, out);
  co_await sweep_doubts(out);
  if (out.links + out.files + out.uploads + out.repositories > 0) {
    base::log::info("artifacts",
                    "removed {} unused blobs ({} bytes), {} abandoned uploads, {} repositories of removed teams",
                    out.files, out.bytes, out.uploads, out.repositories);
  }
  co_return out;
}

async::Task<> Collector::unlink_unreferenced(std::string name, std::int64_t before, Collected& out) {
  auto& index = registry_->index();
  const auto* repository = index.find(name);
  if (repository == nullptr) co_return;
  std::unordered_set<std::string_view> referenced;
  for (const auto& [digest, manifest] : repository->manifests)
    referenced.insert(manifest->blobs.begin(), manifest->blobs.end());
  std::vector<Change> changes;
  std::vector<std::unique_ptr<Index::Removal>> removals;
  for (const auto& [digest, link] : repository->blobs) {
    if (link.linked > before || referenced.contains(digest)) continue;
    auto removal = index.begin_removal(digest);
    if (!removal) continue;
    changes.emplace_back(UnlinkBlob{name, digest});
    if (index.uses(digest) <= 1) {
      changes.emplace_back(Doubt{digest});
      out.bytes += link.size;
    }
    removals.push_back(std::move(removal));
    if (removals.size() >= kBatch) break;  // the rest in the next run
  }
  const auto count = removals.size();
  if (count == 0) co_return;
  if (auto committed = co_await index.commit(std::move(changes)); !committed) throw registry_error(committed.error());
  out.links += count;
}

// Takes from a cached repository the tags nobody asked for lately, and the manifests that no tag leads to any more;
// their blobs follow as any unreferenced ones. What is asked for again is fetched again.
async::Task<> Collector::evict(std::string name, std::int64_t before) {
  auto& index = registry_->index();
  const auto* repository = index.find(name);
  if (repository == nullptr) co_return;
  std::vector<Change> changes;
  std::unordered_set<std::string_view> kept;
  for (const auto& [tag, entry] : repository->tags) {
    if (entry.updated < before) {
      changes.emplace_back(DropTag{name, tag});
      continue;
    }
    kept.insert(entry.digest);
    const auto manifest = index.manifest(name, entry.digest);
    if (manifest) kept.insert(manifest->manifests.begin(), manifest->manifests.end());
  }
  std::vector<std::unique_ptr<Index::Removal>> removals;
  for (const auto& [digest, manifest] : repository->manifests) {
    if (manifest->pushed >= before || kept.contains(digest)) continue;
    auto removal = index.begin_removal(digest);
    if (!removal) continue;
    removals.push_back(std::move(removal));
    if (index.uses(digest) <= 1) changes.emplace_back(Doubt{digest});
    changes.emplace_back(DropManifest{name, digest});
  }
  if (auto committed = co_await index.commit(std::move(changes)); !committed) throw registry_error(committed.error());
}

async::Task<> Collector::sweep_doubts(Collected& out) {
  auto& index = registry_->index();
  const std::vector<std::string> doubts(index.doubts().begin(), index.doubts().end());
  for (const auto& digest : doubts) {
    auto removal = index.begin_removal(digest);
    if (!removal) continue;
    if (index.uses(digest) == 0) ++out.files;
    co_await registry_->remove_unused(std::move(removal), digest);
  }
}

async::Task<bool> Collector::drop_repository(std::string name) {
  auto& index = registry_->index();
  const auto* repository = index.find(name);
  if (repository == nullptr) co_return false;
  std::vector<Change> changes;
  std::vector<std::unique_ptr<Index::Removal>> removals;
  const auto doubt = [&](const std::string& digest) {
    if (index.uses(digest) <= 1) changes.emplace_back(Doubt{digest});
  };
  for (const auto& [tag, entry] : repository->tags) changes.emplace_back(DropTag{name, tag});
  for (const auto& [digest, manifest] : repository->manifests) {
    auto removal = index.begin_removal(digest);
    if (!removal) continue;
    removals.push_back(std::move(removal));
    changes.emplace_back(DropManifest{name, digest});
    doubt(digest);
  }
  for (const auto& [digest, link] : repository->blobs) {
    auto removal = index.begin_removal(digest);
    if (!removal) continue;
    removals.push_back(std::move(removal));
    changes.emplace_back(UnlinkBlob{name, digest});
    // The manifests that go with it in the same change also use it.
    changes.emplace_back(Doubt{digest});
  }
  if (auto committed = co_await index.commit(std::move(changes)); !committed) throw registry_error(committed.error());
  co_return index.find(name) == nullptr;
}

async::Task<std::size_t> Collector::drop_namespace(std::string ns) {
  std::size_t dropped = 0;
  co_await uploads_->expire(std::chrono::hours(24 * 365), ns);
  for (const auto& repository : names(registry_->index())) {
    if (split_repository(repository).first == ns && co_await drop_repository(repository)) ++dropped;
  }
  Collected ignored;
  co_await sweep_doubts(ignored);
  co_return dropped;
}

}  // namespace mainstay::artifacts
