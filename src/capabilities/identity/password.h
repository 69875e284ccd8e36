// Passwords: argon2id (RFC 9106), and what one must be like.
#pragma once
#include <string>
#include <string_view>

#include "async/runtime.h"
#include "async/sync.h"
#include "base/result.h"

namespace mainstay::identity {

// 10 to 256 bytes, not the user's name, not one character over and over. The message says what to change.
base::Result<> check_password(std::string_view password, std::string_view user);
// The encoded form "$argon2id$v=19$…" (46 MiB, 2 passes, 1 lane). Blocks for tens of milliseconds.
std::string hash_password(const std::string& password);
bool verify_password(const std::string& encoded, const std::string& password);

// Hashing on the pool, two at a time, so that sign-ins neither fill the memory nor hold up the pool.
class PasswordHasher {
 public:
  explicit PasswordHasher(async::Runtime& runtime) : runtime_(runtime), freed_(runtime.executor()) {}
  async::Task<std::string> hash(std::string password);
  // An empty `encoded` (no such user) takes as long as a real one and is false. Throws 429 where too many wait.
  async::Task<bool> verify(std::string encoded, std::string password);

 private:
  struct Slot;
  async::Task<std::shared_ptr<Slot>> take();
  async::Runtime& runtime_;
  async::Event freed_;
  int busy_ = 0, waiting_ = 0;
};

}  // namespace mainstay::identity
