// Images that need no container to be built: FROM, COPY and metadata. What such a Dockerfile asks for, as data;
// anything more is left to buildah. Pure but for reading the build context.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "capabilities/pipelines/dockerfile.h"

namespace mainstay::pipelines {
namespace json = boost::json;

struct ImageStep {
  std::size_t line = 0;
  std::string text;  // for the image's history
  // COPY: sources in the context, and where to.
  std::vector<std::string> sources;
  std::string destination;  // absolute; ends with / where it can only be a folder
  std::int64_t uid = 0, gid = 0, mode = -1;
  // WORKDIR: a folder to be there.
  std::string folder;
  bool makes_files() const { return !sources.empty() || !folder.empty(); }
};

struct ImagePlan {
  std::vector<ImageStep> steps;
  json::object config;  // the image's `config`, the base's changed
};

// The image a Dockerfile begins with; nullopt where it is not one for us (several stages, a platform, scratch).
std::optional<std::string> native_base(const Dockerfile& file, const std::map<std::string, std::string>& build_args);
// nullopt: something in it needs buildah. `base_config` is the `config` of the base image's configuration.
std::optional<ImagePlan> plan_image(const Dockerfile& file, const std::map<std::string, std::string>& build_args,
                                    const json::object& base_config);

// Folders and links of a base image, so that what is copied goes where a running system would put it.
class BaseTree {
 public:
  struct Entry {
    bool link = false;
    std::int64_t mode = 0755, uid = 0, gid = 0;
    std::string target;  // of a link
  };
  // Lists the folders, links and whiteouts of one layer (any compression). Blocking.
  static base::Result<std::string> list_layer(const std::filesystem::path& blob);
  // Puts a listing over what is known, lowest layer first.
  void add(std::string_view listing);
  bool is_folder(const std::string& path) const;  // absolute, resolved
  const Entry* find(const std::string& path) const;
  void make_folder(const std::string& path) { entries_[path] = {}; }
  // The path with every link in it followed, the last part too where `last`; nullopt where they go in circles.
  std::optional<std::string> resolve(std::string_view path, bool last) const;

 private:
  std::map<std::string, Entry> entries_;
};

// The names a .dockerignore leaves out; nullopt where it uses what we do not read.
class Ignore {
 public:
  static std::optional<Ignore> parse(std::string_view text);
  bool ignores(const std::string& path) const;

 private:
  std::vector<std::pair<std::string, bool>> patterns_;  // true: taken back in
};

struct Layer {
  std::string blob;  // gzip
  std::string digest, diff_id;
};
inline constexpr std::uint64_t kMaxNativeBytes = 128u << 20;
// The files of all steps as one layer; the same content gives the same bytes. nullopt: not for us (a missing source, a
// special file, too much). Blocking.
std::optional<Layer> make_layer(const ImagePlan& plan, const std::filesystem::path& context, const Ignore& ignore,
                                BaseTree tree);

}  // namespace mainstay::pipelines
