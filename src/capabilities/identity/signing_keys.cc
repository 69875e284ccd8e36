#include "capabilities/identity/signing_keys.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/files.h"

namespace mainstay::identity {
namespace fs = std::filesystem;
namespace {

base::SystemTime written(const fs::path& file) {
  struct stat info{};
  if (::stat(file.c_str(), &info) != 0) return {};
  return base::SystemTime(std::chrono::seconds(info.st_mtime));
}

int number_of(const fs::path& file) {
  const std::string name = file.filename();  // token-0001.key
  return std::atoi(name.substr(6, name.size() - 10).c_str());
}

}  // namespace

base::Result<std::shared_ptr<KeyRing>> KeyRing::open(fs::path folder, const base::Clock& clock) {
  MAINSTAY_TRY_VOID(base::make_directories(folder, 0700));
  std::shared_ptr<KeyRing> ring(new KeyRing(std::move(folder), clock));
  MAINSTAY_TRY_VOID(ring->load());
  while (ring->keys_.size() < 2) {
    MAINSTAY_TRY_VOID(ring->rotate());
  }
  return ring;
}

base::Result<> KeyRing::load() {
  files_.clear();
  made_.clear();
  keys_.clear();
  for (const auto& entry : fs::directory_iterator(folder_)) {
    const std::string name = entry.path().filename();
    if (name.starts_with("token-") && name.ends_with(".key")) files_.push_back(entry.path());
  }
  std::ranges::sort(files_, std::ranges::greater(), number_of);
  for (const fs::path& file : files_) {
    MAINSTAY_TRY(std::string pem, base::read_file(file, 1u << 16));
    auto key = crypto::PrivateKey::from_pem(pem);
    if (!key) return base::fail(key.error().code, file.string() + ": " + key.error().message);
    keys_.push_back(*std::move(key));
    made_.push_back(written(file));
  }
  return {};
}

base::Result<> KeyRing::rotate() {
  const int next = files_.empty() ? 1 : number_of(files_.front()) + 1;
  const fs::path file = folder_ / fmt::format("token-{:04}.key", next);
  const auto key = crypto::PrivateKey::generate();
  MAINSTAY_TRY_VOID(base::write_file(file, key.to_pem(), 0600));
  files_.insert(files_.begin(), file);
  made_.insert(made_.begin(), clock_.now());
  keys_.insert(keys_.begin(), key);
  return {};
}

base::Result<> KeyRing::prune() {
  for (std::size_t i = keys_.size(); i-- > 2;) {
    // Its successor began to sign when the next after that was made.
    if (made_[i - 2] + kLongestToken > clock_.now()) break;
    std::error_code failed;
    fs::remove(files_[i], failed);
    if (failed) return base::fail(base::ErrorCode::kInternal, files_[i].string() + ": " + failed.message());
    keys_.resize(i);
    files_.resize(i);
    made_.resize(i);
  }
  return {};
}

base::SystemTime KeyRing::next_rotation() const { return made_.front() + kPeriod; }

}  // namespace mainstay::identity
