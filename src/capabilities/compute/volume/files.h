// Volumes made of files: ConfigMaps, Secrets, downward API, service account tokens, and projections of these.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "capabilities/compute/pod/environment.h"

namespace mainstay::compute {
namespace json = boost::json;

struct VolumeFile {
  std::string path;  // relative, without `..`
  std::string content;
  mode_t mode = 0644;
};

struct TokenWish {
  std::string audience;  // "": the API's
  std::int64_t expiration_seconds = 3600;
  auto operator<=>(const TokenWish&) const = default;
};
using Tokens = std::map<TokenWish, std::string>;

// The tokens a volume wants, to be requested before volume_files().
std::vector<TokenWish> tokens_wanted(const json::value& volume);
// What the default volume's token asks for: an hour and a little, which clients know for "renewed in time".
inline constexpr std::int64_t kTokenLifetime = 3607;
// The volume every pod gets at kTokenDirectory unless it declines: token, ca.crt, namespace.
json::value default_token_volume();
inline constexpr std::string_view kTokenVolume = "mainstay-api-access";
inline constexpr std::string_view kTokenDirectory = "/var/run/secrets/kubernetes.io/serviceaccount";

// What the files of such a volume are; nullopt: it is of another kind. `container` for resourceFieldRef is found by
// name in the pod. Pure. Errors (kNotFound) name the missing object; the pod waits for it.
base::Result<std::optional<std::vector<VolumeFile>>> volume_files(const json::value& volume,
                                                                  const EnvironmentSources& sources,
                                                                  const Tokens& tokens,
                                                                  std::string_view ca_certificate);

// Shows `files` below `directory`, changing all at once: they lie in a directory behind the link `..data`, which is
// swapped by rename (what programs that watch Kubernetes volumes expect). Owner `owner`:`owner` where not 0. Blocking.
base::Result<> write_files(const std::filesystem::path& directory, const std::vector<VolumeFile>& files, uid_t owner,
                           std::optional<gid_t> group);

}  // namespace mainstay::compute
