// AWS Signature Version 4 as S3 clients send it: in the Authorization header, in a presigned URL's query, and on the
// chunks of a streamed body. Pure; the input is untrusted.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "net/http.h"

namespace mainstay::cloud {

using QueryItems = std::vector<std::pair<std::string, std::string>>;

// The raw target ("/s3/b/a%2Fc?x=y") in its parts, percent-decoded (a plus stays one). kInvalid where it cannot be.
struct S3Target {
  std::string path;  // decoded: "/s3/b/a/c"
  QueryItems query;
  bool has(std::string_view name) const;
  std::string get(std::string_view name) const;  // the first; "" where missing
};
base::Result<S3Target> parse_s3_target(std::string_view raw);

// What a request says of who signed it, before anything is believed.
struct Signature {
  std::string access_key, date, region;     // date: "20260102"
  std::string timestamp;                    // "20260102T030405Z"
  std::vector<std::string> signed_headers;  // sorted, lower case
  std::string signature;                    // 64 hex digits
  std::string payload_hash;                 // x-amz-content-sha256, or UNSIGNED-PAYLOAD
  bool presigned = false;
  std::int64_t expires = 0;  // seconds, of a presigned URL
};
// nullopt: the request is not signed at all. kInvalid: malformed; kUnauthenticated: lacks what must be signed.
base::Result<std::optional<Signature>> read_signature(const S3Target& target, const net::Headers& headers);

// Within 15 minutes of `now`; a presigned one until it expires, at most 7 days after its time.
bool fresh(const Signature& signature, base::SystemTime now);

std::string canonical_request(std::string_view method, const S3Target& target, const net::Headers& headers,
                              const Signature& signature);
std::string signing_key(std::string_view secret, const Signature& signature);  // raw bytes
std::string expected_signature(std::string_view key, const Signature& signature, std::string_view canonical);
// Compares in constant time.
bool signed_with(std::string_view secret, std::string_view method, const S3Target& target, const net::Headers& headers,
                 const Signature& signature);

// Takes `aws-chunked` apart: "<hex size>;chunk-signature=<sig>\r\n<bytes>\r\n" until a chunk of no bytes, then
// trailers. With a key each chunk's signature is checked once all of it is there.
class ChunkDecoder {
 public:
  // `key` empty: the chunks are unsigned.
  ChunkDecoder(std::string key, Signature seed);
  // Takes bytes as they come and appends the content that is vouched for to `out`. kInvalid: malformed;
  // kUnauthenticated: a chunk's signature is wrong.
  base::Result<> feed(std::string_view bytes, std::string& out);
  bool done() const { return state_ == State::kDone; }

 private:
  enum class State { kHead, kBytes, kBytesEnd, kTrailer, kDone };
  base::Result<> head(std::string_view line);
  base::Result<> end_of_chunk(std::string& out);

  std::string key_, previous_, scope_, timestamp_;
  State state_ = State::kHead;
  std::string pending_;   // a head line, or the chunk's bytes so far
  std::string expected_;  // the present chunk's signature
  std::size_t left_ = 0;
  std::size_t trailer_bytes_ = 0;
};
inline constexpr std::size_t kLargestChunk = 16u << 20;

}  // namespace mainstay::cloud
