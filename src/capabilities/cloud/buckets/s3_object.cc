// Requests on an object: put, copy, get, delete. Bytes are never held whole: a piece at a time goes to the blob store.
#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <algorithm>

#include "base/encoding.h"
#include "base/status.h"
#include "base/strings.h"
#include "capabilities/cloud/buckets/s3.h"
#include "capabilities/cloud/buckets/xml.h"
#include "crypto/digest.h"

namespace mainstay::cloud {
namespace {

constexpr std::size_t kPiece = 1u << 20;

// MD5 for ETags, which clients compare; SHA-256 for what was signed and the blob's name. One thread at a time.
class Digests {
 public:
  Digests() : md5_(EVP_MD_CTX_new()) { EVP_DigestInit_ex(md5_, EVP_md5(), nullptr); }
  ~Digests() { EVP_MD_CTX_free(md5_); }
  Digests(const Digests&) = delete;
  Digests& operator=(const Digests&) = delete;
  void update(std::string_view bytes) {
    EVP_DigestUpdate(md5_, bytes.data(), bytes.size());
    sha_.update(bytes);
  }
  std::pair<std::string, std::string> finish() {  // hex: MD5, SHA-256
    unsigned char raw[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    EVP_DigestFinal_ex(md5_, raw, &size);
    return {base::hex({reinterpret_cast<const char*>(raw), size}), sha_.finish_hex()};
  }

 private:
  EVP_MD_CTX* md5_;
  crypto::Sha256 sha_;
};

std::int64_t seconds_of(base::SystemTime time) { return std::chrono::system_clock::to_time_t(time); }

// RFC 9110 13.1: a list of entity tags, or *.
bool names_etag(std::string_view list, std::string_view etag) {
  for (std::string_view one : base::split(list, ',')) {
    one = base::trim(one);
    if (one.starts_with("W/")) one.remove_prefix(2);
    if (one == "*") return true;
    if (one.size() >= 2 && one.front() == '"' && one.back() == '"') one = one.substr(1, one.size() - 2);
    if (one == etag) return true;
  }
  return false;
}

std::optional<std::int64_t> parse_http_date(std::string_view text) {
  std::tm parts{};
  const std::string copy(text);
  const char* end = ::strptime(copy.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  if (end == nullptr) return std::nullopt;
  return ::timegm(&parts);
}

// 304 or 412 where a condition says so (RFC 9110 13.2.2), 0 where the object is to be sent.
int precondition(const net::Headers& headers, const S3Object& object, const char* prefix) {
  const auto header = [&](const char* name) { return headers.get(std::string(prefix) + name); };
  if (const auto match = header("If-Match"); !match.empty()) {
    if (!names_etag(match, object.etag)) return 412;
  } else if (const auto since = parse_http_date(header("If-Unmodified-Since")); since && object.modified > *since) {
    return 412;
  }
  if (const auto none = header("If-None-Match"); !none.empty()) {
    if (names_etag(none, object.etag)) return 304;
  } else if (const auto since = parse_http_date(header("If-Modified-Since")); since && object.modified <= *since) {
    return 304;
  }
  return 0;
}

void set_object_headers(net::Response& response, const S3Object& object) {
  response.headers.set("ETag", "\"" + object.etag + "\"");
  response.headers.set("Last-Modified", http_date(object.modified));
  response.headers.set("Accept-Ranges", "bytes");
  response.headers.set("Content-Type", "binary/octet-stream");
  if (const auto kept = base::parse_json(object.headers, 4); kept && kept->is_object())
    for (const auto& entry : kept->as_object())
      if (entry.value().is_string()) response.headers.set(entry.key(), std::string(entry.value().as_string()));
}

struct Piece {
  std::filesystem::path path;
  std::uint64_t offset, length;
};

// Parts of several blobs one after the other.
async::Task<> send_pieces(async::Runtime* runtime, std::vector<Piece> pieces, std::shared_ptr<void> keep,
                          net::BodyWriter& writer) {
  for (const Piece& piece : pieces) {
    for (std::uint64_t at = 0; at < piece.length;) {
      const std::size_t size = static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, piece.length - at));
      std::string bytes = co_await runtime->blocking([path = piece.path, from = piece.offset + at, size] {
        std::string out(size, '\0');
        const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        std::size_t got = 0;
        while (fd >= 0 && got < size) {
          const ssize_t n = ::pread(fd, out.data() + got, size - got, static_cast<off_t>(from + got));
          if (n <= 0) break;
          got += static_cast<std::size_t>(n);
        }
        if (fd >= 0) ::close(fd);
        out.resize(got);
        return out;
      });
      if (bytes.size() != size) throw base::internal_error("a blob of the object is not whole");
      at += size;
      co_await writer.write(bytes);
    }
  }
}

}  // namespace

async::Task<S3Service::Stored> S3Service::take_body(Call call) {
  const auto self = shared_from_this();
  const net::Headers& headers = call.http->headers;
  const std::string& hash = call.signature.payload_hash;
  std::optional<ChunkDecoder> chunks;
  if (hash == "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" || hash == "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER") {
    chunks.emplace(signing_key(call.bucket.secret, call.signature), call.signature);
  } else if (hash == "STREAMING-UNSIGNED-PAYLOAD-TRAILER") {
    chunks.emplace("", call.signature);
  } else if (hash.starts_with("STREAMING-")) {
    throw S3Error{501, "NotImplemented", hash.substr(0, 60) + " is not in this version"};
  }
  if (const auto length = call.http->body->length(); length && *length > kLargestObject)
    throw S3Error{400, "EntityTooLarge", "at most 5 GiB at once; larger ones go in parts"};
  auto begun = co_await self->blobs_->begin();
  if (!begun) throw S3Error{500, "InternalError", begun.error().message};
  const std::shared_ptr<store::BlobUpload> upload = std::move(*begun);
  const auto digests = std::make_shared<Digests>();
  Stored out;
  std::exception_ptr failure;
  std::string content;
  std::vector<char> buffer(256 * 1024);
  try {
    for (bool more = true; more;) {
      const std::size_t n = co_await call.http->body->read(buffer);
      more = n > 0;
      if (chunks) {
        if (auto fed = chunks->feed({buffer.data(), n}, content); !fed) {
          const bool wrong = fed.error().code == base::ErrorCode::kUnauthenticated;
          throw S3Error{wrong ? 403 : 400, wrong ? "SignatureDoesNotMatch" : "InvalidRequest", fed.error().message};
        }
      } else {
        content.append(buffer.data(), n);
      }
      if (content.empty() || (more && content.size() < kPiece)) continue;
      out.size += content.size();
      if (out.size > kLargestObject) throw S3Error{400, "EntityTooLarge", "at most 5 GiB at once"};
      const auto piece = std::make_shared<std::string>(std::move(content));
      content.clear();
      co_await self->runtime_.blocking([digests, piece] { digests->update(*piece); });
      if (auto done = co_await upload->append(std::move(*piece)); !done)
        throw S3Error{507, "InsufficientStorage", done.error().message};
    }
    if (chunks && !chunks->done()) throw S3Error{400, "IncompleteBody", "the last chunk is missing"};
    std::string sha;
    std::tie(out.md5, sha) = digests->finish();
    if (!chunks && hash != "UNSIGNED-PAYLOAD" && !base::constant_time_equal(sha, hash))
      throw S3Error{400, "XAmzContentSHA256Mismatch", "the body is not the one that was signed"};
    if (const auto wanted = headers.get("Content-MD5"); !wanted.empty()) {
      const auto raw = base::base64_decode(wanted);
      if (!raw || raw->size() != 16) throw S3Error{400, "InvalidDigest", "Content-MD5 is malformed"};
      if (base::hex(*raw) != out.md5) throw S3Error{400, "BadDigest", "the body is not the one Content-MD5 names"};
    }
    out.digest = "sha256:" + sha;
  } catch (...) {
    failure = std::current_exception();  // also the end of the connection: half a body is not kept
  }
  if (failure) {
    co_await upload->abort();
    std::rethrow_exception(failure);
  }
  out.hold = co_await self->hold(out.digest);
  if (auto done = co_await upload->finish(out.digest); !done) throw S3Error{500, "InternalError", done.error().message};
  co_return out;
}

async::Task<S3Object> S3Service::need_object(Call call, std::string key) {
  auto found = co_await pool([index = index_, id = call.bucket.id, key] { return index->find(id, key); });
  if (!found) throw S3Error{404, "NoSuchKey", "there is no such object"};
  co_return std::move(*found);
}

async::Task<net::Response> S3Service::put_object(Call call) {
  const auto self = shared_from_this();
  const bool only_new = call.http->headers.get("If-None-Match") == "*";
  // Never taken for unconditional.
  if (call.http->headers.has("If-Match") || (call.http->headers.has("If-None-Match") && !only_new))
    throw S3Error{501, "NotImplemented", "a PUT may have If-None-Match: * and no other condition"};
  S3Object object;
  object.key = call.key;
  object.headers = kept_headers(call.http->headers);
  Stored stored = co_await self->take_body(call);
  object.etag = stored.md5;
  object.size = stored.size;
  object.modified = seconds_of(self->clock_.now());
  object.parts = {{stored.digest, stored.size}};
  auto freed = std::make_shared<std::vector<std::string>>();
  const auto done = co_await self->runtime_.blocking([index = self->index_, call, object, only_new, freed] {
    return index->put(call.bucket.id, object, only_new, call.bucket.quota, *freed);
  });
  stored.hold.reset();
  if (!done) {
    co_await self->release({stored.digest});
    if (done.error().code == base::ErrorCode::kConflict) throw S3Error{412, "PreconditionFailed", done.error().message};
    const bool full = done.error().code == base::ErrorCode::kExhausted;
    throw S3Error{full ? 403 : 500, full ? "QuotaExceeded" : "InternalError", done.error().message};
  }
  co_await self->release(*freed);
  net::Response response = net::Response::empty(200);
  response.headers.set("ETag", "\"" + object.etag + "\"");
  co_return response;
}

// Within the bucket: the new object refers to the same bytes.
async::Task<net::Response> S3Service::copy_object(Call call) {
  const auto self = shared_from_this();
  const net::Headers& headers = call.http->headers;
  auto source = base::percent_decode(headers.get("x-amz-copy-source"));
  if (!source) throw S3Error{400, "InvalidArgument", "x-amz-copy-source is malformed"};
  std::string_view from = *source;
  if (from.starts_with('/')) from.remove_prefix(1);
  const auto slash = from.find('/');
  if (slash == std::string_view::npos || from.substr(0, slash) != call.bucket.bucket)
    throw S3Error{403, "AccessDenied", "a copy is of an object of the same bucket"};
  S3Object object = co_await self->need_object(call, std::string(from.substr(slash + 1)));
  if (precondition(headers, object, "x-amz-copy-source-") != 0)
    throw S3Error{412, "PreconditionFailed", "the source is not as the request wants it"};
  const bool replace = headers.get("x-amz-metadata-directive") == "REPLACE";
  if (object.key == call.key && !replace)
    throw S3Error{400, "InvalidRequest", "a copy onto itself must replace the metadata"};
  object.key = call.key;
  object.modified = seconds_of(self->clock_.now());
  if (replace) object.headers = kept_headers(headers);
  std::vector<std::shared_ptr<void>> holds;
  for (const BlobPart& part : object.parts) holds.push_back(co_await self->hold(part.digest));
  // The source may have gone before the bytes were held.
  for (const BlobPart& part : object.parts)
    if (!self->blobs_->size(part.digest)) throw S3Error{404, "NoSuchKey", "there is no such object"};
  auto freed = std::make_shared<std::vector<std::string>>();
  co_await self->pool([index = self->index_, call, object, freed] {
    return index->put(call.bucket.id, object, false, call.bucket.quota, *freed);
  });
  holds.clear();
  co_await self->release(*freed);
  co_return xml_response(200, xml_document("CopyObjectResult", xml_element("LastModified", iso_date(object.modified)) +
                                                                   xml_element("ETag", "\"" + object.etag + "\"")));
}

async::Task<net::Response> S3Service::get_object(Call call) {
  const auto self = shared_from_this();
  const S3Object object = co_await self->need_object(call, call.key);
  const bool head = call.http->method == "HEAD";
  if (const int refused = precondition(call.http->headers, object, ""); refused == 412)
    throw S3Error{412, "PreconditionFailed", "the object is not as the request wants it"};
  else if (refused == 304) {
    net::Response same = net::Response::empty(304);
    set_object_headers(same, object);
    co_return same;
  }
  net::Response response;
  set_object_headers(response, object);
  ByteRange range{0, object.size};
  const auto if_range = call.http->headers.get("If-Range");
  if (if_range.empty() || names_etag(if_range, object.etag))
    if (const auto wanted = parse_byte_range(call.http->headers.get("Range"), object.size)) {
      range = *wanted;
      response.status = 206;
      response.headers.set("Content-Range",
                           fmt::format("bytes {}-{}/{}", range.first, range.first + range.length - 1, object.size));
    }
  for (const auto& [name, value] : call.target.query) {
    const std::string_view header = overridden_header(name);
    const bool clean = std::ranges::none_of(value, [](unsigned char c) { return c < 0x20 || c == 0x7F; });
    if (!header.empty() && clean) response.headers.set(std::string(header), value);
  }
  std::vector<Piece> pieces;
  std::uint64_t begin = 0;
  for (const BlobPart& part : object.parts) {
    const std::uint64_t first = std::max(begin, range.first),
                        last = std::min(begin + part.size, range.first + range.length);
    if (first < last) {
      const auto path = self->blobs_->path(part.digest);
      if (!path) throw S3Error{500, "InternalError", path.error().message};
      pieces.push_back({*path, first - begin, last - first});
    }
    begin += part.size;
  }
  if (head) {
    response.headers.set("Content-Length", std::to_string(range.length));
  } else if (pieces.empty()) {
    response.body = std::string();
  } else if (pieces.size() == 1) {
    response.body = net::FileBody{pieces[0].path, pieces[0].offset, pieces[0].length};
  } else {
    std::vector<std::shared_ptr<void>> holds;
    for (const BlobPart& part : object.parts) holds.push_back(co_await self->hold(part.digest));
    auto keep = std::make_shared<std::vector<std::shared_ptr<void>>>(std::move(holds));
    response.body = net::StreamBody{[runtime = &self->runtime_, pieces, keep](net::BodyWriter& writer) {
                                      return send_pieces(runtime, pieces, keep, writer);
                                    },
                                    range.length};
  }
  co_return response;
}

async::Task<net::Response> S3Service::delete_object(Call call) {
  const auto self = shared_from_this();
  auto freed = std::make_shared<std::vector<std::string>>();
  co_await self->pool([index = self->index_, call, freed] { return index->erase(call.bucket.id, {call.key}, *freed); });
  co_await self->release(*freed);
  co_return net::Response::empty(204);
}

}  // namespace mainstay::cloud
