#include "crypto/sealing.h"

#include "base/files.h"
#include "base/ids.h"
#include "crypto/aead.h"
#include "crypto/digest.h"
#include "crypto/openssl.h"

namespace mainstay::crypto {
namespace {

using base::ErrorCode;
using base::fail;

// Layout: magic, id of the master key (4), nonce (12), wrapped data key (32 + tag 16), nonce (12), ciphertext and tag.
// The NUL in the magic keeps it from ever being the beginning of a text.
constexpr std::string_view kMagic{"\0MSEAL1\0", 8};
constexpr std::size_t kMasterId = 4;
constexpr std::size_t kWrapped = kGcmNonceSize + kGcmKeySize + kGcmTagSize;
constexpr std::size_t kHeader = kMagic.size() + kMasterId + kWrapped;

std::string random_string(std::size_t size) {
  std::string out(size, '\0');
  base::random_bytes({bytes_of(out), out.size()});
  return out;
}

// Tells a wrong master key from a damaged value, and gives nothing of the key away.
std::string master_id(std::string_view master) {
  return hmac_sha256(master, "mainstay master key id").substr(0, kMasterId);
}

}  // namespace

base::Result<Sealer> Sealer::open(const std::filesystem::path& master_key_path) {
  std::error_code error;
  if (!std::filesystem::exists(master_key_path, error)) {
    if (error) return fail(ErrorCode::kUnavailable, fmt::format("{}: {}", master_key_path.string(), error.message()));
    std::string key = random_string(kGcmKeySize);
    MAINSTAY_TRY_VOID(base::write_file(master_key_path, key, 0600));
    return Sealer(std::move(key));
  }
  MAINSTAY_TRY(std::string key, base::read_file(master_key_path, 4096));
  if (key.size() != kGcmKeySize)
    return fail(ErrorCode::kInvalid,
                fmt::format("{}: a master key has {} bytes, this file {}; put the right file back from a backup "
                            "(without it, what it sealed cannot be read)",
                            master_key_path.string(), kGcmKeySize, key.size()));
  return Sealer(std::move(key));
}

std::string Sealer::seal(std::string_view plain, std::string_view context) const {
  std::string data_key = random_string(kGcmKeySize);
  std::string out;
  out.reserve(kHeader + kGcmNonceSize + plain.size() + kGcmTagSize);
  out.append(kMagic).append(master_id(master_));
  // The context is bound to both layers: neither the data key nor the value can be moved to another object. The data
  // key is used once, but a random nonce costs nothing and keeps that from being something to get right.
  for (auto [key, text] : {std::pair<std::string_view, std::string_view>(master_, data_key), {data_key, plain}}) {
    std::string nonce = random_string(kGcmNonceSize);
    out.append(nonce);
    gcm_encrypt(key, nonce, context, text, out);
  }
  OPENSSL_cleanse(data_key.data(), data_key.size());
  return out;
}

base::Result<std::string> Sealer::unseal(std::string_view sealed, std::string_view context) const {
  if (!is_sealed(sealed)) return fail(ErrorCode::kInvalid, "not a sealed value");
  if (sealed.size() < kHeader + kGcmNonceSize + kGcmTagSize)
    return fail(ErrorCode::kInvalid, "a truncated sealed value");
  if (sealed.substr(kMagic.size(), kMasterId) != master_id(master_))
    return fail(ErrorCode::kInvalid, "the value was sealed under another master key; put that key file back");
  std::string_view wrapped = sealed.substr(kMagic.size() + kMasterId, kWrapped);
  std::string_view body = sealed.substr(kHeader);
  auto data_key = gcm_decrypt(master_, wrapped.substr(0, kGcmNonceSize), context, wrapped.substr(kGcmNonceSize));
  if (!data_key) return fail(ErrorCode::kInvalid, "the sealed value is damaged or belongs to another object");
  auto plain = gcm_decrypt(*data_key, body.substr(0, kGcmNonceSize), context, body.substr(kGcmNonceSize));
  OPENSSL_cleanse(data_key->data(), data_key->size());
  if (!plain) return fail(ErrorCode::kInvalid, "the sealed value is damaged");
  return *std::move(plain);
}

bool Sealer::is_sealed(std::string_view bytes) { return bytes.starts_with(kMagic); }

}  // namespace mainstay::crypto
