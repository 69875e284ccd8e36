#include "capabilities/identity/totp.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/encoding.h"
#include "base/ids.h"
#include "base/strings.h"
#include "crypto/digest.h"

namespace mainstay::identity {
namespace {
constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
constexpr std::int64_t kStep = 30;
constexpr std::size_t kRecoveryCodes = 10;
}  // namespace

std::string base32(std::string_view bytes) {
  std::string out;
  std::uint32_t bits = 0;
  int held = 0;
  for (const char c : bytes) {
    bits = bits << 8 | static_cast<unsigned char>(c);
    for (held += 8; held >= 5; held -= 5) out += kAlphabet[bits >> (held - 5) & 31];
  }
  if (held > 0) out += kAlphabet[bits << (5 - held) & 31];
  return out;
}

base::Result<std::string> base32_decode(std::string_view text) {
  if (text.size() > 1024) return base::fail(base::ErrorCode::kTooLarge, "the key is too long");
  std::string out;
  std::uint32_t bits = 0;
  int held = 0;
  for (const char raw : text) {
    if (raw == ' ' || raw == '=') continue;
    const char c = raw >= 'a' && raw <= 'z' ? static_cast<char>(raw - 'a' + 'A') : raw;
    const auto at = kAlphabet.find(c);
    if (at == std::string_view::npos) return base::fail(base::ErrorCode::kInvalid, "not base32");
    bits = bits << 5 | static_cast<std::uint32_t>(at);
    held += 5;
    if (held >= 8) {
      held -= 8;
      out += static_cast<char>(bits >> held & 255);
    }
  }
  return out;
}

std::string make_totp_secret() {
  unsigned char raw[20];
  base::random_bytes(raw);
  return std::string(reinterpret_cast<char*>(raw), sizeof raw);
}

std::string totp_code(std::string_view secret, std::int64_t counter) {
  unsigned char moving[8], mac[EVP_MAX_MD_SIZE];
  for (int i = 0; i < 8; ++i) moving[i] = static_cast<unsigned char>(counter >> (56 - 8 * i));
  unsigned size = 0;
  HMAC(EVP_sha1(), secret.data(), static_cast<int>(secret.size()), moving, sizeof moving, mac, &size);
  const unsigned offset = mac[size - 1] & 15;
  const std::uint32_t value =
      (mac[offset] & 0x7fu) << 24 | mac[offset + 1] << 16 | mac[offset + 2] << 8 | mac[offset + 3];
  return fmt::format("{:06}", value % 1'000'000);
}

std::optional<std::int64_t> check_totp(std::string_view secret, std::string_view code, base::SystemTime now,
                                       std::int64_t last_counter) {
  const std::int64_t current = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count() / kStep;
  for (const std::int64_t counter : {current, current - 1, current + 1}) {
    if (counter > last_counter && base::constant_time_equal(totp_code(secret, counter), code)) return counter;
  }
  return std::nullopt;
}

std::string totp_uri(std::string_view secret, std::string_view user, std::string_view host) {
  return fmt::format("otpauth://totp/{}:{}?secret={}&issuer={}", base::percent_encode(fmt::format("Mainstay {}", host)),
                     base::percent_encode(user), base32(secret),
                     base::percent_encode(fmt::format("Mainstay {}", host)));
}

std::string recovery_hash(std::string_view typed) {
  std::string plain;
  for (const char c : base::lower(typed)) {
    if (c != ' ' && c != '-') plain += c;
  }
  return crypto::sha256_hex("recovery:" + plain);
}

RecoveryCodes make_recovery_codes() {
  RecoveryCodes out;
  for (std::size_t i = 0; i < kRecoveryCodes; ++i) {
    unsigned char raw[7];
    base::random_bytes(raw);
    const std::string text = base::lower(base32(std::string_view(reinterpret_cast<char*>(raw), sizeof raw)));
    out.codes.push_back(text.substr(0, 5) + "-" + text.substr(5, 5));
    out.hashes.push_back(recovery_hash(out.codes.back()));
  }
  return out;
}

}  // namespace mainstay::identity
