// HTTP/1 messages taken apart, without I/O: bytes go in, a head and decoded body bytes come out (Beast's parser
// inside).
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "net/http.h"

namespace mainstay::net {

struct Head {
  std::string method, target;  // of a request
  int status = 0;              // of a response
  int version = 11;            // 10 or 11
  Headers headers;
  bool keep_alive = true;
  bool chunked = false;
  bool until_close = false;  // a response whose body ends with the connection
  bool upgrade = false;
  std::optional<std::uint64_t> content_length;
};

class MessageParser {
 public:
  enum class Kind { kRequest, kResponse };
  enum class State { kNeedMore, kDone, kBad, kHeadTooLarge };

  MessageParser(Kind kind, std::size_t max_head_bytes);
  ~MessageParser();
  MessageParser(const MessageParser&) = delete;

  // Looks for a whole head at the front of `data`. kDone: `used` bytes were the head. kBad: error() says what is wrong.
  State parse_head(std::string_view data, std::size_t& used);
  Head& head();
  std::string error() const;

  // Decodes a chunked body: takes from the front of `data` (`used` bytes), writes to `out` (`written` bytes).
  // kNeedMore: `out` is full or `data` is used up. kDone: that was the last chunk, trailers included.
  State decode(std::string_view data, std::span<char> out, std::size_t& used, std::size_t& written);

 private:
  struct Impl;
  template <bool kRequest>
  struct Parser;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mainstay::net
