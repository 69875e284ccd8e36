// Building an image without a container: the base's layers stay where they are, one layer is added.
#include <filesystem>

#include "base/encoding.h"
#include "base/files.h"
#include "base/strings.h"
#include "capabilities/pipelines/image_plan.h"
#include "capabilities/pipelines/runner_job.h"
#include "crypto/digest.h"
#include "platform/interfaces/images.h"

namespace mainstay::pipelines {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kManifest = "application/vnd.oci.image.manifest.v1+json";
constexpr std::string_view kLayerType = "application/vnd.oci.image.layer.v1.tar+gzip";
// Listings of base layers, beside buildah's storage in the repository's build cache.
constexpr std::string_view kListings = "/var/lib/containers/mainstay-layers";

// A base image as this registry names it, in the order to look: the platform's own base images go before those of
// docker.io. Other registries are those that the cache knows.
std::vector<std::string> here(const platform::ImageReference& image, const std::string& registry,
                              const std::string& host) {
  if (image.registry == registry || image.registry == host) return {image.repository};
  std::vector<std::string> out;
  if (image.registry == "docker.io" && image.repository.starts_with("library/")) out.push_back(image.repository);
  out.push_back(image.registry + "/" + image.repository);
  return out;
}

std::string layer_type(const std::string& type) {
  if (type.contains("zstd")) return "application/vnd.oci.image.layer.v1.tar+zstd";
  if (type.ends_with("tar")) return "application/vnd.oci.image.layer.v1.tar";
  return std::string(kLayerType);
}

json::object descriptor(std::string_view type, const std::string& digest, std::uint64_t size) {
  return {{"mediaType", type}, {"digest", digest}, {"size", size}};
}

}  // namespace

// GET of a manifest, of this platform's where it is an index; nullopt where the registry has none.
async::Task<std::optional<json::value>> JobRunner::fetch_manifest(std::string repository, std::string reference) {
  for (int hops = 0; hops < 3; ++hops) {
    net::ClientRequest get;
    get.target = fmt::format("/v2/{}/manifests/{}", repository, reference);
    get.headers.set(
        "Accept",
        fmt::format(
            "{}, application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.v2+json, "
            "application/vnd.docker.distribution.manifest.list.v2+json",
            kManifest));
    auto answer = co_await session_->send(std::move(get));
    if (!answer || answer->status != 200) co_return std::nullopt;
    auto parsed = base::parse_json(answer->body, 16);
    if (!parsed || !parsed->is_object()) co_return std::nullopt;
    const auto& manifests = base::get_array(*parsed, "manifests");
    if (manifests.empty()) co_return std::move(*parsed);
    reference.clear();
    for (const json::value& each : manifests)
      if (base::get_string(each, "platform.os") == "linux" &&
          base::get_string(each, "platform.architecture") == "amd64" && reference.empty())
        reference = base::get_string(each, "digest");
    if (reference.empty()) co_return std::nullopt;
  }
  co_return std::nullopt;
}

// What a layer holds, from the cache or read once.
async::Task<std::optional<std::string>> JobRunner::layer_listing(std::string repository, std::string digest) {
  const fs::path kept = fs::path(kListings) / digest.substr(7);
  if (auto text = base::read_file(kept, 64u << 20)) co_return std::move(*text);
  const fs::path blob = places_.temp / ("layer-" + digest.substr(7, 16));
  FILE* file = std::fopen(blob.c_str(), "wb");
  if (file == nullptr) co_return std::nullopt;
  net::ClientRequest get;
  get.target = fmt::format("/v2/{}/blobs/{}", repository, digest);
  auto answer = co_await session_->download(std::move(get), [file](std::string_view bytes) -> base::Result<> {
    if (std::fwrite(bytes.data(), 1, bytes.size(), file) != bytes.size())
      return base::fail(base::ErrorCode::kExhausted, "no room for a layer");
    return {};
  });
  std::fclose(file);
  std::optional<std::string> listing;
  if (answer && answer->status == 200) {
    auto listed = co_await runtime_.blocking([blob] { return BaseTree::list_layer(blob); });
    if (listed) listing = std::move(*listed);
  }
  std::error_code ignored;
  fs::remove(blob, ignored);
  if (listing && base::make_directories(kListings, 0755)) (void)base::write_file(kept, *listing);
  co_return listing;
}

// Stores a blob in the repository, or takes over the one of another repository. False: the registry did not take it.
async::Task<bool> JobRunner::put_blob(std::string repository, std::string digest, std::string content,
                                      std::string from) {
  net::ClientRequest post;
  post.method = "POST";
  if (from.empty()) {
    post.target = fmt::format("/v2/{}/blobs/uploads/?digest={}", repository, digest);
    post.headers.set("Content-Type", "application/octet-stream");
    post.body = std::move(content);
  } else {
    post.target = fmt::format("/v2/{}/blobs/uploads/?mount={}&from={}", repository, digest, from);
  }
  auto answer = co_await session_->send(std::move(post));
  co_return answer && answer->status == 201;
}

async::Task<base::Result<std::optional<std::string>>> JobRunner::build_natively(
    fs::path context, Dockerfile file, std::map<std::string, std::string> build_args, std::string repository,
    std::vector<std::string> tags) {
  const std::optional<std::string> none;
  const auto base_name = native_base(file, build_args);
  const auto base = base_name ? platform::ImageReference::parse(*base_name) : base::fail(base::ErrorCode::kInvalid, "");
  if (!base) co_return none;
  const std::string reference = !base->digest.empty() ? base->digest : base->tag;
  std::optional<json::value> manifest;
  std::string from;
  for (const std::string& name : here(*base, base::get_string(job_, "registry"), session_->host())) {
    from = name;
    manifest = co_await fetch_manifest(name, reference);
    if (manifest) break;
  }
  if (!manifest) co_return none;
  net::ClientRequest get;
  get.target = fmt::format("/v2/{}/blobs/{}", from, base::get_string(*manifest, "config.digest"));
  auto fetched = co_await session_->send(std::move(get));
  auto config = fetched && fetched->status == 200 ? base::parse_json(fetched->body, 32)
                                                  : base::fail(base::ErrorCode::kInvalid, "");
  if (!config || !config->is_object()) co_return none;
  auto plan = plan_image(file, build_args, base::get_object(*config, "config"));
  if (!plan) co_return none;
  const std::string ignore_text = base::read_file(context / ".dockerignore", 1u << 20).value_or("");
  const auto ignore = Ignore::parse(ignore_text);
  if (!ignore) co_return none;

  BaseTree tree;
  json::array layers;
  for (const json::value& layer : base::get_array(*manifest, "layers")) {
    const std::string digest = base::get_string(layer, "digest");
    if (!digest.starts_with("sha256:")) co_return none;
    const auto listing = co_await layer_listing(from, digest);
    if (!listing) co_return none;
    tree.add(*listing);
    if (from != repository && !co_await put_blob(repository, digest, "", from)) co_return none;
    layers.push_back(descriptor(layer_type(base::get_string(layer, "mediaType")), digest,
                                static_cast<std::uint64_t>(base::get_int(layer, "size"))));
  }
  for (const ImageStep& step : plan->steps) print(fmt::format("Dockerfile:{}: {}", step.line, step.text));
  const bool makes_files = std::ranges::any_of(plan->steps, &ImageStep::makes_files);
  std::optional<Layer> layer;
  if (makes_files) {
    layer = co_await runtime_.blocking(
        [plan, context, ignore, tree]() mutable { return make_layer(*plan, context, *ignore, std::move(tree)); });
    if (!layer) co_return none;
  }
  const std::string now = now_text();
  json::value& labels = plan->config["Labels"];
  if (!labels.is_object()) labels = json::object();
  labels.as_object()["org.opencontainers.image.revision"] = base::get_string(job_, "commit");
  config->as_object()["config"] = plan->config;
  config->as_object()["created"] = now;
  config->as_object().erase("container_config");
  json::value* history = base::find(*config, "history");
  if (history != nullptr && history->is_array()) {
    bool told = false;
    for (const ImageStep& step : plan->steps) {
      // The one layer belongs to the first of the steps that made it.
      const bool filled = step.makes_files() && !std::exchange(told, told || step.makes_files());
      json::object entry{{"created", now}, {"created_by", step.text.substr(0, 1000)}};
      if (!filled) entry["empty_layer"] = true;
      history->as_array().push_back(std::move(entry));
    }
  }
  if (layer) {
    json::value* diff_ids = base::find(*config, "rootfs.diff_ids");
    if (diff_ids == nullptr || !diff_ids->is_array()) co_return none;
    diff_ids->as_array().push_back(json::string(layer->diff_id));
    layers.push_back(descriptor(kLayerType, layer->digest, layer->blob.size()));
    if (!co_await put_blob(repository, layer->digest, layer->blob, "")) co_return none;
  }
  const std::string config_text = base::to_json(*config), config_digest = "sha256:" + crypto::sha256_hex(config_text);
  if (!co_await put_blob(repository, config_digest, config_text, "")) co_return none;
  const std::string text = base::to_json(json::object{
      {"schemaVersion", 2},
      {"mediaType", kManifest},
      {"config", descriptor("application/vnd.oci.image.config.v1+json", config_digest, config_text.size())},
      {"layers", std::move(layers)},
      {"annotations", json::object{{"org.opencontainers.image.base.name", *base_name}}}});
  for (const std::string& tag : tags) {
    net::ClientRequest put;
    put.method = "PUT";
    put.target = fmt::format("/v2/{}/manifests/{}", repository, tag);
    put.headers.set("Content-Type", std::string(kManifest));
    put.body = text;
    auto stored = co_await session_->send(std::move(put));
    if (!stored) co_return std::unexpected(stored.error());
    if (stored->status != 201)
      co_return base::fail(base::ErrorCode::kUnavailable,
                           fmt::format("the registry answers {} to {}:{}: {}", stored->status, repository, tag,
                                       stored->body.substr(0, 300)));
  }
  co_return std::optional<std::string>("sha256:" + crypto::sha256_hex(text));
}

}  // namespace mainstay::pipelines
