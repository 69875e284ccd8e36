// The words of OCI Distribution 1.1 without I/O: paths, ranges, Accept, errors.
#pragma once
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "net/http.h"

namespace mainstay::artifacts {

namespace media_type {
inline constexpr std::string_view kOciManifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kOciIndex = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kDockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kDockerList = "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view kOciEmpty = "application/vnd.oci.empty.v1+json";
inline bool is_index(std::string_view type) { return type == kOciIndex || type == kDockerList; }
inline bool is_manifest(std::string_view type) { return type == kOciManifest || type == kDockerManifest; }
}  // namespace media_type

inline constexpr std::size_t kMaxManifestBytes = 4u << 20;   // as the specification advises
inline constexpr std::uint64_t kMaxBlobBytes = 64ull << 30;  // one layer

// What a path below /v2/ speaks of.
struct Target {
  enum class Kind { kBase, kCatalog, kTags, kManifest, kBlob, kUploads, kUpload, kReferrers } kind = Kind::kBase;
  std::string repository;
  std::string reference;  // tag or digest; the upload's id
};
// `path` as matched by /v2/{path...}: decoded, without the prefix. kNotFound: no such endpoint; kInvalid: a malformed
// name.
base::Result<Target> parse_target(std::string_view path);

struct ByteRange {
  std::uint64_t first = 0, last = 0;  // inclusive
  std::uint64_t length() const { return last - first + 1; }
};
// "0-1023", as the specification writes it for PATCH; "bytes 0-1023/*" is understood too.
base::Result<ByteRange> parse_content_range(std::string_view text);
// RFC 9110 14.2 for one range. nullopt: send everything (no range, several ranges, another unit, not understood).
// An error: 416, nothing of the range is there.
base::Result<std::optional<ByteRange>> parse_range(std::string_view text, std::uint64_t size);

// Whether any of the Accept headers allows the type; none at all allows everything.
bool accepts(const net::Headers& headers, std::string_view type);
// The media type of a Content-Type without its parameters, in lower case.
std::string bare_type(std::string_view content_type);
// "sha256:<hex>" of an If-None-Match's or ETag's value, "" where it is something else.
bool etag_matches(std::string_view header, std::string_view digest);

// Abandons a registry request with one of the specification's codes. Turned into JSON in routes.cc.
class RegistryError : public std::exception {
 public:
  RegistryError(int status, std::string code, std::string message)
      : status_(status), code_(std::move(code)), message_(std::move(message)) {}
  int status() const { return status_; }
  const std::string& code() const { return code_; }
  const std::string& message() const { return message_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  int status_;
  std::string code_, message_;
};
// From a Result of the layers below.
RegistryError registry_error(const base::Error& error);
net::Response error_response(int status, std::string_view code, std::string_view message);

// The first segment of a repository's name: the namespace that owns it; and the rest.
std::pair<std::string, std::string> split_repository(std::string_view repository);
// Whether the name is of the pull-through cache: its first segment is a registry's host name.
bool is_upstream_repository(std::string_view repository);

}  // namespace mainstay::artifacts
