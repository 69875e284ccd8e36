#include "capabilities/cloud/buckets/sigv4.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/encoding.h"
#include "base/strings.h"
#include "crypto/digest.h"

namespace mainstay::cloud {
using base::ErrorCode;
using base::fail;
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";
constexpr std::size_t kMostQuery = 64, kMostSigned = 64, kLongestLine = 1024;
constexpr std::string_view kEmptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

bool all_digits(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}
bool is_signature(std::string_view text) {
  return text.size() == 64 &&
         std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}
bool is_timestamp(std::string_view t) {
  return t.size() == 16 && all_digits(t.substr(0, 8)) && t[8] == 'T' && all_digits(t.substr(9, 6)) && t[15] == 'Z';
}

std::string collapsed(std::string_view value) {
  std::string out;
  for (const char c : base::trim(value)) {
    if (c == ' ' && !out.empty() && out.back() == ' ') continue;
    out += c;
  }
  return out;
}

std::string scope_of(const Signature& s) { return fmt::format("{}/{}/s3/aws4_request", s.date, s.region); }

// "<access key>/20260102/<region>/s3/aws4_request"
base::Result<> read_credential(std::string_view text, Signature& out) {
  const auto parts = base::split(text, '/');
  if (parts.size() != 5 || parts[0].empty() || parts[0].size() > 128 || parts[1].size() != 8 || !all_digits(parts[1]) ||
      parts[2].size() > 64 || parts[3] != "s3" || parts[4] != "aws4_request")
    return fail(ErrorCode::kInvalid, "the credential must be KEY/YYYYMMDD/REGION/s3/aws4_request");
  out.access_key = parts[0];
  out.date = parts[1];
  out.region = parts[2];
  return {};
}

base::Result<> check(Signature& s) {
  if (!is_signature(s.signature)) return fail(ErrorCode::kInvalid, "the signature must be 64 hex digits");
  if (!is_timestamp(s.timestamp)) return fail(ErrorCode::kInvalid, "the date must be YYYYMMDDTHHMMSSZ");
  if (s.timestamp.substr(0, 8) != s.date) return fail(ErrorCode::kInvalid, "the credential's day is not the date's");
  if (s.signed_headers.empty() || s.signed_headers.size() > kMostSigned)
    return fail(ErrorCode::kInvalid, "the list of signed headers is empty or too long");
  std::ranges::sort(s.signed_headers);
  if (std::ranges::find(s.signed_headers, "host") == s.signed_headers.end())
    return fail(ErrorCode::kUnauthenticated, "the host header must be signed");
  return {};
}

std::vector<std::string> header_list(std::string_view text) {
  std::vector<std::string> out;
  for (std::string_view name : base::split(text, ';'))
    if (!name.empty()) out.push_back(base::lower(name));
  return out;
}

// What changes the meaning of the request must be signed: a URL for one key is not to be made one for another, as by
// an x-amz-copy-source.
base::Result<> check_all_signed(const Signature& s, const net::Headers& headers) {
  for (const auto& [name, value] : headers.all()) {
    const std::string lower = base::lower(name);
    // Of a presigned request the query has the body's hash, and the header says nothing.
    if (!lower.starts_with("x-amz-") || (s.presigned && lower == "x-amz-content-sha256")) continue;
    if (std::ranges::find(s.signed_headers, lower) == s.signed_headers.end())
      return fail(ErrorCode::kUnauthenticated, fmt::format("the header {} must be signed", lower.substr(0, 100)));
  }
  return {};
}

base::Result<std::optional<Signature>> from_query(const S3Target& target, const net::Headers& headers) {
  Signature s;
  s.presigned = true;
  if (target.get("X-Amz-Algorithm") != kAlgorithm)
    return fail(ErrorCode::kInvalid, fmt::format("X-Amz-Algorithm must be {}", kAlgorithm));
  MAINSTAY_TRY_VOID(read_credential(target.get("X-Amz-Credential"), s));
  s.timestamp = target.get("X-Amz-Date");
  s.signed_headers = header_list(target.get("X-Amz-SignedHeaders"));
  s.signature = target.get("X-Amz-Signature");
  const std::string expires = target.get("X-Amz-Expires");
  if (!all_digits(expires) || expires.size() > 6) return fail(ErrorCode::kInvalid, "X-Amz-Expires must be seconds");
  for (const char c : expires) s.expires = s.expires * 10 + (c - '0');
  s.payload_hash = target.has("X-Amz-Content-Sha256") ? target.get("X-Amz-Content-Sha256") : "UNSIGNED-PAYLOAD";
  MAINSTAY_TRY_VOID(check(s));
  MAINSTAY_TRY_VOID(check_all_signed(s, headers));
  return s;
}

base::Result<std::optional<Signature>> from_header(std::string_view header, const net::Headers& headers) {
  Signature s;
  header.remove_prefix(kAlgorithm.size());
  for (std::string_view part : base::split(header, ',')) {
    part = base::trim(part);
    const auto eq = part.find('=');
    if (eq == std::string_view::npos) return fail(ErrorCode::kInvalid, "the Authorization header is malformed");
    const std::string_view key = part.substr(0, eq), value = part.substr(eq + 1);
    if (key == "Credential") {
      MAINSTAY_TRY_VOID(read_credential(value, s));
    } else if (key == "SignedHeaders") {
      s.signed_headers = header_list(value);
    } else if (key == "Signature") {
      s.signature = value;
    }
  }
  if (s.access_key.empty()) return fail(ErrorCode::kInvalid, "the Authorization header has no Credential");
  s.timestamp = headers.get("x-amz-date");
  s.payload_hash = headers.get("x-amz-content-sha256");
  if (s.payload_hash.empty()) return fail(ErrorCode::kInvalid, "the header x-amz-content-sha256 is missing");
  MAINSTAY_TRY_VOID(check(s));
  MAINSTAY_TRY_VOID(check_all_signed(s, headers));
  return s;
}

}  // namespace

bool S3Target::has(std::string_view name) const {
  return std::ranges::any_of(query, [&](const auto& item) { return item.first == name; });
}

std::string S3Target::get(std::string_view name) const {
  const auto at = std::ranges::find_if(query, [&](const auto& item) { return item.first == name; });
  return at == query.end() ? "" : at->second;
}

base::Result<S3Target> parse_s3_target(std::string_view raw) {
  S3Target out;
  // The absolute form: what comes before the path says nothing here.
  if (const auto scheme = raw.find("://"); scheme != std::string_view::npos && scheme < raw.find('/')) {
    const auto slash = raw.find('/', scheme + 3);
    raw = slash == std::string_view::npos ? std::string_view("/") : raw.substr(slash);
  }
  const auto mark = raw.find('?');
  MAINSTAY_TRY(out.path, base::percent_decode(raw.substr(0, mark)));
  if (mark == std::string_view::npos) return out;
  const auto items = base::split(raw.substr(mark + 1), '&');
  if (items.size() > kMostQuery) return fail(ErrorCode::kInvalid, "the query has too many parameters");
  for (std::string_view item : items) {
    if (item.empty()) continue;
    const auto eq = item.find('=');
    MAINSTAY_TRY(std::string name, base::percent_decode(item.substr(0, eq)));
    std::string value;
    if (eq != std::string_view::npos) {
      MAINSTAY_TRY(value, base::percent_decode(item.substr(eq + 1)));
    }
    out.query.emplace_back(std::move(name), std::move(value));
  }
  return out;
}

base::Result<std::optional<Signature>> read_signature(const S3Target& target, const net::Headers& headers) {
  const std::string_view header = headers.get("Authorization");
  if (header.starts_with(kAlgorithm)) return from_header(header, headers);
  if (!header.empty()) return fail(ErrorCode::kInvalid, fmt::format("only {} signatures are taken here", kAlgorithm));
  if (target.has("X-Amz-Signature") || target.has("X-Amz-Algorithm")) return from_query(target, headers);
  return std::optional<Signature>();
}

bool fresh(const Signature& s, base::SystemTime now) {
  const std::string_view t = s.timestamp;
  const auto at = base::parse_rfc3339(fmt::format("{}-{}-{}T{}:{}:{}Z", t.substr(0, 4), t.substr(4, 2), t.substr(6, 2),
                                                  t.substr(9, 2), t.substr(11, 2), t.substr(13, 2)));
  if (!at) return false;
  constexpr std::chrono::minutes kSkew{15};
  if (!s.presigned) return *at <= now + kSkew && *at >= now - kSkew;
  return s.expires >= 1 && s.expires <= 7 * 24 * 3600 && *at <= now + kSkew &&
         now <= *at + std::chrono::seconds(s.expires);
}

std::string canonical_request(std::string_view method, const S3Target& target, const net::Headers& headers,
                              const Signature& s) {
  QueryItems items;
  for (const auto& [name, value] : target.query)
    if (!(s.presigned && name == "X-Amz-Signature"))
      items.emplace_back(base::percent_encode(name), base::percent_encode(value));
  std::ranges::sort(items);
  std::string query;
  for (const auto& [name, value] : items) query += (query.empty() ? "" : "&") + name + "=" + value;
  std::string head;
  for (const std::string& name : s.signed_headers) {
    std::string values;
    for (const auto& [own, value] : headers.all())
      if (base::iequals(own, name)) values += (values.empty() ? "" : ",") + collapsed(value);
    head += name + ":" + values + "\n";
  }
  return fmt::format("{}\n{}\n{}\n{}\n{}\n{}", method, base::percent_encode(target.path, "/"), query, head,
                     base::join(s.signed_headers, ";"), s.payload_hash);
}

std::string signing_key(std::string_view secret, const Signature& s) {
  std::string key = crypto::hmac_sha256("AWS4" + std::string(secret), s.date);
  for (std::string_view part : {std::string_view(s.region), std::string_view("s3"), std::string_view("aws4_request")})
    key = crypto::hmac_sha256(key, part);
  return key;
}

std::string expected_signature(std::string_view key, const Signature& s, std::string_view canonical) {
  return base::hex(crypto::hmac_sha256(
      key, fmt::format("{}\n{}\n{}\n{}", kAlgorithm, s.timestamp, scope_of(s), crypto::sha256_hex(canonical))));
}

bool signed_with(std::string_view secret, std::string_view method, const S3Target& target, const net::Headers& headers,
                 const Signature& s) {
  const std::string expected =
      expected_signature(signing_key(secret, s), s, canonical_request(method, target, headers, s));
  return base::constant_time_equal(expected, s.signature);
}

ChunkDecoder::ChunkDecoder(std::string key, Signature seed)
    : key_(std::move(key)), previous_(seed.signature), scope_(scope_of(seed)), timestamp_(seed.timestamp) {}

base::Result<> ChunkDecoder::head(std::string_view line) {
  const auto semicolon = line.find(';');
  const std::string_view size = line.substr(0, semicolon);
  if (size.empty() || size.size() > 8) return fail(ErrorCode::kInvalid, "a chunk's size is malformed");
  left_ = 0;
  for (const char c : size) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return fail(ErrorCode::kInvalid, "a chunk's size is malformed");
    left_ = left_ * 16 + static_cast<std::size_t>(digit);
  }
  if (left_ > kLargestChunk) return fail(ErrorCode::kTooLarge, "a chunk has over 16 MiB");
  expected_.clear();
  constexpr std::string_view kMark = "chunk-signature=";
  if (semicolon != std::string_view::npos && line.substr(semicolon + 1).starts_with(kMark))
    expected_ = line.substr(semicolon + 1 + kMark.size());
  if (!key_.empty() && !is_signature(expected_)) return fail(ErrorCode::kInvalid, "a chunk has no signature");
  return {};
}

base::Result<> ChunkDecoder::end_of_chunk(std::string& out) {
  if (!key_.empty()) {
    const std::string text = fmt::format("AWS4-HMAC-SHA256-PAYLOAD\n{}\n{}\n{}\n{}\n{}", timestamp_, scope_, previous_,
                                         kEmptyHash, crypto::sha256_hex(pending_));
    if (!base::constant_time_equal(base::hex(crypto::hmac_sha256(key_, text)), expected_))
      return fail(ErrorCode::kUnauthenticated, "a chunk's signature is wrong");
    previous_ = expected_;
  }
  state_ = pending_.empty() ? State::kTrailer : State::kBytesEnd;
  out += pending_;
  pending_.clear();
  return {};
}

base::Result<> ChunkDecoder::feed(std::string_view bytes, std::string& out) {
  while (!bytes.empty()) {
    if (state_ == State::kDone) return fail(ErrorCode::kInvalid, "there are bytes after the last chunk");
    if (state_ == State::kBytes) {
      const std::size_t take = std::min(left_, bytes.size());
      pending_.append(bytes.substr(0, take));
      bytes.remove_prefix(take);
      left_ -= take;
      if (left_ == 0) MAINSTAY_TRY_VOID(end_of_chunk(out));
      continue;
    }
    const char c = bytes.front();
    bytes.remove_prefix(1);
    pending_ += c;
    if (pending_.size() > kLongestLine) return fail(ErrorCode::kInvalid, "a chunk's head is too long");
    if (c != '\n') continue;
    if (!pending_.ends_with("\r\n")) return fail(ErrorCode::kInvalid, "a chunk's head does not end in CRLF");
    const std::string line = pending_.substr(0, pending_.size() - 2);
    pending_.clear();
    if (state_ == State::kHead) {
      MAINSTAY_TRY_VOID(head(line));
      state_ = State::kBytes;
      if (left_ == 0) MAINSTAY_TRY_VOID(end_of_chunk(out));
    } else if (state_ == State::kBytesEnd) {
      if (!line.empty()) return fail(ErrorCode::kInvalid, "a chunk is longer than it said");
      state_ = State::kHead;
    } else {
      trailer_bytes_ += line.size();
      if (trailer_bytes_ > 4096) return fail(ErrorCode::kInvalid, "the trailer is too long");
      if (line.empty()) state_ = State::kDone;
    }
  }
  return {};
}

}  // namespace mainstay::cloud
