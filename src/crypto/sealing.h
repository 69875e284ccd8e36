// Encryption of secrets at rest: AES-256-GCM with a data key per object, itself wrapped by the master key. The context
// (the object's key) is authenticated, so that a sealed value moved to another object does not open.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mainstay::crypto {

class Sealer {
 public:
  // Reads the master key (32 random bytes, 0600), making it where missing.
  static base::Result<Sealer> open(const std::filesystem::path& master_key_path);
  explicit Sealer(std::string master_key) : master_(std::move(master_key)) {}
  std::string seal(std::string_view plain, std::string_view context) const;
  base::Result<std::string> unseal(std::string_view sealed, std::string_view context) const;
  static bool is_sealed(std::string_view bytes);

 private:
  std::string master_;
};

}  // namespace mainstay::crypto
