// Time-based one-time passwords (RFC 6238 over RFC 4226: SHA-1, 6 digits, 30 s, as authenticator applications expect).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace mainstay::identity {

std::string base32(std::string_view bytes);                 // RFC 4648, no padding
base::Result<std::string> base32_decode(std::string_view);  // case and spaces do not count
std::string make_totp_secret();                             // 20 random bytes
std::string totp_code(std::string_view secret, std::int64_t counter);
// The counter whose code this is, within one step of now and after `last_counter`: a code counts once (RFC 6238 5.2).
std::optional<std::int64_t> check_totp(std::string_view secret, std::string_view code, base::SystemTime now,
                                       std::int64_t last_counter);
std::string totp_uri(std::string_view secret, std::string_view user, std::string_view host);
// Ten codes of 50 bits for the day the device is lost: shown once, kept as hashes.
struct RecoveryCodes {
  std::vector<std::string> codes, hashes;
};
RecoveryCodes make_recovery_codes();
std::string recovery_hash(std::string_view typed);  // case, spaces and dashes do not count

}  // namespace mainstay::identity
