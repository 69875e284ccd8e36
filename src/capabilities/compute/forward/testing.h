// The other end of spdy.h, for the tests of this folder.
#pragma once
#include <zlib.h>

#include <cstdint>
#include <map>
#include <string>

namespace mainstay::compute::testing {

inline void put(std::string& out, std::uint32_t value, int size) {
  while (size-- > 0) out += static_cast<char>(value >> 8 * size);
}

// The client's side: header blocks of one connection depend on those before them.
class SpdyClient {
 public:
  SpdyClient() { deflateInit(&z_, Z_DEFAULT_COMPRESSION); }
  ~SpdyClient() { deflateEnd(&z_); }

  std::string open(std::uint32_t id, const std::map<std::string, std::string>& headers) {
    std::string plain;
    put(plain, static_cast<std::uint32_t>(headers.size()), 4);
    for (const auto& [name, value] : headers) {
      for (const std::string& text : {name, value}) {
        put(plain, static_cast<std::uint32_t>(text.size()), 4);
        plain += text;
      }
    }
    return frame(1, stream(id) + std::string(6, '\0') + pack(plain));
  }
  std::string pack(const std::string& plain) {
    std::string packed(plain.size() + 200, '\0');
    z_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
    z_.avail_in = static_cast<uInt>(plain.size());
    z_.next_out = reinterpret_cast<Bytef*>(packed.data());
    z_.avail_out = static_cast<uInt>(packed.size());
    deflate(&z_, Z_SYNC_FLUSH);
    packed.resize(packed.size() - z_.avail_out);
    return packed;
  }
  static std::string stream(std::uint32_t id) {
    std::string out;
    put(out, id, 4);
    return out;
  }
  static std::string frame(std::uint16_t type, const std::string& body, std::uint16_t version = 3) {
    std::string out;
    put(out, 0x8000u | version, 2);
    put(out, type, 2);
    put(out, static_cast<std::uint32_t>(body.size()), 4);
    return out + body;
  }

 private:
  z_stream z_{};
};

}  // namespace mainstay::compute::testing
