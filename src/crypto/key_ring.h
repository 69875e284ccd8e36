// The master key's file, as bytes. Pure but for randomness and the derivation of a key from a passphrase.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mainstay::crypto {

struct KeyRing {
  std::vector<std::string> keys;  // 32 bytes each, newest first; at least one
  bool rewrap_pending = false;    // not all is wrapped by the newest yet
};

inline constexpr std::size_t kMaxRingKeys = 64;

// Of exactly 32 bytes where it is one key and nothing else.
std::string format_ring(const KeyRing& ring);
base::Result<KeyRing> parse_ring(std::string_view bytes);  // kInvalid

// How a passphrase becomes a key (RFC 9106, argon2id), and the key.
struct PassphraseKey {
  std::uint32_t memory_kib = 64 * 1024, passes = 3, lanes = 1;
  std::string salt;  // 16 bytes
  std::string key;   // 32 bytes
};
// With a new salt. kInvalid: shorter than 12 characters.
base::Result<PassphraseKey> derive(std::string_view passphrase);

bool is_wrapped(std::string_view file);
// A fresh nonce each time; parameters and salt are authenticated.
std::string wrap_ring(const KeyRing& ring, const PassphraseKey& key);
struct Unwrapped {
  KeyRing ring;
  PassphraseKey key;
};
// kInvalid: damaged, or parameters out of bounds; kForbidden: the passphrase is another.
base::Result<Unwrapped> unwrap_ring(std::string_view file, std::string_view passphrase);

}  // namespace mainstay::crypto
