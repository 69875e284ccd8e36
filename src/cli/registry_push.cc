#include "cli/registry_push.h"

#include <zlib.h>

#include <fstream>

#include "base/clock.h"
#include "base/encoding.h"
#include "cli/file_body.h"
#include "crypto/digest.h"
#include "net/client.h"

namespace mainstay::cli {
namespace {

struct Compressed {
  std::string digest, diff_id;
  std::uint64_t size = 0;
};

// gzip (RFC 1952) without a time in its header, so that the same tar gives the same digest.
Compressed compress(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::ifstream in(from, std::ios::binary);
  std::ofstream out(to, std::ios::binary);
  if (!in || !out) throw Failure{kFailed, fmt::format("cannot read {} or write {}", from.string(), to.string())};
  z_stream z{};
  ::deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY);
  std::vector<char> raw(1u << 20), packed(1u << 20);
  crypto::Sha256 raw_hash, packed_hash;
  Compressed result;
  for (bool last = false; !last;) {
    in.read(raw.data(), static_cast<std::streamsize>(raw.size()));
    const auto n = static_cast<std::size_t>(in.gcount());
    last = n < raw.size();
    raw_hash.update({raw.data(), n});
    z.next_in = reinterpret_cast<Bytef*>(raw.data());
    z.avail_in = static_cast<uInt>(n);
    do {
      z.next_out = reinterpret_cast<Bytef*>(packed.data());
      z.avail_out = static_cast<uInt>(packed.size());
      ::deflate(&z, last ? Z_FINISH : Z_NO_FLUSH);
      const std::size_t m = packed.size() - z.avail_out;
      packed_hash.update({packed.data(), m});
      out.write(packed.data(), static_cast<std::streamsize>(m));
      result.size += m;
    } while (z.avail_out == 0);
  }
  ::deflateEnd(&z);
  out.close();
  if (!out) throw Failure{kFailed, fmt::format("cannot write {}: is the disk full?", to.string())};
  result.diff_id = "sha256:" + raw_hash.finish_hex();
  result.digest = "sha256:" + packed_hash.finish_hex();
  return result;
}

class Registry {
 public:
  Registry(Session& session, std::string repository, std::string token)
      : base_("/v2/" + repository), authorization_("Basic " + base::base64("token:" + token)) {
    net::ClientOptions options;
    options.tls.ca_pem = session.ca_pem();
    options.response_timeout = std::chrono::minutes(5);
    auto client = net::Client::create(session.runtime().executor(), session.server(), options);
    if (!client) throw Failure{kUnreachable, client.error().message};
    client_ = *client;
  }
  async::Task<net::ClientResponse> send(net::ClientRequest request) {
    request.headers.set("Authorization", authorization_);
    auto response = co_await client_->send(std::move(request));
    if (!response) throw Failure{kUnreachable, response.error().message};
    co_return *std::move(response);
  }
  async::Task<std::string> expect(net::ClientRequest request, int status, std::string what) {
    net::ClientResponse response = co_await send(std::move(request));
    const std::string body = co_await response.body->read_all(1u << 20);
    if (response.status != status)
      throw Failure{response.status == 403 ? kForbidden : kFailed,
                    fmt::format("{}: {} {}", what, response.status, body)};
    co_return std::string(response.headers.get("Location"));
  }
  async::Task<> put_blob(std::string digest, std::string content, std::shared_ptr<net::BodyReader> stream) {
    net::ClientRequest head;
    head.method = "HEAD";
    head.target = base_ + "/blobs/" + digest;
    net::ClientResponse present = co_await send(std::move(head));
    co_await present.body->read_all(1u << 16);
    if (present.status == 200) co_return;
    net::ClientRequest start;
    start.method = "POST";
    start.target = base_ + "/blobs/uploads/";
    std::string location = co_await expect(std::move(start), 202, "starting an upload");
    if (const auto host = location.find("://"); host != std::string::npos)
      location = location.substr(location.find('/', host + 3));
    net::ClientRequest put;
    put.method = "PUT";
    put.target =
        location + (location.find('?') == std::string::npos ? "?" : "&") + "digest=" + base::percent_encode(digest);
    put.headers.set("Content-Type", "application/octet-stream");
    put.body = std::move(content);
    put.stream = std::move(stream);
    co_await expect(std::move(put), 201, "uploading " + digest);
  }
  async::Task<> put_manifest(std::string tag, std::string manifest) {
    net::ClientRequest put;
    put.method = "PUT";
    put.target = base_ + "/manifests/" + tag;
    put.headers.set("Content-Type", "application/vnd.oci.image.manifest.v1+json");
    put.body = std::move(manifest);
    co_await expect(std::move(put), 201, "storing the manifest");
  }
  const std::string& base() const { return base_; }

 private:
  std::string base_, authorization_;
  std::shared_ptr<net::Client> client_;
};

}  // namespace

async::Task<std::string> push_image(Session& session, NewImage image) {
  const std::filesystem::path packed = image.layer_tar.string() + ".gz";
  const std::function<Compressed()> work = [from = image.layer_tar, packed] { return compress(from, packed); };
  const Compressed layer = co_await session.runtime().blocking(work);
  const json::value config = {{"architecture", "amd64"},
                              {"os", "linux"},
                              {"created", base::rfc3339(base::real_clock().now())},
                              {"config", image.config},
                              {"rootfs", {{"type", "layers"}, {"diff_ids", json::array{layer.diff_id}}}},
                              {"history", json::array{{{"created_by", image.comment}}}}};
  const std::string config_text = json::serialize(config);
  const std::string config_digest = "sha256:" + crypto::sha256_hex(config_text);
  const json::value manifest = {{"schemaVersion", 2},
                                {"mediaType", "application/vnd.oci.image.manifest.v1+json"},
                                {"config",
                                 {{"mediaType", "application/vnd.oci.image.config.v1+json"},
                                  {"digest", config_digest},
                                  {"size", config_text.size()}}},
                                {"layers", json::array{{{"mediaType", "application/vnd.oci.image.layer.v1.tar+gzip"},
                                                        {"digest", layer.digest},
                                                        {"size", layer.size}}}}};
  const std::string manifest_text = json::serialize(manifest);
  Registry registry(session, image.repository, co_await session.bearer_token());
  co_await registry.put_blob(layer.digest, "", file_body(packed));
  co_await registry.put_blob(config_digest, config_text, nullptr);
  co_await registry.put_manifest(image.tag, manifest_text);
  co_return "sha256:" + crypto::sha256_hex(manifest_text);
}

async::Task<bool> image_exists(Session& session, std::string repository, std::string tag) {
  Registry registry(session, repository, co_await session.bearer_token());
  net::ClientRequest head;
  head.method = "HEAD";
  head.target = registry.base() + "/manifests/" + tag;
  head.headers.set("Accept", "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json");
  net::ClientResponse response = co_await registry.send(std::move(head));
  co_await response.body->read_all(1u << 16);
  if (response.status != 200 && response.status != 404)
    throw Failure{response.status == 401 ? kUnreachable : kForbidden,
                  fmt::format("the registry answers {} for {}:{}", response.status, repository, tag)};
  co_return response.status == 200;
}

}  // namespace mainstay::cli
