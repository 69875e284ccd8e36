#include "crypto/digest.h"

// The low-level interface is deprecated in OpenSSL 3, but it is the only one whose state can be kept across processes:
// EVP exports none, and an upload must go on after a restart without reading gigabytes again. It runs the same assembly
// (SHA-NI where the machine has it), and spares small inputs EVP's look-up of the algorithm.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include <cstring>

#include "base/encoding.h"
#include "crypto/openssl.h"

namespace mainstay::crypto {
namespace {

constexpr std::string_view kStateMagic = "msha256\1";
constexpr std::size_t kWords = 8;
constexpr std::size_t kStateSize = kStateMagic.size() + kWords * 4 + 8;  // and the begun block

template <class T>
void put_big_endian(std::string& out, T value) {
  for (int shift = static_cast<int>(sizeof(T)) * 8 - 8; shift >= 0; shift -= 8)
    out.push_back(static_cast<char>(static_cast<unsigned char>(value >> shift)));
}

template <class T>
T get_big_endian(std::string_view& in) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) value = static_cast<T>(value << 8) | static_cast<unsigned char>(in[i]);
  in.remove_prefix(sizeof(T));
  return value;
}

}  // namespace

struct Sha256::Impl {
  SHA256_CTX context;
};

Sha256::Sha256() : impl_(std::make_unique<Impl>()) { SHA256_Init(&impl_->context); }
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(std::string_view bytes) { SHA256_Update(&impl_->context, bytes.data(), bytes.size()); }

std::string Sha256::finish_hex() {
  std::string raw(SHA256_DIGEST_LENGTH, '\0');
  SHA256_Final(bytes_of(raw), &impl_->context);
  return base::hex(raw);
}

std::string Sha256::save() const {
  const SHA256_CTX& c = impl_->context;
  std::string out(kStateMagic);
  out.reserve(kStateSize + c.num);
  for (std::size_t i = 0; i < kWords; ++i) put_big_endian<std::uint32_t>(out, c.h[i]);
  put_big_endian<std::uint64_t>(out, (static_cast<std::uint64_t>(c.Nh) << 32) | c.Nl);
  out.append(reinterpret_cast<const char*>(c.data), c.num);
  return out;
}

base::Result<Sha256> Sha256::restore(std::string_view state) {
  if (state.size() < kStateSize || !state.starts_with(kStateMagic))
    return base::fail(base::ErrorCode::kInvalid, "not a saved SHA-256 state");
  state.remove_prefix(kStateMagic.size());
  Sha256 out;
  SHA256_CTX& c = out.impl_->context;
  for (std::size_t i = 0; i < kWords; ++i) c.h[i] = get_big_endian<std::uint32_t>(state);
  const auto bits = get_big_endian<std::uint64_t>(state);
  // The bit count says how much of a block must follow; anything else was cut or altered.
  if (bits % 8 != 0 || state.size() != bits / 8 % SHA256_CBLOCK)
    return base::fail(base::ErrorCode::kInvalid, "a damaged SHA-256 state");
  c.Nh = static_cast<SHA_LONG>(bits >> 32);
  c.Nl = static_cast<SHA_LONG>(bits);
  c.num = static_cast<unsigned>(state.size());
  std::memcpy(c.data, state.data(), state.size());
  return out;
}

std::string sha256_raw(std::string_view bytes) {
  SHA256_CTX context;
  SHA256_Init(&context);
  SHA256_Update(&context, bytes.data(), bytes.size());
  std::string raw(SHA256_DIGEST_LENGTH, '\0');
  SHA256_Final(bytes_of(raw), &context);
  return raw;
}

std::string sha256_hex(std::string_view bytes) { return base::hex(sha256_raw(bytes)); }

std::string hmac_sha256(std::string_view key, std::string_view bytes) {
  std::string raw(SHA256_DIGEST_LENGTH, '\0');
  unsigned size = 0;
  // A null key means "the key of last time" to HMAC(): an empty one is still a key.
  const void* data = key.empty() ? "" : key.data();
  must(HMAC(EVP_sha256(), data, static_cast<int>(key.size()), bytes_of(bytes), bytes.size(), bytes_of(raw), &size),
       "HMAC");
  return raw;
}

}  // namespace mainstay::crypto
