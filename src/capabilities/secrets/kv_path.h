// What clients of the Vault API send, taken apart and bounded: paths and bodies of the KV engine, version 2. Pure.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace mainstay::secrets {
namespace json = boost::json;

inline constexpr std::size_t kMaxBody = 512 * 1024;   // of a request
inline constexpr std::size_t kMaxValue = 256 * 1024;  // of one version, as JSON
inline constexpr std::size_t kMaxPath = 512;          // bytes, team included
inline constexpr std::size_t kMaxSegments = 16;
inline constexpr std::int64_t kMaxVersions = 100;  // that can be asked for; kept by default: 10
inline constexpr std::int64_t kDefaultVersions = 10;

// "shop/web/db": the team and the rest.
struct KvPath {
  std::string team, path;
  std::string to_string() const { return path.empty() ? team : team + "/" + path; }
  static base::Result<KvPath> entry(std::string_view text);   // names a secret: team and at least one segment
  static base::Result<KvPath> folder(std::string_view text);  // to be listed: a slash at the end does not count
};

struct WriteBody {
  json::object data;
  std::optional<std::int64_t> cas;  // the version that must be the newest; 0: there must be none
};
base::Result<WriteBody> parse_write(std::string_view body);
// {"versions": [1, 2]}: at least one, each at least 1.
base::Result<std::vector<std::int64_t>> parse_versions(std::string_view body);

struct MetadataBody {
  std::optional<std::int64_t> max_versions;  // 0: the default
  std::optional<bool> cas_required;
  std::optional<json::object> custom_metadata;  // texts; null (to be removed) only in patches
};
base::Result<MetadataBody> parse_metadata(std::string_view body);

}  // namespace mainstay::secrets
