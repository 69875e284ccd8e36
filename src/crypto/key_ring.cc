#include "crypto/key_ring.h"

#include <argon2.h>
#include <fmt/format.h>

#include "base/ids.h"
#include "crypto/aead.h"
#include "crypto/openssl.h"

namespace mainstay::crypto {
namespace {

using base::ErrorCode;
using base::fail;

// Ring: magic, flags (1), number of keys (1), the keys. Wrapped: magic, memory, passes, lanes (4 each, big endian),
// salt, nonce, ciphertext and tag.
constexpr std::string_view kRingMagic{"\0MRING1\0", 8};
constexpr std::string_view kWrappedMagic{"\0MPASS1\0", 8};
constexpr std::size_t kSalt = 16, kNumber = 4;
constexpr std::size_t kWrappedHeader = 8 + 3 * kNumber + kSalt;
constexpr std::size_t kShortestPassphrase = 12;

std::string random_string(std::size_t size) {
  std::string out(size, '\0');
  base::random_bytes({bytes_of(out), out.size()});
  return out;
}

void append_number(std::string& out, std::uint32_t number) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(number >> shift & 255);
}
std::uint32_t read_number(std::string_view bytes) {
  std::uint32_t out = 0;
  for (std::size_t i = 0; i < kNumber; ++i) out = out << 8 | static_cast<unsigned char>(bytes[i]);
  return out;
}

base::Result<std::string> argon2id(std::string_view passphrase, const PassphraseKey& how) {
  std::string key(kGcmKeySize, '\0');
  const int error = ::argon2id_hash_raw(how.passes, how.memory_kib, how.lanes, passphrase.data(), passphrase.size(),
                                        how.salt.data(), how.salt.size(), key.data(), key.size());
  if (error != ARGON2_OK)
    return fail(ErrorCode::kUnavailable, fmt::format("deriving the master key: {}", ::argon2_error_message(error)));
  return key;
}

std::string header(const PassphraseKey& key) {
  std::string out(kWrappedMagic);
  for (std::uint32_t number : {key.memory_kib, key.passes, key.lanes}) append_number(out, number);
  return out + key.salt;
}

}  // namespace

std::string format_ring(const KeyRing& ring) {
  if (ring.keys.size() == 1 && !ring.rewrap_pending) return ring.keys.front();
  std::string out(kRingMagic);
  out += static_cast<char>(ring.rewrap_pending ? 1 : 0);
  out += static_cast<char>(ring.keys.size());
  for (const std::string& key : ring.keys) out += key;
  return out;
}

base::Result<KeyRing> parse_ring(std::string_view bytes) {
  if (bytes.size() == kGcmKeySize) return KeyRing{{std::string(bytes)}, false};
  constexpr std::size_t kHead = 8 + 2;
  if (!bytes.starts_with(kRingMagic) || bytes.size() < kHead + kGcmKeySize)
    return fail(ErrorCode::kInvalid,
                fmt::format("not a master key's file ({} bytes; a single key has {})", bytes.size(), kGcmKeySize));
  const std::size_t count = static_cast<unsigned char>(bytes[9]);
  if (count > kMaxRingKeys || bytes.size() != kHead + count * kGcmKeySize)
    return fail(ErrorCode::kInvalid, "the master key's file is damaged");
  KeyRing ring;
  ring.rewrap_pending = bytes[8] == 1;
  for (std::size_t i = 0; i < count; ++i) ring.keys.emplace_back(bytes.substr(kHead + i * kGcmKeySize, kGcmKeySize));
  return ring;
}

base::Result<PassphraseKey> derive(std::string_view passphrase) {
  if (passphrase.size() < kShortestPassphrase)
    return fail(ErrorCode::kInvalid, fmt::format("the master passphrase has less than {} characters: take a longer one",
                                                 kShortestPassphrase));
  PassphraseKey key;
  key.salt = random_string(kSalt);
  MAINSTAY_TRY(key.key, argon2id(passphrase, key));
  return key;
}

bool is_wrapped(std::string_view file) { return file.starts_with(kWrappedMagic); }

std::string wrap_ring(const KeyRing& ring, const PassphraseKey& key) {
  std::string out = header(key);
  const std::string associated = out, nonce = random_string(kGcmNonceSize);
  out += nonce;
  gcm_encrypt(key.key, nonce, associated, format_ring(ring), out);
  return out;
}

base::Result<Unwrapped> unwrap_ring(std::string_view file, std::string_view passphrase) {
  if (!is_wrapped(file) || file.size() < kWrappedHeader + kGcmNonceSize + kGcmTagSize)
    return fail(ErrorCode::kInvalid, "the master key's file is damaged");
  PassphraseKey key;
  key.memory_kib = read_number(file.substr(8));
  key.passes = read_number(file.substr(12));
  key.lanes = read_number(file.substr(16));
  key.salt = file.substr(20, kSalt);
  // Bounded before they are believed: the file may have been tampered with.
  if (key.memory_kib < 8 || key.memory_kib > (1u << 20) || key.passes < 1 || key.passes > 20 || key.lanes < 1 ||
      key.lanes > 16)
    return fail(ErrorCode::kInvalid, "the master key's file is damaged: its parameters are out of bounds");
  MAINSTAY_TRY(key.key, argon2id(passphrase, key));
  const std::string_view rest = file.substr(kWrappedHeader);
  const auto plain =
      gcm_decrypt(key.key, rest.substr(0, kGcmNonceSize), file.substr(0, kWrappedHeader), rest.substr(kGcmNonceSize));
  if (!plain)
    return fail(ErrorCode::kForbidden, "the master passphrase does not open the master key; give the right one");
  MAINSTAY_TRY(KeyRing ring, parse_ring(*plain));
  return Unwrapped{std::move(ring), std::move(key)};
}

}  // namespace mainstay::crypto
