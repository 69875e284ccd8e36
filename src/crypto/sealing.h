// Encryption of secrets at rest: AES-256-GCM with a data key per value, itself wrapped by the master key. The context
// (the object's key) is authenticated, so that a sealed value moved to another object does not open.
//
// The master key's file holds a ring: the first key seals, the earlier ones still open what they sealed. It is plain
// (0600), or wrapped under a key that argon2id (RFC 9106) derives from a passphrase.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mainstay::crypto {

// Copies share their ring. Thread-safe.
class Sealer {
 public:
  // Reads the file, making it where missing. With a passphrase a plain file is wrapped under it at once; a wrapped file
  // does not open without (kForbidden), nor with a wrong one. Blocking: the derivation takes about a quarter of a
  // second.
  static base::Result<Sealer> open(const std::filesystem::path& master_key_path,
                                   const std::optional<std::string>& passphrase = std::nullopt);
  explicit Sealer(std::string master_key);  // 32 bytes, kept nowhere
  std::string seal(std::string_view plain, std::string_view context) const;
  base::Result<std::string> unseal(std::string_view sealed, std::string_view context) const;
  // The same value, its data key wrapped by the newest master key.
  base::Result<std::string> rewrap(std::string_view sealed, std::string_view context) const;
  static bool is_sealed(std::string_view bytes);
  bool is_current(std::string_view sealed) const;  // wrapped by the newest master key

  // A new master key: durable in the file, then in use. What the earlier ones wrapped is to be wrapped anew, which
  // rewrap_pending() says until rewrap_done(), also after a crash. Blocking.
  base::Result<> rotate();
  bool rewrap_pending() const;
  base::Result<> rewrap_done();
  std::size_t keys() const;     // in the ring
  bool has_passphrase() const;  // the file is wrapped

 private:
  struct State;
  explicit Sealer(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

}  // namespace mainstay::crypto
