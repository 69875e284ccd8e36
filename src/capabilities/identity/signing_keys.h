// The keys that sign the platform's tokens. The newest signs; older ones are published until what they signed has
// ended.
#pragma once
#include <chrono>
#include <filesystem>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "crypto/keys.h"

namespace mainstay::identity {

// DIR/keys/token-<number>.key. On the loop; reading and writing are a few small files at start and at a rotation.
class KeyRing {
 public:
  // Reads the keys, making the first. Errors name the file.
  static base::Result<std::shared_ptr<KeyRing>> open(std::filesystem::path folder, const base::Clock& clock);
  // Newest first: what JWKS (RFC 7517) publishes and verification accepts.
  const std::vector<crypto::PrivateKey>& all() const { return keys_; }
  const crypto::PrivateKey& signing() const { return keys_.at(1); }
  // The key that was published ahead signs from now on, and another is made. Written before it is published: a token
  // never outlives its key in a crash.
  base::Result<> rotate();
  // Forgets keys whose successor is older than any token may live.
  base::Result<> prune();
  base::SystemTime next_rotation() const;

  static constexpr std::chrono::hours kPeriod{24 * 90};
  static constexpr std::chrono::hours kLongestToken{24 * 367};  // what TokenRequests may ask for, and a day

 private:
  KeyRing(std::filesystem::path folder, const base::Clock& clock) : folder_(std::move(folder)), clock_(clock) {}
  base::Result<> load();
  std::filesystem::path folder_;
  const base::Clock& clock_;
  std::vector<std::filesystem::path> files_;  // parallel to keys_
  std::vector<base::SystemTime> made_;
  std::vector<crypto::PrivateKey> keys_;
};

}  // namespace mainstay::identity
