// An artifact store in memory for the tests of this folder.
#pragma once
#include <map>
#include <string>

#include "crypto/digest.h"
#include "platform/interfaces/images.h"

namespace mainstay::provenance {

class MemoryImages final : public platform::ImageStore {
 public:
  static std::string digest_of(std::string_view bytes) { return "sha256:" + crypto::sha256_hex(bytes); }
  // An image of these layer files; gives its digest.
  std::string add(const std::string& repository, const std::string& tag, std::vector<Layer> layers) {
    const auto digest = digest_of(repository + tag);
    images[repository + "@" + digest] =
        Image{repository, digest, base::json::object{{"schemaVersion", 2}}, nullptr, std::move(layers)};
    tags[repository + ":" + tag] = digest;
    return digest;
  }

  async::Task<base::Result<Image>> image(platform::ImageReference r) override {
    const auto at = images.find(r.repository + "@" + r.digest);
    if (at == images.end()) co_return base::fail(base::ErrorCode::kNotFound, "no image " + r.to_string());
    co_return at->second;
  }
  async::Task<base::Result<std::string>> resolve(platform::ImageReference r) override {
    const auto at = tags.find(r.repository + ":" + r.tag);
    if (at == tags.end()) co_return base::fail(base::ErrorCode::kNotFound, "no image " + r.to_string());
    co_return at->second;
  }
  async::Task<base::Result<base::json::array>> referrers(std::string repository, std::string digest,
                                                         std::string type) override {
    ++asked;
    base::json::array out;
    for (const auto& [name, item] : attached) {
      if (item.subject == repository + "@" + digest && item.type == type) {
        base::json::object annotations;
        for (const auto& [key, value] : item.annotations) annotations[key] = value;
        out.push_back(base::json::object{{"digest", name}, {"annotations", std::move(annotations)}});
      }
    }
    co_return out;
  }
  async::Task<base::Result<base::json::value>> manifest(std::string repository, std::string digest) override {
    if (const auto at = images.find(repository + "@" + digest); at != images.end()) co_return at->second.manifest;
    const auto at = attached.find(digest);
    if (at == attached.end()) co_return base::fail(base::ErrorCode::kNotFound, "no manifest " + digest);
    co_return base::json::object{
        {"layers", base::json::array{base::json::object{{"digest", digest_of(at->second.content)}}}}};
  }
  async::Task<base::Result<std::string>> blob(std::string digest, std::size_t max_bytes) override {
    for (const auto& [name, item] : attached) {
      if (digest_of(item.content) == digest && item.content.size() <= max_bytes) co_return item.content;
    }
    co_return base::fail(base::ErrorCode::kNotFound, "no blob " + digest);
  }
  async::Task<base::Result<std::string>> attach(std::string repository, std::string subject, std::string type,
                                                std::string, std::string content,
                                                std::vector<std::pair<std::string, std::string>> annotations) override {
    const auto digest = digest_of(repository + type + content);
    attached[digest] = {repository + "@" + subject, type, content, std::move(annotations)};
    co_return digest;
  }

  struct Attached {
    std::string subject, type, content;
    std::vector<std::pair<std::string, std::string>> annotations;
  };
  std::map<std::string, Image> images;
  std::map<std::string, std::string> tags;
  std::map<std::string, Attached> attached;
  int asked = 0;
};

}  // namespace mainstay::provenance
