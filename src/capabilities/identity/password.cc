#include "capabilities/identity/password.h"

#include <argon2.h>

#include <algorithm>
#include <set>
#include <stdexcept>

#include "base/ids.h"
#include "base/status.h"
#include "base/strings.h"

namespace mainstay::identity {
namespace {
constexpr std::uint32_t kMemoryKiB = 46 * 1024, kPasses = 2, kLanes = 1;
constexpr std::size_t kSalt = 16, kHash = 32, kShortest = 10, kLongest = 256, kEncoded = 256;
constexpr int kAtOnce = 2, kMaxWaiting = 64;
}  // namespace

base::Result<> check_password(std::string_view password, std::string_view user) {
  const auto bad = [](std::string why) { return base::fail(base::ErrorCode::kInvalid, std::move(why)); };
  if (password.size() < kShortest)
    return bad(fmt::format("the password has {} characters: take at least {}", password.size(), kShortest));
  if (password.size() > kLongest) return bad(fmt::format("the password is longer than {} bytes", kLongest));
  if (password.find('\0') != std::string_view::npos) return bad("the password holds a NUL character");
  if (!user.empty() && base::lower(password).find(base::lower(user)) != std::string::npos &&
      password.size() < user.size() + 6)
    return bad("the password is little more than the user's name: choose another");
  if (std::set<char>(password.begin(), password.end()).size() < 4)
    return bad("the password repeats the same few characters: choose another");
  return {};
}

std::string hash_password(const std::string& password) {
  unsigned char salt[kSalt];
  base::random_bytes(salt);
  char encoded[kEncoded];
  const int failed = argon2id_hash_encoded(kPasses, kMemoryKiB, kLanes, password.data(), password.size(), salt, kSalt,
                                           kHash, encoded, sizeof encoded);
  if (failed != ARGON2_OK) throw std::runtime_error(std::string("argon2: ") + argon2_error_message(failed));
  return encoded;
}

bool verify_password(const std::string& encoded, const std::string& password) {
  return encoded.starts_with("$argon2id$") &&
         argon2id_verify(encoded.c_str(), password.data(), password.size()) == ARGON2_OK;
}

struct PasswordHasher::Slot {
  explicit Slot(PasswordHasher& owner) : owner(owner) { ++owner.busy_; }
  ~Slot() {
    --owner.busy_;
    owner.freed_.notify_all();
  }
  PasswordHasher& owner;
};

async::Task<std::shared_ptr<PasswordHasher::Slot>> PasswordHasher::take() {
  if (waiting_ >= kMaxWaiting) throw base::too_many_requests("too many people sign in at once; try again", 2);
  struct Waiting {
    int& count;
    explicit Waiting(int& c) : count(c) { ++count; }
    ~Waiting() { --count; }
  } counted(waiting_);
  while (busy_ >= kAtOnce) co_await freed_.wait();
  co_return std::make_shared<Slot>(*this);
}

async::Task<std::string> PasswordHasher::hash(std::string password) {
  auto slot = co_await take();
  co_return co_await runtime_.blocking([password = std::move(password)] { return hash_password(password); });
}

async::Task<bool> PasswordHasher::verify(std::string encoded, std::string password) {
  auto slot = co_await take();
  const bool good = co_await runtime_.blocking([encoded, password = std::move(password)] {
    if (!encoded.empty()) return verify_password(encoded, password);
    hash_password(password);  // who is not there must not be told by the time it takes
    return false;
  });
  co_return good;
}

}  // namespace mainstay::identity
