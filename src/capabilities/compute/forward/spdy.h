// SPDY/3.1 as Kubernetes' clients still speak it inside a WebSocket ("SPDY/3.1+portforward.k8s.io"): streams with a few
// headers, and their data. The server's side of it; no flow control, which those clients do not keep either. Pure.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mainstay::compute {

struct SpdyFrame {
  enum class Kind { kOpen, kData, kReset, kPing, kGoAway } kind = Kind::kData;
  std::uint32_t id = 0;                        // of the stream; of the ping
  bool last = false;                           // the sender's half of the stream ends with it
  std::map<std::string, std::string> headers;  // of kOpen; names in lower case
  std::string data;                            // of kData
};

// Takes bytes as they come, in any pieces.
class SpdyReader {
 public:
  static constexpr std::size_t kMaxFrame = 1u << 20, kMaxHeaders = 16 * 1024;
  SpdyReader();
  ~SpdyReader();
  // The frames that are whole now. An error is for good: header blocks depend on those before them.
  base::Result<std::vector<SpdyFrame>> feed(std::string_view bytes);

 private:
  struct Inflate;
  base::Result<> control(std::uint16_t type, std::uint8_t flags, std::string_view body, std::vector<SpdyFrame>& out);
  base::Result<std::map<std::string, std::string>> headers(std::string_view block);
  std::string left_;
  std::unique_ptr<Inflate> inflate_;
};

class SpdyWriter {
 public:
  SpdyWriter();
  ~SpdyWriter();
  std::string accept(std::uint32_t id);  // SYN_REPLY without headers
  static std::string data(std::uint32_t id, std::string_view bytes, bool last);
  static std::string ping(std::uint32_t id);
  static std::string refuse(std::uint32_t id);  // RST_STREAM, REFUSED_STREAM

 private:
  struct Deflate;
  std::unique_ptr<Deflate> deflate_;
};

}  // namespace mainstay::compute
