#include "capabilities/compute/volume/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>

#include "base/encoding.h"
#include "base/files.h"
#include "base/ids.h"
#include "base/strings.h"
#include "capabilities/compute/fs.h"
#include "capabilities/compute/pod/resources.h"

namespace mainstay::compute {
namespace fs = std::filesystem;
using base::ErrorCode;
using base::fail;
namespace {

constexpr std::string_view kRootCa = "kube-root-ca.crt";
using Files = std::vector<VolumeFile>;

bool safe_path(std::string_view path) {
  if (path.empty() || path.size() > 4000 || path.starts_with('/')) return false;
  for (std::string_view part : base::split(path, '/')) {
    if (part.empty() || part == "." || part == ".." || part.size() > 255) return false;
  }
  return !path.starts_with("..");
}

mode_t mode_of(const json::value& source, std::string_view key, mode_t fallback) {
  const json::value* mode = base::find(source, {key});
  return mode != nullptr && mode->is_int64() ? static_cast<mode_t>(mode->as_int64()) & 0777 : fallback;
}

base::Result<> add(Files& out, std::string path, std::string content, mode_t mode) {
  if (!safe_path(path))
    return fail(ErrorCode::kInvalid, fmt::format("volume path \"{}\" must be relative, without `..`", path));
  out.push_back({std::move(path), std::move(content), mode});
  return {};
}

using Value = std::optional<std::string> (*)(const json::value&, std::string_view);

base::Result<> add_object(Files& out, std::string_view kind, std::string_view name, const json::value& source,
                          const client::ObjectPtr& object, Value value, mode_t mode) {
  const bool optional = base::get_bool(source, "optional");
  if (!object) {
    if (optional) return {};
    return fail(ErrorCode::kNotFound,
                fmt::format("{} \"{}\" not found; create it, or mark the volume optional", kind, name));
  }
  const json::array& items = base::get_array(source, "items");
  for (const json::value& item : items) {
    const std::string key = base::get_string(item, "key");
    auto text = value(*object, key);
    if (!text && optional) continue;
    if (!text) return fail(ErrorCode::kNotFound, fmt::format("{} \"{}\" has no key \"{}\"", kind, name, key));
    MAINSTAY_TRY_VOID(add(out, base::get_string(item, "path"), *std::move(text), mode_of(item, "mode", mode)));
  }
  if (!items.empty()) return {};
  for (const char* part : {"data", "binaryData"}) {
    for (const auto& member : base::get_object(*object, part)) {
      if (auto text = value(*object, member.key()))
        MAINSTAY_TRY_VOID(add(out, std::string(member.key()), *std::move(text), mode));
    }
  }
  return {};
}

base::Result<> add_downward(Files& out, const json::value& source, const EnvironmentSources& sources, mode_t mode) {
  for (const json::value& item : base::get_array(source, "items")) {
    std::optional<std::string> text;
    if (const json::value* field = base::find(item, "fieldRef")) {
      text = field_value(base::get_string(*field, "fieldPath"), sources);
    } else if (const json::value* resource = base::find(item, "resourceFieldRef")) {
      for (const json::value& container : base::get_array(*sources.pod, "spec.containers")) {
        if (base::get_string(container, "name") != base::get_string(*resource, "containerName")) continue;
        text = resource_field(container, base::get_string(*resource, "resource"),
                              base::get_string(*resource, "divisor"), sources.node_cpu_milli, sources.node_memory);
      }
    }
    if (!text)
      return fail(ErrorCode::kInvalid,
                  fmt::format("downward API item {} names no known field", base::get_string(item, "path")));
    MAINSTAY_TRY_VOID(add(out, base::get_string(item, "path"), *std::move(text), mode_of(item, "mode", mode)));
  }
  return {};
}

TokenWish wish_of(const json::value& source) {
  return {base::get_string(source, "audience"),
          std::max<std::int64_t>(base::get_int(source, "expirationSeconds", 3600), 600)};
}

base::Result<> add_config_map(Files& out, const json::value& source, std::string_view name,
                              const EnvironmentSources& sources, std::string_view ca, mode_t mode) {
  client::ObjectPtr object = sources.config_map(name);
  // Where nobody made the ConfigMap that Kubernetes puts into every namespace, its content is the platform's CA.
  if (!object && name == kRootCa) {
    object = std::make_shared<const json::value>(json::object{{"data", json::object{{"ca.crt", ca}}}});
  }
  return add_object(out, "configmap", name, source, object, config_map_value, mode);
}

base::Result<> add_projected(Files& out, const json::value& projected, const EnvironmentSources& sources,
                             const Tokens& tokens, std::string_view ca) {
  const mode_t mode = mode_of(projected, "defaultMode", 0644);
  for (const json::value& part : base::get_array(projected, "sources")) {
    if (const json::value* source = base::find(part, "configMap")) {
      MAINSTAY_TRY_VOID(add_config_map(out, *source, base::get_string(*source, "name"), sources, ca, mode));
    } else if (const json::value* source = base::find(part, "secret")) {
      const std::string name = base::get_string(*source, "name");
      MAINSTAY_TRY_VOID(add_object(out, "secret", name, *source, sources.secret(name), secret_value, mode));
    } else if (const json::value* source = base::find(part, "downwardAPI")) {
      MAINSTAY_TRY_VOID(add_downward(out, *source, sources, mode));
    } else if (const json::value* source = base::find(part, "serviceAccountToken")) {
      const auto token = tokens.find(wish_of(*source));
      if (token == tokens.end())
        return fail(ErrorCode::kUnavailable, "no service account token was issued for the pod");
      MAINSTAY_TRY_VOID(add(out, base::get_string(*source, "path", "token"), token->second, mode));
    } else {
      return fail(ErrorCode::kInvalid,
                  "projected volume: a source is of a kind that is not supported here; use configMap, secret, "
                  "downwardAPI or serviceAccountToken");
    }
  }
  return {};
}

// Whether exactly these files are shown there already.
bool same_files(const fs::path& directory, const Files& files) {
  std::error_code error;
  std::size_t there = 0;
  for (fs::recursive_directory_iterator it(directory / "..data/", error), end; !error && it != end; it.increment(error))
    there += it->is_regular_file() ? 1 : 0;
  if (error || there != files.size()) return false;
  for (const VolumeFile& file : files) {
    if (slurp(directory / "..data" / file.path, file.content.size() + 1) != file.content) return false;
  }
  return true;
}

base::Result<> write_one(const fs::path& path, const VolumeFile& file, uid_t owner, std::optional<gid_t> group) {
  MAINSTAY_TRY_VOID(base::make_directories(path.parent_path(), 0755));
  Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.ok()) return errno_error("volume file " + file.path);
  std::string_view left = file.content;
  while (!left.empty()) {
    const ssize_t n = ::write(fd.get(), left.data(), left.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error("volume file " + file.path);
    left.remove_prefix(static_cast<std::size_t>(n));
  }
  if (owner != 0 || group) {
    [[maybe_unused]] const int ignored = ::fchown(fd.get(), owner, group.value_or(owner));
  }
  ::fchmod(fd.get(), file.mode | (group ? (file.mode & 0400) >> 3 : 0));
  return {};
}

}  // namespace

std::vector<TokenWish> tokens_wanted(const json::value& volume) {
  std::vector<TokenWish> out;
  for (const json::value& part : base::get_array(volume, "projected.sources")) {
    if (const json::value* source = base::find(part, "serviceAccountToken")) out.push_back(wish_of(*source));
  }
  return out;
}

json::value default_token_volume() {
  return json::object{
      {"name", kTokenVolume},
      {"projected",
       json::object{
           {"sources",
            json::array{
                json::object{
                    {"serviceAccountToken", json::object{{"path", "token"}, {"expirationSeconds", kTokenLifetime}}}},
                json::object{{"configMap", json::object{{"name", kRootCa}}}},
                json::object{{"downwardAPI",
                              json::object{{"items", json::array{json::object{
                                                         {"path", "namespace"},
                                                         {"fieldRef",
                                                          json::object{{"fieldPath", "metadata.namespace"}}}}}}}}}}}}}};
}

base::Result<std::optional<std::vector<VolumeFile>>> volume_files(const json::value& volume,
                                                                  const EnvironmentSources& sources,
                                                                  const Tokens& tokens, std::string_view ca) {
  Files out;
  if (const json::value* source = base::find(volume, "configMap")) {
    MAINSTAY_TRY_VOID(add_config_map(out, *source, base::get_string(*source, "name"), sources, ca,
                                     mode_of(*source, "defaultMode", 0644)));
  } else if (const json::value* source = base::find(volume, "secret")) {
    const std::string name = base::get_string(*source, "secretName");
    MAINSTAY_TRY_VOID(add_object(out, "secret", name, *source, sources.secret(name), secret_value,
                                 mode_of(*source, "defaultMode", 0644)));
  } else if (const json::value* source = base::find(volume, "downwardAPI")) {
    MAINSTAY_TRY_VOID(add_downward(out, *source, sources, mode_of(*source, "defaultMode", 0644)));
  } else if (const json::value* source = base::find(volume, "projected")) {
    MAINSTAY_TRY_VOID(add_projected(out, *source, sources, tokens, ca));
  } else {
    return std::nullopt;
  }
  return out;
}

base::Result<> write_files(const fs::path& directory, const std::vector<VolumeFile>& files, uid_t owner,
                           std::optional<gid_t> group) {
  MAINSTAY_TRY_VOID(base::make_directories(directory, 0755));
  if (same_files(directory, files)) return {};
  const std::string generation = "..data-" + base::random_hex(4);
  const fs::path fresh = directory / generation;
  MAINSTAY_TRY_VOID(base::make_directories(fresh, 0755));
  std::set<std::string> tops;
  for (const VolumeFile& file : files) {
    MAINSTAY_TRY_VOID(write_one(fresh / file.path, file, owner, group));
    tops.insert(file.path.substr(0, file.path.find('/')));
  }
  std::error_code ignored;
  const std::string before = fs::read_symlink(directory / "..data", ignored);
  const fs::path swap = directory / "..data_tmp";
  ::unlink(swap.c_str());
  if (::symlink(generation.c_str(), swap.c_str()) != 0 || ::rename(swap.c_str(), (directory / "..data").c_str()) != 0)
    return errno_error("volume " + directory.filename().string());
  for (const std::string& top : tops) {
    if (::symlink(("..data/" + top).c_str(), (directory / top).c_str()) != 0 && errno != EEXIST)
      return errno_error("volume file " + top);
  }
  for (const auto& entry : fs::directory_iterator(directory, ignored)) {
    const std::string name = entry.path().filename();
    const bool stale_link = !name.starts_with("..") && !tops.contains(name);
    if (stale_link || name == before) fs::remove_all(entry.path(), ignored);
  }
  return {};
}

}  // namespace mainstay::compute
