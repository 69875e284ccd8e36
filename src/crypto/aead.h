// AES-256-GCM (NIST SP 800-38D), one message at a time. A nonce is never used twice with a key: that is the caller's
// part.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace mainstay::crypto {

inline constexpr std::size_t kGcmKeySize = 32, kGcmNonceSize = 12, kGcmTagSize = 16;

// Appends the ciphertext and its tag to `out`.
void gcm_encrypt(std::string_view key, std::string_view nonce, std::string_view associated, std::string_view plain,
                 std::string& out);
// `text` is the ciphertext with its tag. nullopt where anything was altered.
std::optional<std::string> gcm_decrypt(std::string_view key, std::string_view nonce, std::string_view associated,
                                       std::string_view text);

}  // namespace mainstay::crypto
