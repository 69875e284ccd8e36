// A registry on real files for the tests, driven as the API server drives it, without sockets.
#pragma once
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <set>
#include <string>

#include "base/files.h"
#include "base/ids.h"
#include "capabilities/artifacts/collector.h"
#include "capabilities/artifacts/image_store.h"
#include "capabilities/artifacts/routes.h"
#include "crypto/digest.h"

namespace mainstay::artifacts {

inline std::string digest_of(std::string_view bytes) { return "sha256:" + crypto::sha256_hex(bytes); }

struct Answer {
  int status = 0;
  net::Headers headers;
  std::string body;
  base::json::value json() const { return base::parse_json(body).value_or(nullptr); }
  std::string error() const {
    const auto value = json();
    const auto& errors = base::get_array(value, "errors");
    return errors.empty() ? "" : base::get_string(errors.front(), "code");
  }
  std::string header(std::string_view name) const { return std::string(headers.get(name)); }
};

class World {
 public:
  World(async::Runtime& runtime, std::filesystem::path dir, base::FakeClock& clock)
      : runtime_(runtime), dir_(std::move(dir)), clock_(clock) {
    config_.data_dir = dir_;
  }

  // Opens everything from disk, as a start of the program does.
  void open() {
    tasks_ = std::make_unique<async::TaskGroup>(runtime_.executor(), "test");
    blobs_ = store::open_file_blobs(runtime_, dir_).value();
    index_ = Index::open(runtime_, *tasks_, dir_ / "artifacts/index.db").value();
    const auto exists = [this](std::string ns) { return known(this, std::move(ns)); };
    registry_ = std::make_shared<Registry>(Registry::Dependencies{runtime_, clock_, blobs_, index_, exists, dir_});
    uploads_ = std::make_shared<Uploads>(registry_, *tasks_);
    upstreams_ = std::make_shared<Upstreams>(registry_, uploads_, *tasks_, [this] { return upstream_urls; });
    collector_ = std::make_shared<Collector>(registry_, uploads_, exists);
    endpoints_ = std::make_shared<Endpoints>(registry_, uploads_, upstreams_,
                                             [this](const api::UserInfo& user, const api::Attributes& what) {
                                               return readable.contains(user.name + " " + what.ns);
                                             });
    images_ = std::make_shared<LocalImageStore>(registry_, upstreams_, config_);
  }
  // Ends it without any of the courtesies of an orderly stop but the coroutines' end.
  async::Task<> close() {
    tasks_->cancel();
    co_await tasks_->join();
    images_.reset(), endpoints_.reset(), collector_.reset(), upstreams_.reset(), uploads_.reset(), registry_.reset();
    index_.reset(), blobs_.reset();
  }

  async::Task<Answer> call(std::string method, std::string target, std::string body = "",
                           std::vector<std::pair<std::string, std::string>> headers = {}) {
    return send(std::move(method), std::move(target), net::body_from_string(std::move(body)), std::move(headers));
  }
  async::Task<Answer> send(std::string method, std::string target, std::shared_ptr<net::BodyReader> body,
                           std::vector<std::pair<std::string, std::string>> headers) {
    auto context = std::make_shared<api::RequestContext>();
    context->user.name = user;
    context->http = std::make_shared<net::Request>();
    auto& request = *context->http;
    request.method = std::move(method);
    const auto mark = target.find('?');
    request.path = target.substr(0, mark);
    request.raw_target = target;
    if (mark != std::string::npos) request.query = net::Query::parse(std::string_view(target).substr(mark + 1)).value();
    for (auto& [name, value] : headers) request.headers.add(name, value);
    request.body = std::move(body);
    context->params["path"] = request.path.substr(request.path.starts_with("/v2/") ? 4 : 3);
    auto response = co_await Endpoints::serve(endpoints_, context);
    Answer out{response.status, response.headers, {}};
    if (auto* text = std::get_if<std::string>(&response.body)) out.body = *text;
    if (auto* shared = std::get_if<std::shared_ptr<const std::string>>(&response.body)) out.body = **shared;
    if (auto* file = std::get_if<net::FileBody>(&response.body)) {
      out.body = base::read_file(file->path, 1u << 30).value().substr(file->offset, file->length);
    }
    co_return out;
  }

  async::Task<std::string> push_blob(std::string repository, std::string content) {
    const auto digest = digest_of(content);
    const auto answer = co_await call("POST", "/v2/" + repository + "/blobs/uploads/?digest=" + digest, content);
    EXPECT_EQ(answer.status, 201) << answer.body;
    co_return digest;
  }
  // An image of one layer; gives the manifest's digest.
  async::Task<std::string> push_image(std::string repository, std::string tag, std::string layer) {
    const auto config = co_await push_blob(repository, R"({"architecture":"amd64","os":"linux"})");
    const auto blob = co_await push_blob(repository, layer);
    const auto manifest = image_manifest(config, 37, blob, layer.size());
    const auto answer = co_await call("PUT", "/v2/" + repository + "/manifests/" + tag, manifest,
                                      {{"Content-Type", std::string(media_type::kOciManifest)}});
    EXPECT_EQ(answer.status, 201) << answer.body;
    co_return digest_of(manifest);
  }
  static std::string image_manifest(const std::string& config, std::size_t config_size, const std::string& layer,
                                    std::size_t size, const std::string& more = "") {
    return fmt::format(
        R"({{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}},)"
        R"("layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{}","size":{}}}]{}}})",
        media_type::kOciManifest, config, config_size, layer, size, more);
  }

  std::string user = "ann";
  std::set<std::string> namespaces = {"demo", "shop", "library"};
  std::set<std::string> readable = {"ann demo"};  // "<user> <namespace>": where a mount may come from
  std::map<std::string, std::string> upstream_urls;
  base::FakeClock& clock() { return clock_; }
  base::Config& config() { return config_; }
  Index& index() { return *index_; }
  Registry& registry() { return *registry_; }
  Uploads& uploads() { return *uploads_; }
  Collector& collector() { return *collector_; }
  platform::ImageStore& images() { return *images_; }
  store::BlobStore& blobs() { return *blobs_; }

 private:
  static async::Task<bool> known(World* self, std::string ns) { co_return self->namespaces.contains(ns); }

  async::Runtime& runtime_;
  std::filesystem::path dir_;
  base::FakeClock& clock_;
  base::Config config_;
  std::unique_ptr<async::TaskGroup> tasks_;
  std::shared_ptr<store::BlobStore> blobs_;
  std::shared_ptr<Index> index_;
  std::shared_ptr<Registry> registry_;
  std::shared_ptr<Uploads> uploads_;
  std::shared_ptr<Upstreams> upstreams_;
  std::shared_ptr<Collector> collector_;
  std::shared_ptr<Endpoints> endpoints_;
  std::shared_ptr<LocalImageStore> images_;
};

class RegistryTest : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(dir_); }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  // Runs `body(world)`, a function that gives a Task, on the loop. It must not capture by reference what it outlives.
  template <class Body>
  void run(Body body) {
    World world(runtime_, dir_, clock_);
    const auto main = [&]() -> async::Task<> {
      world.open();
      co_await body(world);
      co_await world.close();
    };
    runtime_.run(main());
  }

  std::filesystem::path dir_ = std::filesystem::temp_directory_path() / ("mainstay-artifacts-" + base::random_hex(6));
  async::Runtime runtime_{4};
  base::FakeClock clock_{std::chrono::system_clock::now()};
};

}  // namespace mainstay::artifacts
