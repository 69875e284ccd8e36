// Requests on a bucket: listings, and deleting many objects at once.
#include <algorithm>
#include <charconv>

#include "base/encoding.h"
#include "base/strings.h"
#include "capabilities/cloud/buckets/s3.h"
#include "capabilities/cloud/buckets/xml.h"
#include "crypto/digest.h"

namespace mainstay::cloud {
namespace {

constexpr std::size_t kPage = 1000;
constexpr std::size_t kMostXml = 2u << 20;

std::size_t page_size(const S3Target& target, std::string_view name) {
  if (!target.has(name)) return kPage;
  const std::string text = target.get(name);
  std::size_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || end != text.data() + text.size())
    throw S3Error{400, "InvalidArgument", fmt::format("{} must be a number", name)};
  return std::min(n, kPage);
}

}  // namespace

net::Response S3Service::list_buckets(const Call& call) const {
  return xml_response(
      200,
      xml_document("ListAllMyBucketsResult",
                   fmt::format("<Owner>{}{}</Owner><Buckets><Bucket>{}{}</Bucket></Buckets>",
                               xml_element("ID", call.bucket.id), xml_element("DisplayName", call.bucket.bucket),
                               xml_element("Name", call.bucket.bucket), xml_element("CreationDate", iso_date(0)))));
}

// ListObjects (version 1) and ListObjectsV2.
async::Task<net::Response> S3Service::list_objects(Call call) {
  const S3Target& t = call.target;
  const bool v2 = t.get("list-type") == "2", url = t.get("encoding-type") == "url";
  const std::string prefix = t.get("prefix"), delimiter = t.get("delimiter");
  const std::size_t limit = page_size(t, "max-keys");
  std::string after = v2 ? t.get("start-after") : t.get("marker");
  if (v2 && t.has("continuation-token")) {
    auto decoded = base::base64url_decode(t.get("continuation-token"));
    if (!decoded) throw S3Error{400, "InvalidArgument", "the continuation token is not one of ours"};
    after = std::move(*decoded);
  }
  S3Listing found;
  if (limit > 0)
    found = co_await pool([index = index_, id = call.bucket.id, prefix, delimiter, after, limit] {
      return index->list(id, prefix, delimiter, after, limit);
    });
  const auto shown = [url](const std::string& key) { return url ? base::percent_encode(key, "/") : key; };
  std::string out = xml_element("Name", call.bucket.bucket) + xml_element("Prefix", shown(prefix)) +
                    xml_element("MaxKeys", std::to_string(limit)) +
                    xml_element("IsTruncated", found.next.empty() ? "false" : "true");
  if (!delimiter.empty()) out += xml_element("Delimiter", shown(delimiter));
  if (url) out += xml_element("EncodingType", "url");
  if (v2) {
    out += xml_element("KeyCount", std::to_string(found.objects.size() + found.prefixes.size()));
    if (t.has("start-after")) out += xml_element("StartAfter", shown(t.get("start-after")));
    if (t.has("continuation-token")) out += xml_element("ContinuationToken", t.get("continuation-token"));
    if (!found.next.empty()) out += xml_element("NextContinuationToken", base::base64url(found.next));
  } else {
    out += xml_element("Marker", shown(after));
    if (!found.next.empty()) out += xml_element("NextMarker", shown(found.next));
  }
  for (const S3Object& o : found.objects)
    out += fmt::format("<Contents>{}{}{}{}{}</Contents>", xml_element("Key", shown(o.key)),
                       xml_element("LastModified", iso_date(o.modified)), xml_element("ETag", "\"" + o.etag + "\""),
                       xml_element("Size", std::to_string(o.size)), xml_element("StorageClass", "STANDARD"));
  for (const std::string& p : found.prefixes)
    out += "<CommonPrefixes>" + xml_element("Prefix", shown(p)) + "</CommonPrefixes>";
  co_return xml_response(200, xml_document("ListBucketResult", out));
}

async::Task<net::Response> S3Service::delete_objects(Call call) {
  const std::string text = co_await call.http->body->read_all(kMostXml);
  if (call.signature.payload_hash != "UNSIGNED-PAYLOAD" &&
      !base::constant_time_equal(crypto::sha256_hex(text), call.signature.payload_hash))
    throw S3Error{400, "XAmzContentSHA256Mismatch", "the body is not the one that was signed"};
  const auto document = parse_xml(text);
  if (!document || document->name != "Delete")
    throw S3Error{400, "MalformedXML", document ? "the document must be Delete" : document.error().message};
  std::vector<std::string> keys;
  for (const XmlNode& node : document->children)
    if (node.name == "Object") keys.push_back(node.value("Key"));
  if (keys.size() > kPage) throw S3Error{400, "MalformedXML", "at most 1000 objects at once"};
  const bool quiet = document->value("Quiet") == "true";
  auto freed = std::make_shared<std::vector<std::string>>();
  co_await pool([index = index_, id = call.bucket.id, keys, freed] { return index->erase(id, keys, *freed); });
  co_await release(*freed);
  std::string out;
  if (!quiet)
    for (const std::string& key : keys) out += "<Deleted>" + xml_element("Key", key) + "</Deleted>";
  co_return xml_response(200, xml_document("DeleteResult", out));
}

async::Task<net::Response> S3Service::list_uploads(Call call) {
  const auto all = co_await pool([index = index_, id = call.bucket.id] { return index->uploads(id, kPage); });
  std::string out = xml_element("Bucket", call.bucket.bucket) + xml_element("MaxUploads", std::to_string(kPage)) +
                    xml_element("IsTruncated", "false");
  for (const S3Upload& u : all)
    if (u.key.starts_with(call.target.get("prefix")))
      out += fmt::format("<Upload>{}{}{}{}</Upload>", xml_element("Key", u.key), xml_element("UploadId", u.id),
                         xml_element("StorageClass", "STANDARD"), xml_element("Initiated", iso_date(u.begun)));
  co_return xml_response(200, xml_document("ListMultipartUploadsResult", out));
}

}  // namespace mainstay::cloud
