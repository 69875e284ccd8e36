// The registry's rules, without HTTP: what may be pushed, deleted, mounted, and what refers to what.
// Everything abandons a request with RegistryError. On the loop; owned by capability.cc, shared by its routes.
#pragma once
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "capabilities/artifacts/index.h"
#include "capabilities/artifacts/manifest.h"
#include "capabilities/artifacts/protocol.h"
#include "store/blobs.h"

namespace mainstay::artifacts {

using Content = std::shared_ptr<const std::string>;

// The most recently used manifests, bounded by their bytes.
class ContentCache {
 public:
  explicit ContentCache(std::size_t max_bytes) : max_bytes_(max_bytes) {}
  Content get(std::string_view digest);
  void put(const std::string& digest, Content content);
  void erase(std::string_view digest);
  std::size_t bytes() const { return bytes_; }

 private:
  using Order = std::list<std::pair<std::string, Content>>;
  std::size_t max_bytes_, bytes_ = 0;
  Order order_;  // the newest first
  StringMap<Order::iterator> at_;
};

class Registry {
 public:
  struct Dependencies {
    async::Runtime& runtime;
    base::Clock& clock;
    std::shared_ptr<store::BlobStore> blobs;
    std::shared_ptr<Index> index;
    // Whether a namespace (the first segment of a repository's name) is there.
    std::function<async::Task<bool>(std::string ns)> namespace_exists;
    std::filesystem::path data_dir;  // whose disk must keep room
  };
  explicit Registry(Dependencies dependencies) : d_(std::move(dependencies)) {}

  Index& index() { return *d_.index; }
  store::BlobStore& blobs() { return *d_.blobs; }
  async::Runtime& runtime() { return d_.runtime; }
  base::Clock& clock() { return d_.clock; }
  std::int64_t now_seconds() const;

  // The manifest's bytes, from memory where they were used lately.
  async::Task<Content> content(std::string digest);
  Content content_in_memory(std::string_view digest) { return contents_.get(digest); }

  struct Pushed {
    std::string digest, subject;
  };
  // `trusted`: of the pull-through cache, whose blobs come on demand and whose repositories belong to no namespace.
  async::Task<Pushed> put_manifest(std::string repository, std::string reference, std::string content_type,
                                   std::string bytes, bool trusted = false);
  async::Task<> delete_manifest(std::string repository, std::string digest);
  async::Task<> delete_tag(std::string repository, std::string tag);
  async::Task<> delete_blob(std::string repository, std::string digest);
  // Links a blob of another repository. False: it is not there.
  async::Task<bool> mount(std::string repository, std::string digest, std::string from);
  // Stores small content and links it.
  async::Task<Descriptor> put_blob(std::string repository, std::string media_type, std::string content);
  // Refuses more bytes while the disk is nearly full: the rest of the platform must still be able to write.
  void check_room() const;
  // Refuses names that cannot be pushed to: without a namespace, of the cache, of a namespace that is not there.
  async::Task<> check_writable(std::string repository);

  // Descriptors of what refers to a digest, in digest order, with artifactType and annotations.
  base::json::array referrers(std::string_view repository, std::string_view subject,
                              std::string_view artifact_type) const;

  // Removes the file of a digest that nothing uses any more. `removal` keeps others from using it meanwhile.
  async::Task<> remove_unused(std::unique_ptr<Index::Removal> removal, std::string digest);

 private:
  void check_references(std::string_view repository, const Manifest& manifest) const;

  Dependencies d_;
  ContentCache contents_{32u << 20};
};

}  // namespace mainstay::artifacts
