#include "capabilities/artifacts/protocol.h"

#include <charconv>

#include "base/encoding.h"
#include "base/strings.h"
#include "platform/interfaces/images.h"
#include "store/blobs.h"

namespace mainstay::artifacts {

using base::ErrorCode;
using base::fail;

namespace {

constexpr std::size_t kMaxPath = 1024;

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  if (text.empty() || text.size() > 19) return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::unexpected<base::Error> unknown_endpoint() {
  return fail(ErrorCode::kNotFound,
              "no such endpoint: the OCI Distribution API has /v2/<name>/{manifests/<reference>, blobs/<digest>, "
              "blobs/uploads/, "
              "tags/list, referrers/<digest>} and /v2/_catalog");
}

std::string join_segments(const std::vector<std::string_view>& segments, std::size_t count) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) out += '/';
    out += segments[i];
  }
  return out;
}

}  // namespace

base::Result<Target> parse_target(std::string_view path) {
  while (path.starts_with('/')) path.remove_prefix(1);
  while (path.ends_with('/')) path.remove_suffix(1);
  if (path.size() > kMaxPath) return fail(ErrorCode::kInvalid, "the path is too long");
  if (path.empty()) return Target{};
  if (path == "_catalog") return Target{Target::Kind::kCatalog, {}, {}};

  const auto segments = base::split(path, '/');
  const std::size_t n = segments.size();
  // Read from the end: a repository may itself be called "blobs".
  const auto at = [&](std::size_t from_end) { return n >= from_end ? segments[n - from_end] : std::string_view(); };
  Target target;
  std::size_t name_length = 0;
  if (at(3) == "blobs" && at(2) == "uploads") {
    target = {Target::Kind::kUpload, {}, std::string(at(1))};
    name_length = n - 3;
  } else if (at(2) == "blobs" && at(1) == "uploads") {
    target.kind = Target::Kind::kUploads;
    name_length = n - 2;
  } else if (at(2) == "tags" && at(1) == "list") {
    target.kind = Target::Kind::kTags;
    name_length = n - 2;
  } else if (at(2) == "manifests" || at(2) == "blobs" || at(2) == "referrers") {
    target.kind = at(2) == "manifests" ? Target::Kind::kManifest
                  : at(2) == "blobs"   ? Target::Kind::kBlob
                                       : Target::Kind::kReferrers;
    target.reference = at(1);
    name_length = n - 2;
  } else {
    return unknown_endpoint();
  }
  if (name_length == 0) return unknown_endpoint();
  target.repository = join_segments(segments, name_length);
  if (!platform::valid_repository_name(target.repository)) {
    return fail(ErrorCode::kInvalid,
                fmt::format("repository name \"{}\": only lower-case letters, digits and single . _ - between them, "
                            "in segments separated by /, at most 255 characters",
                            target.repository.substr(0, 100)));
  }
  return target;
}

base::Result<ByteRange> parse_content_range(std::string_view text) {
  const auto bad = [] {
    return fail(ErrorCode::kInvalid, "Content-Range must read <first>-<last>, both counted from 0");
  };
  text = base::trim(text);
  if (text.starts_with("bytes ") || text.starts_with("bytes=")) text.remove_prefix(6);
  text = text.substr(0, text.find('/'));
  const auto dash = text.find('-');
  if (dash == std::string_view::npos) return bad();
  const auto first = number(text.substr(0, dash)), last = number(text.substr(dash + 1));
  if (!first || !last || *last < *first) return bad();
  return ByteRange{*first, *last};
}

base::Result<std::optional<ByteRange>> parse_range(std::string_view text, std::uint64_t size) {
  const std::optional<ByteRange> everything;
  text = base::trim(text);
  if (!text.starts_with("bytes=")) return everything;
  text = base::trim(text.substr(6));
  if (text.find(',') != std::string_view::npos) return everything;
  const auto dash = text.find('-');
  if (dash == std::string_view::npos) return everything;
  const auto head = text.substr(0, dash), tail = text.substr(dash + 1);
  const auto nothing = [&] {
    return fail(ErrorCode::kInvalid, fmt::format("the range lies outside the blob's {} bytes", size));
  };
  if (head.empty()) {  // the last so many
    const auto count = number(tail);
    if (!count) return everything;
    if (*count == 0 || size == 0) return nothing();
    return ByteRange{*count >= size ? 0 : size - *count, size - 1};
  }
  const auto first = number(head);
  if (!first) return everything;
  std::uint64_t last = size == 0 ? 0 : size - 1;
  if (!tail.empty()) {
    const auto given = number(tail);
    if (!given || *given < *first) return everything;
    last = std::min(last, *given);
  }
  if (*first >= size) return nothing();
  return ByteRange{*first, last};
}

bool accepts(const net::Headers& headers, std::string_view type) {
  bool any = false;
  for (const auto& [name, value] : headers.all()) {
    if (!base::iequals(name, "accept")) continue;
    for (auto item : base::split(value, ',')) {
      const auto range = bare_type(item);
      if (range.empty()) continue;
      any = true;
      if (range == type || range == "*/*" || range == "application/*") return true;
    }
  }
  return !any;
}

std::string bare_type(std::string_view content_type) {
  return base::lower(base::trim(content_type.substr(0, content_type.find(';'))));
}

bool etag_matches(std::string_view header, std::string_view digest) {
  for (auto item : base::split(header, ',')) {
    item = base::trim(item);
    if (item == "*") return true;
    if (item.starts_with("W/")) item.remove_prefix(2);
    if (item.size() >= 2 && item.starts_with('"') && item.ends_with('"')) item = item.substr(1, item.size() - 2);
    if (!item.empty() && item == digest) return true;
  }
  return false;
}

RegistryError registry_error(const base::Error& error) {
  switch (error.code) {
    case ErrorCode::kInvalid:
      return {400, "UNSUPPORTED", error.message};
    case ErrorCode::kNotFound:
      return {404, "NAME_UNKNOWN", error.message};
    case ErrorCode::kAlreadyExists:
    case ErrorCode::kConflict:
      return {409, "DENIED", error.message};
    case ErrorCode::kUnauthenticated:
      return {401, "UNAUTHORIZED", error.message};
    case ErrorCode::kForbidden:
      return {403, "DENIED", error.message};
    case ErrorCode::kTooLarge:
      return {413, "SIZE_INVALID", error.message};
    case ErrorCode::kTimeout:
      return {504, "UNAVAILABLE", error.message};
    case ErrorCode::kCancelled:
    case ErrorCode::kUnavailable:
      return {503, "UNAVAILABLE", error.message};
    case ErrorCode::kExhausted:
      return {507, "UNAVAILABLE", error.message};
    case ErrorCode::kInternal:
      break;
  }
  return {500, "UNKNOWN", error.message};
}

net::Response error_response(int status, std::string_view code, std::string_view message) {
  base::json::object item{{"code", code}, {"message", message}, {"detail", nullptr}};
  auto response = net::Response::json(status, base::json::object{{"errors", base::json::array{std::move(item)}}});
  response.headers.set("Docker-Distribution-Api-Version", "registry/2.0");
  if (status == 401) response.headers.set("WWW-Authenticate", "Basic realm=\"mainstay\", charset=\"UTF-8\"");
  return response;
}

std::pair<std::string, std::string> split_repository(std::string_view repository) {
  const auto slash = repository.find('/');
  if (slash == std::string_view::npos) return {std::string(repository), {}};
  return {std::string(repository.substr(0, slash)), std::string(repository.substr(slash + 1))};
}

bool is_upstream_repository(std::string_view repository) {
  const auto slash = repository.find('/');
  return slash != std::string_view::npos && repository.substr(0, slash).find('.') != std::string_view::npos;
}

}  // namespace mainstay::artifacts
