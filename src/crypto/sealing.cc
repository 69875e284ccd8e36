#include "crypto/sealing.h"

#include <mutex>

#include "base/files.h"
#include "base/ids.h"
#include "crypto/aead.h"
#include "crypto/digest.h"
#include "crypto/key_ring.h"
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
constexpr std::size_t kMaxFile = 16 * 1024;

std::string random_string(std::size_t size) {
  std::string out(size, '\0');
  base::random_bytes({bytes_of(out), out.size()});
  return out;
}

// Tells a wrong master key from a damaged value, and gives nothing of the key away.
std::string master_id(std::string_view master) {
  return hmac_sha256(master, "mainstay master key id").substr(0, kMasterId);
}

// Magic, id and the wrapped data key.
std::string wrap(std::string_view master, std::string_view data_key, std::string_view context) {
  std::string out(kMagic);
  out.append(master_id(master));
  const std::string nonce = random_string(kGcmNonceSize);
  out.append(nonce);
  gcm_encrypt(master, nonce, context, data_key, out);
  return out;
}

}  // namespace

struct Sealer::State {
  std::filesystem::path path;             // empty: kept nowhere
  std::optional<PassphraseKey> wrapping;  // where the file is wrapped
  mutable std::mutex mutex;
  std::shared_ptr<const KeyRing> ring;

  std::shared_ptr<const KeyRing> current() const {
    const std::lock_guard lock(mutex);
    return ring;
  }
  // Into the file first: a key is not used before it is durable.
  base::Result<> replace(KeyRing fresh) {
    if (!path.empty()) {
      MAINSTAY_TRY_VOID(base::write_file(path, wrapping ? wrap_ring(fresh, *wrapping) : format_ring(fresh), 0600));
    }
    const std::lock_guard lock(mutex);
    ring = std::make_shared<const KeyRing>(std::move(fresh));
    return {};
  }
  // The ring's key that wrapped this value's data key; nullptr: none of them.
  static const std::string* key_of(const KeyRing& ring, std::string_view sealed) {
    for (const std::string& key : ring.keys) {
      if (sealed.substr(kMagic.size(), kMasterId) == master_id(key)) return &key;
    }
    return nullptr;
  }
  base::Result<std::string> data_key(std::string_view sealed, std::string_view context) const {
    if (!is_sealed(sealed)) return fail(ErrorCode::kInvalid, "not a sealed value");
    if (sealed.size() < kHeader + kGcmNonceSize + kGcmTagSize)
      return fail(ErrorCode::kInvalid, "a truncated sealed value");
    const auto ring = current();
    const std::string* master = key_of(*ring, sealed);
    if (master == nullptr)
      return fail(ErrorCode::kInvalid, "the value was sealed under another master key; put that key file back");
    const std::string_view wrapped = sealed.substr(kMagic.size() + kMasterId, kWrapped);
    auto out = gcm_decrypt(*master, wrapped.substr(0, kGcmNonceSize), context, wrapped.substr(kGcmNonceSize));
    if (!out) return fail(ErrorCode::kInvalid, "the sealed value is damaged or belongs to another object");
    return *std::move(out);
  }
};

Sealer::Sealer(std::string master_key) : state_(std::make_shared<State>()) {
  state_->ring = std::make_shared<const KeyRing>(KeyRing{{std::move(master_key)}, false});
}

base::Result<Sealer> Sealer::open(const std::filesystem::path& path, const std::optional<std::string>& passphrase) {
  auto state = std::make_shared<State>();
  state->path = path;
  const auto in_file = [&path](const base::Error& error) {
    return fail(error.code, fmt::format("{}: {}; put the right file back from a backup (without it, what it sealed "
                                        "cannot be read)",
                                        path.string(), error.message));
  };
  std::error_code error;
  const bool there = std::filesystem::exists(path, error);
  if (error) return fail(ErrorCode::kUnavailable, fmt::format("{}: {}", path.string(), error.message()));
  std::string file;
  if (there) {
    MAINSTAY_TRY(file, base::read_file(path, kMaxFile));
  }
  if (there && is_wrapped(file)) {
    if (!passphrase)
      return fail(ErrorCode::kForbidden,
                  fmt::format("{} is protected by a passphrase: start with --master-passphrase-file FILE or "
                              "MAINSTAY_MASTER_PASSPHRASE_FILE",
                              path.string()));
    auto opened = unwrap_ring(file, *passphrase);
    if (!opened && opened.error().code == ErrorCode::kInvalid) return in_file(opened.error());
    if (!opened) return std::unexpected(opened.error());
    state->wrapping = std::move(opened->key);
    state->ring = std::make_shared<const KeyRing>(std::move(opened->ring));
    return Sealer(std::move(state));
  }
  auto ring = there ? parse_ring(file) : base::Result<KeyRing>(KeyRing{{random_string(kGcmKeySize)}, false});
  if (!ring) return in_file(ring.error());
  if (passphrase) {
    MAINSTAY_TRY(state->wrapping, derive(*passphrase));
  }
  if (!there || passphrase) {
    MAINSTAY_TRY_VOID(state->replace(*std::move(ring)));
  } else {
    state->ring = std::make_shared<const KeyRing>(*std::move(ring));
  }
  return Sealer(std::move(state));
}

std::string Sealer::seal(std::string_view plain, std::string_view context) const {
  const auto ring = state_->current();
  std::string data_key = random_string(kGcmKeySize);
  // The context is bound to both layers: neither the data key nor the value can be moved to another object. The data
  // key is used once, but a random nonce costs nothing and keeps that from being something to get right.
  std::string out = wrap(ring->keys.front(), data_key, context);
  const std::string nonce = random_string(kGcmNonceSize);
  out.append(nonce);
  gcm_encrypt(data_key, nonce, context, plain, out);
  OPENSSL_cleanse(data_key.data(), data_key.size());
  return out;
}

base::Result<std::string> Sealer::unseal(std::string_view sealed, std::string_view context) const {
  MAINSTAY_TRY(std::string data_key, state_->data_key(sealed, context));
  const std::string_view body = sealed.substr(kHeader);
  auto plain = gcm_decrypt(data_key, body.substr(0, kGcmNonceSize), context, body.substr(kGcmNonceSize));
  OPENSSL_cleanse(data_key.data(), data_key.size());
  if (!plain) return fail(ErrorCode::kInvalid, "the sealed value is damaged");
  return *std::move(plain);
}

base::Result<std::string> Sealer::rewrap(std::string_view sealed, std::string_view context) const {
  MAINSTAY_TRY(std::string data_key, state_->data_key(sealed, context));
  std::string out = wrap(state_->current()->keys.front(), data_key, context);
  OPENSSL_cleanse(data_key.data(), data_key.size());
  out.append(sealed.substr(kHeader));
  return out;
}

bool Sealer::is_sealed(std::string_view bytes) { return bytes.starts_with(kMagic); }

bool Sealer::is_current(std::string_view sealed) const {
  return is_sealed(sealed) && sealed.size() > kHeader &&
         sealed.substr(kMagic.size(), kMasterId) == master_id(state_->current()->keys.front());
}

base::Result<> Sealer::rotate() {
  KeyRing fresh = *state_->current();
  if (fresh.keys.size() >= kMaxRingKeys)
    return fail(ErrorCode::kExhausted, fmt::format("the master key was changed {} times already", kMaxRingKeys));
  fresh.keys.insert(fresh.keys.begin(), random_string(kGcmKeySize));
  fresh.rewrap_pending = true;
  return state_->replace(std::move(fresh));
}

bool Sealer::rewrap_pending() const { return state_->current()->rewrap_pending; }

base::Result<> Sealer::rewrap_done() {
  KeyRing done = *state_->current();
  done.rewrap_pending = false;
  return state_->replace(std::move(done));
}

std::size_t Sealer::keys() const { return state_->current()->keys.size(); }
bool Sealer::has_passphrase() const { return state_->wrapping.has_value(); }

}  // namespace mainstay::crypto
