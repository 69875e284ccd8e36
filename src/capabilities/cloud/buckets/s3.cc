#include "capabilities/cloud/buckets/s3.h"

#include "base/log.h"
#include "base/status.h"
#include "base/strings.h"
#include "capabilities/cloud/buckets/xml.h"

namespace mainstay::cloud {
namespace {

constexpr std::size_t kMostRequests = 256;
constexpr std::int64_t kUploadAge = 7 * 24 * 3600;
constexpr std::size_t kLongestKey = 1024;
constexpr std::string_view kBase = "/s3";

// As the specification has it; or as clients sign that take the endpoint's path for a part of its host's name (s3cmd):
// the path without /s3, and the host with it. Method, bucket, key, parameters and headers are signed either way.
bool signed_somehow(const std::string& secret, const net::Request& request, const S3Target& target,
                    const Signature& signature) {
  if (signed_with(secret, request.method, target, request.headers, signature)) return true;
  if (!target.path.starts_with("/s3/")) return false;
  S3Target below = target;
  below.path.erase(0, kBase.size());
  net::Headers headers = request.headers;
  headers.set("Host", std::string(request.headers.get("Host")) + std::string(kBase));
  return signed_with(secret, request.method, below, headers, signature);
}

// What clients ask about a bucket and it never has, with the code that says so.
constexpr std::pair<const char*, const char*> kAbsent[] = {
    {"policy", "NoSuchBucketPolicy"},
    {"lifecycle", "NoSuchLifecycleConfiguration"},
    {"cors", "NoSuchCORSConfiguration"},
    {"tagging", "NoSuchTagSet"},
    {"website", "NoSuchWebsiteConfiguration"},
    {"replication", "ReplicationConfigurationNotFoundError"},
    {"encryption", "ServerSideEncryptionConfigurationNotFoundError"},
    {"object-lock", "ObjectLockConfigurationNotFoundError"},
    {"ownershipControls", "OwnershipControlsNotFoundError"},
    {"publicAccessBlock", "NoSuchPublicAccessBlockConfiguration"}};

// The one who holds the bucket's key may do all, nobody else anything: as an access control list.
net::Response owners_acl(const BucketKey& bucket) {
  const std::string owner = xml_element("ID", bucket.id) + xml_element("DisplayName", bucket.bucket);
  return xml_response(
      200, xml_document("AccessControlPolicy",
                        fmt::format("<Owner>{0}</Owner><AccessControlList><Grant><Grantee "
                                    "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" "
                                    "xsi:type=\"CanonicalUser\">{0}</Grantee>{1}</Grant></AccessControlList>",
                                    owner, xml_element("Permission", "FULL_CONTROL"))));
}

}  // namespace

S3Service::S3Service(async::Runtime& runtime, base::Clock& clock, std::shared_ptr<BucketIndex> index,
                     std::shared_ptr<store::BlobStore> blobs, FindKey find_key)
    : runtime_(runtime),
      clock_(clock),
      index_(std::move(index)),
      blobs_(std::move(blobs)),
      find_key_(std::move(find_key)),
      removed_(runtime.executor()) {}

S3Service::Call S3Service::authenticate(std::shared_ptr<net::Request> request) const {
  Call call;
  call.http = std::move(request);
  auto target = parse_s3_target(call.http->raw_target);
  if (!target) throw S3Error{400, "InvalidURI", target.error().message};
  call.target = std::move(*target);
  auto read = read_signature(call.target, call.http->headers);
  if (!read) {
    const bool lacking = read.error().code == base::ErrorCode::kUnauthenticated;
    throw S3Error{lacking ? 403 : 400, lacking ? "AccessDenied" : "AuthorizationHeaderMalformed", read.error().message};
  }
  if (!*read) throw S3Error{403, "AccessDenied", "the request is not signed; every bucket has a key of its own"};
  call.signature = std::move(**read);
  const auto known = find_key_(call.signature.access_key);
  if (!known) throw S3Error{403, "InvalidAccessKeyId", "there is no such access key"};
  call.bucket = *known;
  if (!fresh(call.signature, clock_.now()))
    throw S3Error{403, call.signature.presigned ? "AccessDenied" : "RequestTimeTooSkewed",
                  call.signature.presigned ? "the URL has expired" : "the request's time is not within 15 minutes"};
  if (!signed_somehow(call.bucket.secret, *call.http, call.target, call.signature))
    throw S3Error{403, "SignatureDoesNotMatch", "the signature is not the one this key makes of this request"};
  // "/s3", "/s3/bucket", "/s3/bucket/any/key"
  std::string_view path = call.target.path;
  path.remove_prefix(std::min(path.size(), std::string_view("/s3/").size()));
  const auto slash = path.find('/');
  const std::string_view bucket = path.substr(0, slash);
  call.in_bucket = !bucket.empty();
  if (slash != std::string_view::npos) call.key = path.substr(slash + 1);
  // Whether another bucket exists is not told.
  if (call.in_bucket && bucket != call.bucket.bucket)
    throw S3Error{403, "AccessDenied", "this key is not of that bucket"};
  if (call.key.size() > kLongestKey) throw S3Error{400, "KeyTooLongError", "a key has at most 1024 bytes"};
  if (call.key.find('\0') != std::string::npos) throw S3Error{400, "InvalidArgument", "a key may not hold NUL"};
  return call;
}

async::Task<net::Response> S3Service::handle(std::shared_ptr<api::RequestContext> context) {
  const auto self = shared_from_this();
  std::optional<S3Error> error;
  struct Counted {
    std::size_t& n;
    explicit Counted(std::size_t& count) : n(++count) {}
    ~Counted() { --n; }
  };
  const Counted counted(self->under_way_);
  try {
    if (self->under_way_ > kMostRequests) throw S3Error{503, "SlowDown", "too many requests at once; try again"};
    Call call = self->authenticate(context->http);
    (*context->audit_annotations)["mainstay.dev/bucket"] = call.bucket.bucket;
    (*context->audit_annotations)["mainstay.dev/access-key"] = call.signature.access_key;
    auto response = co_await self->dispatch(std::move(call));
    response.headers.set("x-amz-request-id", context->audit_id);
    disarm(response);
    co_return response;
  } catch (const S3Error& e) {
    error = e;
  } catch (const base::StatusError& e) {
    error = S3Error{e.code(), e.code() < 500 ? "InvalidRequest" : "InternalError", e.message()};
  }
  net::Response refused = s3_error_response(*error, context->http->path, context->audit_id);
  disarm(refused);
  co_return refused;
}

async::Task<net::Response> S3Service::dispatch(Call call) {
  if (!call.in_bucket) {
    if (call.http->method != "GET") throw S3Error{405, "MethodNotAllowed", "only GET lists buckets"};
    co_return list_buckets(call);
  }
  if (call.key.empty()) co_return co_await dispatch_bucket(std::move(call));
  co_return co_await dispatch_object(std::move(call));
}

async::Task<net::Response> S3Service::dispatch_bucket(Call call) {
  const std::string& method = call.http->method;
  const S3Target& t = call.target;
  if (method == "HEAD") {
    net::Response response = net::Response::empty(200);
    response.headers.set("x-amz-bucket-region", std::string(kS3Region));
    co_return response;
  }
  if (method == "GET") {
    if (t.has("location")) co_return xml_response(200, xml_document("LocationConstraint", ""));
    if (t.has("versioning")) co_return xml_response(200, xml_document("VersioningConfiguration", ""));
    if (t.has("uploads")) co_return co_await list_uploads(std::move(call));
    for (const auto& [parameter, code] : kAbsent)
      if (t.has(parameter)) throw S3Error{404, code, "there is none; rights are the platform's, see the Bucket object"};
    if (t.has("acl")) co_return owners_acl(call.bucket);
    if (t.has("notification")) co_return xml_response(200, xml_document("NotificationConfiguration", ""));
    if (t.has("logging")) co_return xml_response(200, xml_document("BucketLoggingStatus", ""));
    if (t.has("requestPayment"))
      co_return xml_response(200, xml_document("RequestPaymentConfiguration", xml_element("Payer", "BucketOwner")));
    if (t.has("versions"))
      throw S3Error{501, "NotImplemented", "buckets keep no versions: list the objects without ?versions"};
    co_return co_await list_objects(std::move(call));
  }
  if (method == "POST" && t.has("delete")) co_return co_await delete_objects(std::move(call));
  if (method == "PUT" && t.query.empty())
    throw S3Error{409, "BucketAlreadyOwnedByYou", "the bucket is there: it was made with its Bucket object"};
  if (method == "DELETE" && t.query.empty())
    throw S3Error{403, "AccessDenied", "a bucket goes with its Bucket object, by the Kubernetes API"};
  if (method == "PUT" && t.has("versioning"))
    throw S3Error{501, "NotImplemented", "buckets keep no versions; what is overwritten or deleted is gone"};
  throw S3Error{501, "NotImplemented",
                fmt::format("{} on a bucket with these parameters is not in this version", method)};
}

async::Task<net::Response> S3Service::dispatch_object(Call call) {
  const std::string& method = call.http->method;
  const bool upload = call.target.has("uploadId");
  if (call.target.has("versionId") && call.target.get("versionId") != "null")
    throw S3Error{501, "NotImplemented", "buckets keep no versions: ask without versionId"};
  if (method == "GET" && call.target.has("acl")) {
    co_await need_object(call, call.key);
    co_return owners_acl(call.bucket);
  }
  if (method == "GET" && call.target.has("tagging")) {
    co_await need_object(call, call.key);
    co_return xml_response(200, xml_document("Tagging", "<TagSet></TagSet>"));
  }
  for (const char* other : {"acl", "tagging", "retention", "legal-hold", "torrent", "restore", "select"})
    if (call.target.has(other)) throw S3Error{501, "NotImplemented", fmt::format("?{} is not in this version", other)};
  if (method == "GET" && upload) co_return co_await list_parts(std::move(call));
  if (method == "GET" || method == "HEAD") co_return co_await get_object(std::move(call));
  if (method == "PUT" && upload) co_return co_await upload_part(std::move(call));
  if (method == "PUT" && call.http->headers.has("x-amz-copy-source")) co_return co_await copy_object(std::move(call));
  if (method == "PUT") co_return co_await put_object(std::move(call));
  if (method == "POST" && call.target.has("uploads")) co_return co_await begin_upload(std::move(call));
  if (method == "POST" && upload) co_return co_await complete_upload(std::move(call));
  if (method == "DELETE" && upload) co_return co_await abort_upload(std::move(call));
  if (method == "DELETE") co_return co_await delete_object(std::move(call));
  throw S3Error{405, "MethodNotAllowed", fmt::format("{} is not for objects", method)};
}

async::Task<std::shared_ptr<void>> S3Service::hold(std::string digest) {
  const auto self = shared_from_this();
  while (self->removing_.contains(digest)) co_await self->removed_.wait();
  struct Hold {
    std::shared_ptr<std::map<std::string, int>> all;
    std::string digest;
    ~Hold() {
      if (--(*all)[digest] == 0) all->erase(digest);
    }
  };
  ++(*self->held_)[digest];
  co_return std::make_shared<Hold>(Hold{self->held_, std::move(digest)});
}

// Removes the blobs among these that nothing refers to any more.
async::Task<> S3Service::release(std::vector<std::string> freed) {
  const auto self = shared_from_this();
  for (const std::string& digest : freed) {
    if (self->held_->contains(digest) || !self->removing_.insert(digest).second) continue;
    struct Mark {
      S3Service& service;
      const std::string& digest;
      ~Mark() {
        service.removing_.erase(digest);
        service.removed_.notify_all();
      }
    } mark{*self, digest};
    const bool used =
        co_await self->runtime_.blocking([index = self->index_, digest] { return index->is_used(digest); });
    if (used) continue;
    auto gone = co_await self->blobs_->remove(digest);
    if (!gone && gone.error().code != base::ErrorCode::kNotFound)
      base::log::warn("buckets", "{}; it is tried again at the next start", gone.error().message);
  }
}

async::Task<> S3Service::collect() {
  const auto self = shared_from_this();
  const std::int64_t before = std::chrono::system_clock::to_time_t(self->clock_.now()) - kUploadAge;
  std::vector<std::string> freed;
  auto stale =
      co_await self->runtime_.blocking([index = self->index_, before] { return index->stale_uploads(before); });
  if (stale)
    for (const std::string& upload : *stale)
      co_await self->runtime_.blocking([index = self->index_, upload, &freed] { return index->abort(upload, freed); });
  co_await self->blobs_->expire_uploads(std::chrono::hours(24));
  co_await self->blobs_->for_each([&freed](const std::string& digest, std::uint64_t) { freed.push_back(digest); });
  co_await self->release(std::move(freed));
}

async::Task<base::Result<>> S3Service::drop_bucket(std::string id) {
  const auto self = shared_from_this();
  auto freed = std::make_shared<std::vector<std::string>>();
  auto done =
      co_await self->runtime_.blocking([index = self->index_, id, freed] { return index->drop_bucket(id, *freed); });
  if (done) co_await self->release(*freed);
  co_return done;
}

async::Task<base::Result<BucketUsage>> S3Service::usage(std::string id) {
  co_return co_await runtime_.blocking([index = index_, id] { return index->usage(id); });
}

}  // namespace mainstay::cloud
