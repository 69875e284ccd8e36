#include "capabilities/artifacts/index.h"

#include "base/files.h"
#include "base/log.h"

namespace mainstay::artifacts {

using base::ErrorCode;
using base::fail;

// One commit() on its way to the disk. Shared, as its caller may be cancelled meanwhile.
struct Index::Waiting {
  Waiting(std::vector<Change> c, async::Executor executor) : changes(std::move(c)), done(std::move(executor)) {}
  std::vector<Change> changes;
  async::Event done;
  std::optional<base::Result<>> outcome;
};

Index::Index(async::Runtime& runtime, std::unique_ptr<Database> database)
    : runtime_(runtime), database_(std::move(database)), wake_(runtime.executor()), removed_(runtime.executor()) {}
Index::~Index() = default;

base::Result<std::shared_ptr<Index>> Index::open(async::Runtime& runtime, async::TaskGroup& tasks,
                                                 const std::filesystem::path& file) {
  MAINSTAY_TRY_VOID(base::make_directories(file.parent_path(), 0700));
  MAINSTAY_TRY(auto database, Database::open(file));
  auto index = std::make_shared<Index>(runtime, std::move(database));
  MAINSTAY_TRY_VOID(index->database_->load([&](Change change) { index->apply(change); }));
  tasks.spawn("artifacts index", write(index));
  return index;
}

async::Task<base::Result<>> Index::commit(std::vector<Change> changes) {
  if (changes.empty()) co_return base::Result<>();
  if (stopped_) co_return fail(ErrorCode::kUnavailable, "the registry is stopping");
  auto mine = std::make_shared<Waiting>(std::move(changes), runtime_.executor());
  waiting_.push_back(mine);
  wake_.notify_all();
  while (!mine->outcome) co_await mine->done.wait();
  co_return *mine->outcome;
}

async::Task<> Index::write(std::shared_ptr<Index> self) {
  using Batch = std::vector<std::shared_ptr<Waiting>>;
  // Whoever still waits when this ends hears so, rather than waiting for ever.
  struct Stop {
    Index& index;
    std::shared_ptr<Batch> under_way;
    ~Stop() {
      index.stopped_ = true;
      if (under_way) index.waiting_.insert(index.waiting_.end(), under_way->begin(), under_way->end());
      for (auto& item : std::exchange(index.waiting_, {})) {
        if (item->outcome) continue;
        item->outcome = fail(ErrorCode::kUnavailable, "the registry is stopping");
        item->done.notify_all();
      }
    }
  } stop{*self, nullptr};
  while (true) {
    while (self->waiting_.empty()) co_await self->wake_.wait();
    auto batch = std::make_shared<Batch>(std::exchange(self->waiting_, {}));
    stop.under_way = batch;
    // Those of one batch are committed together; where that fails, one by one, so that a bad one fails alone.
    auto outcomes = co_await self->runtime_.blocking([database = self->database_, batch] {
      std::vector<Change> all;
      for (const auto& item : *batch) all.insert(all.end(), item->changes.begin(), item->changes.end());
      auto together = database->commit(all);
      std::vector<base::Result<>> each(batch->size(), together);
      if (together || batch->size() == 1) return each;
      for (std::size_t i = 0; i < batch->size(); ++i) each[i] = database->commit((*batch)[i]->changes);
      return each;
    });
    for (std::size_t i = 0; i < batch->size(); ++i) {
      auto& item = *(*batch)[i];
      if (outcomes[i]) {
        for (const auto& change : item.changes) self->apply(change);
      } else {
        base::log::error("artifacts", "{}", outcomes[i].error().message);
      }
      item.outcome = outcomes[i];
      item.done.notify_all();
    }
  }
}

const Repository* Index::find(std::string_view repository) const {
  const auto at = repositories_.find(repository);
  return at == repositories_.end() ? nullptr : &at->second;
}

ManifestPtr Index::manifest(std::string_view repository, std::string_view reference) const {
  const auto* found = find(repository);
  if (found == nullptr) return nullptr;
  if (reference.find(':') == std::string_view::npos) {  // a tag has no colon, a digest always
    const auto tag = found->tags.find(reference);
    if (tag == found->tags.end()) return nullptr;
    reference = tag->second.digest;
  }
  const auto at = found->manifests.find(reference);
  return at == found->manifests.end() ? nullptr : at->second;
}

const LinkBlob* Index::blob(std::string_view repository, std::string_view digest) const {
  const auto* found = find(repository);
  if (found == nullptr) return nullptr;
  const auto at = found->blobs.find(digest);
  return at == found->blobs.end() ? nullptr : &at->second;
}

std::size_t Index::uses(std::string_view digest) const {
  const auto at = uses_.find(digest);
  return at == uses_.end() ? 0 : at->second;
}

void Index::apply(const Change& change) {
  std::visit([this](const auto& c) { apply_one(c); }, change);
}

void Index::apply_one(const SetTag& c) { repositories_[c.repository].tags[c.tag] = {c.digest, c.updated}; }

void Index::apply_one(const DropTag& c) {
  if (const auto at = repositories_.find(c.repository); at != repositories_.end()) at->second.tags.erase(c.tag);
  forget_if_empty(c.repository);
}

// Who refers to what, so that garbage is known without a walk over everything.
void Index::count(const AddManifest& manifest, int by) {
  const auto one = [&](const std::string& digest) {
    auto& n = uses_[digest];
    n = static_cast<std::size_t>(static_cast<std::int64_t>(n) + by);
    if (n == 0) uses_.erase(digest);
  };
  one(manifest.digest);
  for (const auto& digest : manifest.blobs) one(digest);
}

void Index::apply_one(const AddManifest& c) {
  auto& repository = repositories_[c.repository];
  auto& slot = repository.manifests[c.digest];
  if (slot) count(*slot, -1);
  slot = std::make_shared<const AddManifest>(c);
  count(c, 1);
  if (!c.subject.empty()) repository.referrers[c.subject].insert(c.digest);
}

void Index::apply_one(const DropManifest& c) {
  const auto at = repositories_.find(c.repository);
  if (at == repositories_.end()) return;
  auto& repository = at->second;
  std::erase_if(repository.tags, [&](const auto& tag) { return tag.second.digest == c.digest; });
  if (const auto manifest = repository.manifests.find(c.digest); manifest != repository.manifests.end()) {
    count(*manifest->second, -1);
    if (const auto of = repository.referrers.find(manifest->second->subject); of != repository.referrers.end()) {
      of->second.erase(c.digest);
      if (of->second.empty()) repository.referrers.erase(of);
    }
    repository.manifests.erase(manifest);
  }
  forget_if_empty(c.repository);
}

void Index::apply_one(const LinkBlob& c) {
  auto& repository = repositories_[c.repository];
  if (repository.blobs.insert_or_assign(c.digest, c).second) ++uses_[c.digest];
}

void Index::apply_one(const UnlinkBlob& c) {
  const auto at = repositories_.find(c.repository);
  if (at == repositories_.end() || at->second.blobs.erase(c.digest) == 0) return;
  if (const auto n = uses_.find(c.digest); n != uses_.end() && --n->second == 0) uses_.erase(n);
  forget_if_empty(c.repository);
}

void Index::apply_one(const AddUpload& c) { uploads_[c.id] = c; }
void Index::apply_one(const DropUpload& c) { uploads_.erase(c.id); }
void Index::apply_one(const Doubt& c) { doubts_.insert(c.digest); }
void Index::apply_one(const Settle& c) { doubts_.erase(c.digest); }

void Index::forget_if_empty(const std::string& repository) {
  const auto at = repositories_.find(repository);
  if (at != repositories_.end() && at->second.empty()) repositories_.erase(at);
}

Index::Pin::Pin(Index& index, std::vector<std::string> digests) : index_(&index), digests_(std::move(digests)) {
  for (const auto& digest : digests_) ++index_->pins_[digest];
}
Index::Pin::Pin(Pin&& other) noexcept
    : index_(std::exchange(other.index_, nullptr)), digests_(std::move(other.digests_)) {}
Index::Pin& Index::Pin::operator=(Pin&& other) noexcept {
  if (this != &other) {
    release();
    index_ = std::exchange(other.index_, nullptr);
    digests_ = std::move(other.digests_);
  }
  return *this;
}
Index::Pin::~Pin() { release(); }
void Index::Pin::release() {
  if (index_ == nullptr) return;
  for (const auto& digest : digests_) {
    const auto at = index_->pins_.find(digest);
    if (at != index_->pins_.end() && --at->second == 0) index_->pins_.erase(at);
  }
  index_ = nullptr;
}

async::Task<Index::Pin> Index::pin(std::vector<std::string> digests) {
  const auto being_removed = [this](const std::string& digest) { return removing_.contains(digest); };
  while (std::ranges::any_of(digests, being_removed)) co_await removed_.wait();
  co_return Pin(*this, std::move(digests));
}

std::unique_ptr<Index::Removal> Index::begin_removal(std::string_view digest) {
  if (pinned(digest) || removing_.contains(digest)) return nullptr;
  removing_.emplace(digest);
  return std::make_unique<Removal>(*this, std::string(digest));
}
Index::Removal::~Removal() {
  index_.removing_.erase(digest_);
  index_.removed_.notify_all();
}

}  // namespace mainstay::artifacts
