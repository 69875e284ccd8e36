#include "capabilities/artifacts/uploads.h"

#include "base/log.h"

namespace mainstay::artifacts {

using base::ErrorCode;

namespace {

constexpr std::size_t kChunk =
    512 * 1024;  // one append: large enough to hide the hop to the pool, small enough for its cache
constexpr std::size_t kChunksAhead = 2;
constexpr std::size_t kMaxUploads = 10'000, kMaxUploadsOfUser = 1'000;
constexpr std::uint64_t kWorthDoubting = 1u << 20;  // smaller orphans are not worth a write of their own

// Fills `chunk` from the body; true at its end.
async::Task<bool> fill(std::shared_ptr<net::BodyReader> body, std::string& chunk) {
  chunk.resize_and_overwrite(kChunk, [](char*, std::size_t size) { return size; });  // no zeroing
  std::size_t filled = 0;
  bool end = false;
  while (filled < kChunk && !end) {
    const std::size_t n = co_await body->read(std::span(chunk.data() + filled, kChunk - filled));
    filled += n;
    end = n == 0;
  }
  chunk.resize(filled);
  co_return end;
}

RegistryError unknown_upload() {
  return {404, "BLOB_UPLOAD_UNKNOWN",
          "there is no such upload for you in this repository; it may have ended or expired: begin a new one"};
}

}  // namespace

// The consumer of one request's chunks. It holds the upload in use until the last append is over, also where the
// request has gone meanwhile.
struct Uploads::Pump {
  Pump(async::Executor executor, UsePtr u) : chunks(executor, kChunksAhead), ended(executor), use(std::move(u)) {}
  async::Channel<std::string> chunks;
  async::Event ended;
  bool finished = false;
  base::Result<> outcome;
  UsePtr use;
};

Uploads::Uploads(std::shared_ptr<Registry> registry, async::TaskGroup& tasks)
    : registry_(std::move(registry)), tasks_(tasks) {
  for (const auto& [id, row] : registry_->index().uploads()) {
    uploads_[id] =
        std::make_shared<Upload>(Upload{id, row.repository, row.user, nullptr, false, registry_->clock().now()});
  }
}

async::Task<Uploads::UsePtr> Uploads::begin(std::string repository, std::string user) {
  registry_->check_room();
  const auto of_user = std::ranges::count_if(uploads_, [&](const auto& item) { return item.second->user == user; });
  if (uploads_.size() >= kMaxUploads || static_cast<std::size_t>(of_user) >= kMaxUploadsOfUser) {
    throw RegistryError(429, "TOOMANYREQUESTS",
                        "too many uploads are open: finish or delete some; those left alone end after a day");
  }
  auto blob = co_await registry_->blobs().begin();
  if (!blob) throw registry_error(blob.error());
  auto upload =
      std::make_shared<Upload>(Upload{(*blob)->id(), repository, user, *blob, false, registry_->clock().now()});
  uploads_[upload->id] = upload;
  auto use = std::make_shared<Use>(upload);
  if (auto done = co_await registry_->index().commit({AddUpload{upload->id, repository, user}}); !done) {
    uploads_.erase(upload->id);
    co_await upload->blob->abort();
    throw registry_error(done.error());
  }
  co_return use;
}

async::Task<Uploads::UsePtr> Uploads::open(std::string repository, std::string id, std::string user) {
  const auto found = uploads_.find(id);
  if (found == uploads_.end() || found->second->repository != repository || found->second->user != user)
    throw unknown_upload();
  if (found->second->busy) throw RegistryError(409, "BLOB_UPLOAD_INVALID", "another request is writing to this upload");
  auto use = std::make_shared<Use>(found->second);
  (*use)->touched = registry_->clock().now();
  if (!(*use)->blob) {
    auto blob = co_await registry_->blobs().resume(id);
    if (!blob) {
      const auto error = blob.error();
      if (error.code != ErrorCode::kNotFound) throw registry_error(error);
      co_await forget(id);
      throw unknown_upload();
    }
    (*use)->blob = *std::move(blob);
  }
  co_return use;
}

async::Task<> Uploads::pump(std::shared_ptr<Pump> pump) {
  struct End {
    Pump& p;
    ~End() {
      p.chunks.close();
      p.finished = true;
      p.use.reset();
      p.ended.notify_all();
    }
  } end{*pump};
  pump->outcome =
      base::fail(ErrorCode::kCancelled, "the upload was interrupted: ask for its state and go on from there");
  while (auto chunk = co_await pump->chunks.pop()) {
    if (auto appended = co_await (*pump->use)->blob->append(std::move(*chunk)); !appended) {
      pump->outcome = appended;
      co_return;
    }
  }
  pump->outcome = base::Result<>();
}

async::Task<> Uploads::receive(UsePtr use, std::shared_ptr<net::BodyReader> body) {
  auto& blob = *(*use)->blob;
  const auto limit = [](std::uint64_t size) {
    if (size > kMaxBlobBytes)
      throw RegistryError(413, "SIZE_INVALID", fmt::format("a blob may have at most {} bytes", kMaxBlobBytes));
  };
  std::uint64_t size = blob.size();
  limit(size + body->length().value_or(0));
  std::string chunk;
  bool end = co_await fill(body, chunk);
  if (end) {  // all of it at once
    if (!chunk.empty()) {
      if (auto appended = co_await blob.append(std::move(chunk)); !appended) throw registry_error(appended.error());
    }
    co_return;
  }
  auto pump = std::make_shared<Pump>(registry_->runtime().executor(), use);
  struct Close {
    Pump& p;
    ~Close() { p.chunks.close(); }
  } close{*pump};
  tasks_.spawn("upload", Uploads::pump(pump));
  while (!chunk.empty()) {
    limit(size += chunk.size());
    if (!co_await pump->chunks.push(std::move(chunk))) break;  // the store refused: outcome says why
    chunk.clear();
    if (!end) end = co_await fill(body, chunk);
  }
  pump->chunks.close();
  while (!pump->finished) co_await pump->ended.wait();
  if (!pump->outcome) throw registry_error(pump->outcome.error());
}

async::Task<> Uploads::finish(UsePtr use, std::string digest) {
  if (!store::valid_digest(digest)) {
    throw RegistryError(400, "DIGEST_INVALID", "digest must be sha256: and 64 lower-case hex digits");
  }
  auto& index = registry_->index();
  const auto id = (*use)->id, repository = (*use)->repository;
  auto blob = (*use)->blob;
  const auto pin = co_await index.pin({digest});
  const std::uint64_t size = blob->size();
  const bool doubt = size >= kWorthDoubting && index.uses(digest) == 0;
  if (doubt) {
    if (auto done = co_await index.commit({Doubt{digest}}); !done) throw registry_error(done.error());
  }
  if (auto done = co_await blob->finish(digest); !done) {
    const auto error = done.error();
    if (error.code != ErrorCode::kInvalid) throw registry_error(error);
    co_await forget(id);
    throw RegistryError(400, "DIGEST_INVALID", error.message);
  }
  uploads_.erase(id);
  std::vector<Change> changes{LinkBlob{repository, digest, size, registry_->now_seconds()}, DropUpload{id}};
  if (doubt) changes.emplace_back(Settle{digest});
  if (auto done = co_await index.commit(std::move(changes)); !done) throw registry_error(done.error());
}

async::Task<> Uploads::abort(UsePtr use) {
  const auto id = (*use)->id;
  co_await (*use)->blob->abort();
  co_await forget(id);
}

async::Task<> Uploads::forget(std::string id) {
  uploads_.erase(id);
  if (auto done = co_await registry_->index().commit({DropUpload{id}}); !done) {
    base::log::warn("artifacts", "an ended upload stays listed until the next start: {}", done.error().message);
  }
}

async::Task<std::size_t> Uploads::expire(std::chrono::seconds age, std::string ns) {
  const auto now = registry_->clock().now();
  std::vector<std::shared_ptr<Upload>> old;
  for (const auto& [id, upload] : uploads_) {
    const bool gone = !ns.empty() && split_repository(upload->repository).first == ns;
    if (!upload->busy && (gone || now - upload->touched >= age)) old.push_back(upload);
  }
  std::size_t ended = 0;
  for (const auto& upload : old) {
    if (upload->busy) continue;
    auto use = std::make_shared<Use>(upload);
    if (!upload->blob) {
      auto blob = co_await registry_->blobs().resume(upload->id);
      if (blob) upload->blob = *std::move(blob);
    }
    if (upload->blob) co_await upload->blob->abort();
    co_await forget(upload->id);
    ++ended;
  }
  co_return ended;
}

}  // namespace mainstay::artifacts
