#include "crypto/aead.h"

#include <cassert>

#include "crypto/openssl.h"

namespace mainstay::crypto {
namespace {

// Looking the algorithm up by name takes longer than sealing a password.
const EVP_CIPHER* aes_256_gcm() {
  static EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  return cipher;
}

}  // namespace

void gcm_encrypt(std::string_view key, std::string_view nonce, std::string_view associated, std::string_view plain,
                 std::string& out) {
  assert(key.size() == kGcmKeySize && nonce.size() == kGcmNonceSize);
  CipherContextPtr context(EVP_CIPHER_CTX_new());
  must(context && EVP_EncryptInit_ex2(context.get(), aes_256_gcm(), bytes_of(key), bytes_of(nonce), nullptr) == 1,
       "EVP_EncryptInit_ex2");
  int size = 0;
  if (!associated.empty())
    must(EVP_EncryptUpdate(context.get(), nullptr, &size, bytes_of(associated), static_cast<int>(associated.size())) ==
             1,
         "EVP_EncryptUpdate");
  const std::size_t begin = out.size();
  out.resize(begin + plain.size() + kGcmTagSize);
  unsigned char* to = bytes_of(out) + begin;
  if (!plain.empty())
    must(EVP_EncryptUpdate(context.get(), to, &size, bytes_of(plain), static_cast<int>(plain.size())) == 1,
         "EVP_EncryptUpdate");
  must(EVP_EncryptFinal_ex(context.get(), to + plain.size(), &size) == 1, "EVP_EncryptFinal_ex");
  must(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, kGcmTagSize, to + plain.size()) == 1,
       "EVP_CTRL_AEAD_GET_TAG");
}

std::optional<std::string> gcm_decrypt(std::string_view key, std::string_view nonce, std::string_view associated,
                                       std::string_view text) {
  assert(key.size() == kGcmKeySize && nonce.size() == kGcmNonceSize);
  if (text.size() < kGcmTagSize) return std::nullopt;
  std::string tag(text.substr(text.size() - kGcmTagSize));
  text.remove_suffix(kGcmTagSize);
  CipherContextPtr context(EVP_CIPHER_CTX_new());
  must(context && EVP_DecryptInit_ex2(context.get(), aes_256_gcm(), bytes_of(key), bytes_of(nonce), nullptr) == 1 &&
           EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG, kGcmTagSize, tag.data()) == 1,
       "EVP_DecryptInit_ex2");
  int size = 0;
  if (!associated.empty())
    must(EVP_DecryptUpdate(context.get(), nullptr, &size, bytes_of(associated), static_cast<int>(associated.size())) ==
             1,
         "EVP_DecryptUpdate");
  std::string plain(text.size(), '\0');
  if (!text.empty())
    must(EVP_DecryptUpdate(context.get(), bytes_of(plain), &size, bytes_of(text), static_cast<int>(text.size())) == 1,
         "EVP_DecryptUpdate");
  unsigned char rest[16];
  if (EVP_DecryptFinal_ex(context.get(), rest, &size) != 1) {
    ERR_clear_error();
    OPENSSL_cleanse(plain.data(), plain.size());  // unauthenticated: it must go nowhere
    return std::nullopt;
  }
  return plain;
}

}  // namespace mainstay::crypto
