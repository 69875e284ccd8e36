// Uploads in parts.
#include <openssl/evp.h>

#include <charconv>

#include "base/encoding.h"
#include "base/ids.h"
#include "base/strings.h"
#include "capabilities/cloud/buckets/s3.h"
#include "capabilities/cloud/buckets/xml.h"
#include "crypto/digest.h"

namespace mainstay::cloud {
namespace {

constexpr int kMostParts = 10'000;
constexpr std::size_t kMostXml = 4u << 20;

std::string md5_hex(std::string_view bytes) {
  unsigned char raw[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_Digest(bytes.data(), bytes.size(), raw, &size, EVP_md5(), nullptr);
  return base::hex({reinterpret_cast<const char*>(raw), size});
}

int part_number(std::string_view text) {
  int n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || end != text.data() + text.size() || n < 1 || n > kMostParts)
    throw S3Error{400, "InvalidArgument", "a part's number is 1 to 10000"};
  return n;
}

std::int64_t seconds_of(base::SystemTime time) { return std::chrono::system_clock::to_time_t(time); }

S3Error upload_error(const base::Error& error) {
  if (error.code == base::ErrorCode::kNotFound) return {404, "NoSuchUpload", error.message};
  if (error.code == base::ErrorCode::kExhausted) return {403, "QuotaExceeded", error.message};
  if (error.code == base::ErrorCode::kConflict) return {409, "OperationAborted", error.message};
  return {500, "InternalError", error.message};
}

// The listed parts as an object; S3Error where the list is not of what was uploaded.
S3Object assembled(const S3Upload& upload, const XmlNode& document, const std::vector<S3Part>& parts) {
  S3Object object;
  object.key = upload.key;
  object.headers = upload.headers;
  std::string sums;
  int last = 0;
  for (const XmlNode& node : document.children) {
    if (node.name != "Part") continue;
    const int number = part_number(node.value("PartNumber"));
    if (number <= last) throw S3Error{400, "InvalidPartOrder", "the parts must be in ascending order"};
    last = number;
    std::string etag = node.value("ETag");
    std::erase(etag, '"');
    const auto part = std::ranges::find(parts, number, &S3Part::number);
    if (part == parts.end() || part->etag != etag)
      throw S3Error{400, "InvalidPart", fmt::format("part {} was not uploaded, or has another ETag", number)};
    object.parts.push_back({part->digest, part->size});
    object.size += part->size;
    sums += *base::hex_decode(part->etag);
  }
  if (object.parts.empty()) throw S3Error{400, "MalformedXML", "there is no Part"};
  object.etag = fmt::format("{}-{}", md5_hex(sums), object.parts.size());
  return object;
}

}  // namespace

async::Task<S3Upload> S3Service::need_upload(Call call) {
  auto found = co_await pool([index = index_, id = call.bucket.id, upload = call.target.get("uploadId")] {
    return index->find_upload(id, upload);
  });
  if (!found || found->key != call.key) throw S3Error{404, "NoSuchUpload", "there is no such upload of this key"};
  co_return std::move(*found);
}

async::Task<net::Response> S3Service::begin_upload(Call call) {
  const S3Upload upload{base::uuid4(), call.key, kept_headers(call.http->headers), seconds_of(clock_.now())};
  co_await pool([index = index_, id = call.bucket.id, upload] { return index->begin_upload(id, upload); });
  co_return xml_response(200, xml_document("InitiateMultipartUploadResult", xml_element("Bucket", call.bucket.bucket) +
                                                                                xml_element("Key", call.key) +
                                                                                xml_element("UploadId", upload.id)));
}

async::Task<net::Response> S3Service::upload_part(Call call) {
  const auto self = shared_from_this();
  if (call.http->headers.has("x-amz-copy-source"))
    throw S3Error{501, "NotImplemented", "copying into a part is not in this version"};
  S3Part part;
  part.number = part_number(call.target.get("partNumber"));
  const S3Upload upload = co_await self->need_upload(call);
  Stored stored = co_await self->take_body(call);
  part.etag = stored.md5;
  part.digest = stored.digest;
  part.size = stored.size;
  part.modified = seconds_of(self->clock_.now());
  auto freed = std::make_shared<std::vector<std::string>>();
  const auto done = co_await self->runtime_.blocking(
      [index = self->index_, id = upload.id, bucket = call.bucket.id, quota = call.bucket.quota, part, freed] {
        return index->put_part(bucket, id, part, quota, *freed);
      });
  stored.hold.reset();
  if (!done) {
    co_await self->release({stored.digest});
    throw upload_error(done.error());
  }
  co_await self->release(*freed);
  net::Response response = net::Response::empty(200);
  response.headers.set("ETag", "\"" + part.etag + "\"");
  co_return response;
}

async::Task<net::Response> S3Service::complete_upload(Call call) {
  const auto self = shared_from_this();
  const S3Upload upload = co_await self->need_upload(call);
  const std::string text = co_await call.http->body->read_all(kMostXml);
  if (call.signature.payload_hash != "UNSIGNED-PAYLOAD" &&
      !base::constant_time_equal(crypto::sha256_hex(text), call.signature.payload_hash))
    throw S3Error{400, "XAmzContentSHA256Mismatch", "the body is not the one that was signed"};
  const auto document = parse_xml(text);
  if (!document || document->name != "CompleteMultipartUpload")
    throw S3Error{400, "MalformedXML",
                  document ? "the document must be CompleteMultipartUpload" : document.error().message};
  const auto parts = co_await self->pool([index = self->index_, id = upload.id] { return index->parts(id); });
  S3Object object = assembled(upload, *document, parts);
  object.modified = seconds_of(self->clock_.now());
  auto freed = std::make_shared<std::vector<std::string>>();
  const auto done = co_await self->runtime_.blocking([index = self->index_, call, upload, object, freed] {
    return index->complete(call.bucket.id, upload.id, object, call.bucket.quota, *freed);
  });
  if (!done) throw upload_error(done.error());
  co_await self->release(*freed);
  co_return xml_response(200,
                         xml_document("CompleteMultipartUploadResult",
                                      xml_element("Location", "/s3/" + call.bucket.bucket + "/" + call.key) +
                                          xml_element("Bucket", call.bucket.bucket) + xml_element("Key", call.key) +
                                          xml_element("ETag", "\"" + object.etag + "\"")));
}

async::Task<net::Response> S3Service::abort_upload(Call call) {
  const auto self = shared_from_this();
  const S3Upload upload = co_await self->need_upload(call);
  auto freed = std::make_shared<std::vector<std::string>>();
  co_await self->pool([index = self->index_, id = upload.id, freed] { return index->abort(id, *freed); });
  co_await self->release(*freed);
  co_return net::Response::empty(204);
}

async::Task<net::Response> S3Service::list_parts(Call call) {
  const S3Upload upload = co_await need_upload(call);
  const auto parts = co_await pool([index = index_, id = upload.id] { return index->parts(id); });
  std::string out =
      xml_element("Bucket", call.bucket.bucket) + xml_element("Key", upload.key) + xml_element("UploadId", upload.id);
  const std::string marker = call.target.get("part-number-marker");
  const int after = marker.empty() ? 0 : part_number(marker);
  int shown = 0, last = 0;
  bool more = false;
  for (const S3Part& part : parts) {
    if (part.number <= after) continue;
    if (shown == 1000) {
      more = true;
      break;
    }
    ++shown;
    last = part.number;
    out += fmt::format("<Part>{}{}{}{}</Part>", xml_element("PartNumber", std::to_string(part.number)),
                       xml_element("LastModified", iso_date(part.modified)),
                       xml_element("ETag", "\"" + part.etag + "\""), xml_element("Size", std::to_string(part.size)));
  }
  out += xml_element("MaxParts", "1000") + xml_element("IsTruncated", more ? "true" : "false");
  if (more) out += xml_element("NextPartNumberMarker", std::to_string(last));
  co_return xml_response(200, xml_document("ListPartsResult", out));
}

}  // namespace mainstay::cloud
