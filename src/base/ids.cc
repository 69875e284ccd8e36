#include "base/ids.h"

#include <sys/random.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include "base/encoding.h"

namespace mainstay::base {

void random_bytes(std::span<unsigned char> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t n = getrandom(out.data() + done, out.size() - done, 0);
    if (n > 0) {
      done += static_cast<std::size_t>(n);
    } else if (errno != EINTR) {
      std::abort();  // no kernel generator: going on would hand out guessable secrets
    }
  }
}

std::string random_hex(std::size_t bytes) {
  std::string raw(bytes, '\0');
  random_bytes({reinterpret_cast<unsigned char*>(raw.data()), raw.size()});
  return hex(raw);
}

std::string uuid4() {
  std::array<unsigned char, 16> raw{};
  random_bytes(raw);
  raw[6] = static_cast<unsigned char>((raw[6] & 0x0f) | 0x40);  // version 4, RFC 9562 section 5.4
  raw[8] = static_cast<unsigned char>((raw[8] & 0x3f) | 0x80);
  std::string text = hex({reinterpret_cast<const char*>(raw.data()), raw.size()});
  for (std::size_t dash : {8u, 13u, 18u, 23u}) text.insert(dash, 1, '-');
  return text;
}

std::string random_suffix(std::size_t length) {
  // No vowels and no 0, 1, 3: no words by accident, no look-alikes.
  constexpr std::string_view kAlphabet = "bcdfghjklmnpqrstvwxz2456789";
  constexpr unsigned kFair = 256 / kAlphabet.size() * kAlphabet.size();  // bytes above would favour the first letters
  std::string out;
  std::array<unsigned char, 32> raw{};
  while (out.size() < length) {
    random_bytes(raw);
    for (unsigned char byte : raw) {
      if (byte < kFair && out.size() < length) out += kAlphabet[byte % kAlphabet.size()];
    }
  }
  return out;
}

}  // namespace mainstay::base
