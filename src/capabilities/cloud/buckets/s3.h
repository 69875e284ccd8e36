// The S3 API over the buckets: path style below /s3/. Every request is signed with its bucket's own key, which reaches
// that bucket and nothing else.
#pragma once
#include <map>
#include <memory>
#include <set>
#include <string>

#include "async/sync.h"
#include "capabilities/cloud/buckets/index.h"
#include "capabilities/cloud/buckets/sigv4.h"
#include "platform/host.h"
#include "store/blobs.h"

namespace mainstay::cloud {

inline constexpr std::string_view kS3Region = "us-east-1";
inline constexpr std::uint64_t kLargestObject = 5ull << 30;  // of one PUT or part; S3's own limit

// Abandons the request with S3's error document.
struct S3Error {
  int status;
  std::string code, message;
};

// A bucket as its key's holder knows it.
struct BucketKey {
  std::string id, bucket;   // opaque and for ever; the name in URLs
  std::string secret;       // of the access key
  std::uint64_t quota = 0;  // bytes; 0: none
};

class S3Service : public std::enable_shared_from_this<S3Service> {
 public:
  using FindKey = std::function<std::optional<BucketKey>(const std::string& access_key)>;
  S3Service(async::Runtime& runtime, base::Clock& clock, std::shared_ptr<BucketIndex> index,
            std::shared_ptr<store::BlobStore> blobs, FindKey find_key);
  async::Task<net::Response> handle(std::shared_ptr<api::RequestContext> context);
  // Removes uploads older than a week and blobs that no row refers to (what a kill left behind).
  async::Task<> collect();
  async::Task<base::Result<>> drop_bucket(std::string id);
  async::Task<base::Result<BucketUsage>> usage(std::string id);

 private:
  // One request, believed.
  struct Call {
    std::shared_ptr<net::Request> http;
    S3Target target;
    Signature signature;
    BucketKey bucket;
    std::string key;  // of the object; "" for the bucket itself
    bool in_bucket = false;
  };
  // Bytes that were taken in. While it lives, its blob is not collected for want of a reference.
  struct Stored {
    std::string digest, md5;  // sha256:…; 32 hex digits
    std::uint64_t size = 0;
    std::shared_ptr<void> hold;
  };
  Call authenticate(std::shared_ptr<net::Request> request) const;
  async::Task<net::Response> dispatch(Call call);
  async::Task<net::Response> dispatch_bucket(Call call);
  async::Task<net::Response> dispatch_object(Call call);

  net::Response list_buckets(const Call& call) const;
  async::Task<net::Response> list_objects(Call call);
  async::Task<net::Response> delete_objects(Call call);
  async::Task<net::Response> list_uploads(Call call);

  async::Task<net::Response> put_object(Call call);
  async::Task<net::Response> copy_object(Call call);
  async::Task<net::Response> get_object(Call call);
  async::Task<net::Response> delete_object(Call call);

  async::Task<net::Response> begin_upload(Call call);
  async::Task<net::Response> upload_part(Call call);
  async::Task<net::Response> complete_upload(Call call);
  async::Task<net::Response> abort_upload(Call call);
  async::Task<net::Response> list_parts(Call call);

  async::Task<Stored> take_body(Call call);
  async::Task<std::shared_ptr<void>> hold(std::string digest);
  async::Task<> release(std::vector<std::string> freed);
  async::Task<S3Object> need_object(Call call, std::string key);
  async::Task<S3Upload> need_upload(Call call);
  template <class F>
  async::Task<typename std::invoke_result_t<F>::value_type> pool(F work);

  async::Runtime& runtime_;
  base::Clock& clock_;
  std::shared_ptr<BucketIndex> index_;
  std::shared_ptr<store::BlobStore> blobs_;
  FindKey find_key_;
  std::shared_ptr<std::map<std::string, int>> held_ = std::make_shared<std::map<std::string, int>>();
  std::set<std::string> removing_;
  async::Event removed_;
  std::size_t under_way_ = 0;
};

template <class F>
async::Task<typename std::invoke_result_t<F>::value_type> S3Service::pool(F work) {
  auto done = co_await runtime_.blocking(std::move(work));
  if (!done) {
    const bool full = done.error().code == base::ErrorCode::kExhausted;
    throw S3Error{full ? 403 : 500, full ? "QuotaExceeded" : "InternalError", done.error().message};
  }
  if constexpr (!std::is_void_v<typename std::invoke_result_t<F>::value_type>) co_return std::move(*done);
}

// Headers kept with an object, as JSON; S3Error where there are too many.
std::string kept_headers(const net::Headers& headers);
std::string http_date(std::int64_t seconds);
std::string iso_date(std::int64_t seconds);  // 2026-01-02T03:04:05.000Z
net::Response xml_response(int status, std::string body);
net::Response s3_error_response(const S3Error& error, std::string_view resource, std::string_view request_id);

// What a bucket holds is anybody's, and a presigned URL opens it in a browser at the origin of the console and the
// sign-in: as a page it is to have neither scripts nor that origin.
void disarm(net::Response& response);
// The header that a query parameter of a GET sets ("response-content-type"); "" where it sets none.
std::string_view overridden_header(std::string_view parameter);

// bytes=first-last of `size` bytes (RFC 9110 14.1.2), one range; nullopt: not a range that is understood, all is sent.
// Throws S3Error 416 where it is beyond the end.
struct ByteRange {
  std::uint64_t first = 0, length = 0;
};
std::optional<ByteRange> parse_byte_range(std::string_view header, std::uint64_t size);

}  // namespace mainstay::cloud
