// How heads are written. No I/O.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "net/http.h"

namespace mainstay::net {

std::string_view reason_phrase(int status);

// How a body is delimited on the wire (RFC 9112 section 6).
struct Framing {
  enum class Kind { kNone, kLength, kChunked, kUntilClose } kind = Kind::kNone;
  std::uint64_t length = 0;
};

// The head of a response, with Date, framing and Connection. Headers of `response` that say the same are left out; line
// breaks in values, which would let a value forge headers, become spaces.
std::string response_head(const Response& response, const Framing& framing, bool keep_alive, bool keep_content_length);
std::string request_head(std::string_view method, std::string_view target, std::string_view host,
                         const Headers& headers, const Framing& framing);
// "1f4\r\n"
std::string chunk_head(std::size_t size);

}  // namespace mainstay::net
