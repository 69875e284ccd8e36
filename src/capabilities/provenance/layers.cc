#include "capabilities/provenance/layers.h"

#include <archive.h>
#include <archive_entry.h>

#include <tuple>

#include "base/strings.h"

namespace mainstay::provenance {

using base::ErrorCode;
using base::fail;
namespace json = base::json;

namespace {

constexpr std::size_t kReadBlock = 256 * 1024;
constexpr std::size_t kMaxDatabase = 64u << 20, kMaxSmallFile = 1u << 20;
constexpr std::string_view kWhiteout = ".wh.", kOpaque = ".wh..wh..opq";
constexpr int kFactsVersion = 2;
// Programs that carry what they are made of are larger than the one and rarely larger than the other.
constexpr la_int64_t kMinProgram = 200 * 1024, kMaxProgram = 128 << 20;

using Parser = std::vector<Package> (*)(std::string_view);

struct Interest {
  Parser parse = nullptr;
  bool os_release = false;
  std::size_t max_bytes = 0;
};

bool ends_with_folder(std::string_view path, std::string_view suffix, std::string_view file) {
  if (!path.ends_with(file)) return false;
  path.remove_suffix(file.size());
  return path.ends_with(suffix);
}

// node_modules/<name>/package.json or node_modules/@scope/<name>/package.json: an installed package, not a file of one.
bool is_npm_manifest(std::string_view path) {
  if (!path.ends_with("/package.json")) return false;
  path.remove_suffix(13);
  const auto at = path.rfind("node_modules/");
  if (at == std::string_view::npos || (at > 0 && path[at - 1] != '/')) return false;
  const auto name = path.substr(at + 13);
  const auto slashes = std::ranges::count(name, '/');
  return !name.empty() && slashes == (name.starts_with('@') ? 1 : 0);
}

Interest interest(std::string_view path) {
  if (path == "var/lib/dpkg/status") return {parse_dpkg_status, false, kMaxDatabase};
  if (path.starts_with("var/lib/dpkg/status.d/") && !path.ends_with(".md5sums"))
    return {parse_dpkg_status, false, kMaxSmallFile};
  if (path == "lib/apk/db/installed" || path == "usr/lib/apk/db/installed")
    return {parse_apk_installed, false, kMaxDatabase};
  if (path == "etc/os-release" || path == "usr/lib/os-release") return {nullptr, true, kMaxSmallFile};
  if (is_npm_manifest(path)) return {parse_npm_package, false, kMaxSmallFile};
  if (path == "package-lock.json" || path.ends_with("/package-lock.json") ||
      path.ends_with("node_modules/.package-lock.json"))
    return {parse_npm_lock, false, kMaxDatabase};
  if (path == "Cargo.lock" || path.ends_with("/Cargo.lock")) return {parse_cargo_lock, false, kMaxDatabase};
  // An .egg-info is a folder, or as distutils makes it, that one file.
  if (ends_with_folder(path, ".dist-info", "/METADATA") || ends_with_folder(path, ".egg-info", "/PKG-INFO") ||
      path.ends_with(".egg-info")) {
    return {parse_python_metadata, false, kMaxSmallFile};
  }
  return {};
}

// Without leading "./" and "/"; nullopt where it climbs out of the root.
std::optional<std::string> clean_path(const char* raw) {
  if (raw == nullptr) return std::nullopt;
  std::string out;
  for (auto part : base::split(raw, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") return std::nullopt;
    if (!out.empty()) out += '/';
    out += part;
  }
  return out;
}

struct ArchiveCloser {
  void operator()(archive* a) const { archive_read_free(a); }
};
using ArchivePtr = std::unique_ptr<archive, ArchiveCloser>;

class Scanner {
 public:
  Scanner(const std::filesystem::path& blob, const ScanLimits& limits)
      : blob_(blob), limits_(limits), deadline_(std::chrono::steady_clock::now() + limits.time) {}

  base::Result<LayerFacts> run() {
    archive_.reset(archive_read_new());
    archive_read_support_filter_gzip(archive_.get());
    archive_read_support_filter_zstd(archive_.get());
    archive_read_support_format_tar(archive_.get());
    archive_read_support_format_empty(archive_.get());
    if (archive_read_open_filename(archive_.get(), blob_.c_str(), kReadBlock) != ARCHIVE_OK) return damaged();
    archive_entry* entry = nullptr;
    while (true) {
      const int status = archive_read_next_header(archive_.get(), &entry);
      if (status == ARCHIVE_EOF) break;
      if (status < ARCHIVE_WARN) return damaged();
      MAINSTAY_TRY_VOID(within_limits(entry));
      MAINSTAY_TRY_VOID(look_at(entry));
    }
    return std::move(facts_);
  }

 private:
  std::unexpected<base::Error> damaged() const {
    const char* why = archive_error_string(archive_.get());
    return fail(ErrorCode::kInvalid,
                fmt::format("a layer cannot be read as a tar archive: {}", why == nullptr ? "unknown reason" : why));
  }

  base::Result<> within_limits(archive_entry* entry) {
    bytes_ += static_cast<std::uint64_t>(std::max<la_int64_t>(0, archive_entry_size(entry)));
    if (++entries_ > limits_.max_entries)
      return fail(ErrorCode::kTooLarge, fmt::format("a layer has more than {} files", limits_.max_entries));
    if (bytes_ > limits_.max_bytes)
      return fail(ErrorCode::kTooLarge, fmt::format("a layer unpacks to more than {} bytes", limits_.max_bytes));
    if (packages_ > limits_.max_packages)
      return fail(ErrorCode::kTooLarge, fmt::format("a layer has more than {} packages", limits_.max_packages));
    if (facts_.whiteouts.size() > limits_.max_whiteouts) {
      return fail(ErrorCode::kTooLarge, fmt::format("a layer removes more than {} files", limits_.max_whiteouts));
    }
    if (entries_ % 256 == 0 && std::chrono::steady_clock::now() > deadline_) {
      return fail(ErrorCode::kTimeout, fmt::format("a layer took longer than {} s to read", limits_.time.count()));
    }
    return {};
  }

  base::Result<> look_at(archive_entry* entry) {
    const auto path = clean_path(archive_entry_pathname(entry));
    if (!path || path->empty()) return {};
    const auto slash = path->rfind('/');
    const std::string folder = slash == std::string::npos ? "" : path->substr(0, slash);
    const std::string name = slash == std::string::npos ? *path : path->substr(slash + 1);
    if (name == kOpaque) {
      facts_.opaque.insert(folder);
    } else if (name.starts_with(kWhiteout)) {
      facts_.whiteouts.insert((folder.empty() ? "" : folder + "/") + name.substr(kWhiteout.size()));
    } else if (archive_entry_filetype(entry) == AE_IFREG && archive_entry_hardlink(entry) == nullptr) {
      return read(*path, interest_in(*path, entry));
    }
    return {};
  }

  static Interest interest_in(const std::string& path, archive_entry* entry) {
    const auto wanted = interest(path);
    if (wanted.max_bytes > 0) return wanted;
    const auto size = archive_entry_size(entry);
    if ((archive_entry_perm(entry) & 0111) == 0 || size < kMinProgram || size > kMaxProgram) return {};
    return {parse_executable, false, static_cast<std::size_t>(kMaxProgram)};
  }

  base::Result<> read(const std::string& path, Interest wanted) {
    if (wanted.max_bytes == 0) return {};
    std::string content;
    char buffer[16 * 1024];
    while (true) {
      const auto n = archive_read_data(archive_.get(), buffer, sizeof buffer);
      if (n < 0) return damaged();
      if (n == 0) break;
      content.append(buffer, static_cast<std::size_t>(n));
      if (wanted.parse == parse_executable && !content.starts_with("\x7f"
                                                                   "ELF"))
        return {};
      if (content.size() > wanted.max_bytes) {  // not what its name says: nothing is known of it
        facts_.files[path].clear();
        return {};
      }
    }
    if (wanted.os_release) {
      facts_.os_release[path] = content;
      return {};
    }
    auto packages = wanted.parse(content);
    if (wanted.parse == parse_executable && packages.empty()) return {};
    packages_ += packages.size();
    facts_.files[path] = std::move(packages);
    return {};
  }

  const std::filesystem::path& blob_;
  ScanLimits limits_;
  std::chrono::steady_clock::time_point deadline_;
  ArchivePtr archive_;
  LayerFacts facts_;
  std::uint64_t entries_ = 0, bytes_ = 0, packages_ = 0;
};

// Removes what is below the folder ("" is everything).
template <class Map>
void erase_below(Map& map, const std::string& folder) {
  if (folder.empty()) {
    map.clear();
    return;
  }
  const std::string prefix = folder + "/";
  auto at = map.lower_bound(prefix);
  while (at != map.end() && at->first.starts_with(prefix)) at = map.erase(at);
}

template <class Map>
void lay_over(Map& below, const Map& above, const LayerFacts& layer) {
  for (const auto& folder : layer.opaque) erase_below(below, folder);
  for (const auto& path : layer.whiteouts) {
    below.erase(path);
    erase_below(below, path);
  }
  for (const auto& [path, value] : above) below[path] = value;
}

}  // namespace

base::Result<LayerFacts> scan_layer(const std::filesystem::path& blob, const ScanLimits& limits) {
  return Scanner(blob, limits).run();
}

ImagePackages merge_layers(const std::vector<std::shared_ptr<const LayerFacts>>& layers) {
  std::map<std::string, std::vector<Package>> files;
  std::map<std::string, std::string> os_release;
  for (const auto& layer : layers) {
    lay_over(files, layer->files, *layer);
    lay_over(os_release, layer->os_release, *layer);
  }
  ImagePackages out;
  for (auto& [path, packages] : files) {
    out.packages.insert(out.packages.end(), std::move_iterator(packages.begin()), std::move_iterator(packages.end()));
  }
  const auto key = [](const Package& p) { return std::tie(p.type, p.name, p.version, p.architecture); };
  std::ranges::sort(out.packages, [&](const Package& a, const Package& b) { return key(a) < key(b); });
  const auto repeats =
      std::ranges::unique(out.packages, [&](const Package& a, const Package& b) { return key(a) == key(b); });
  out.packages.erase(repeats.begin(), repeats.end());
  // etc/os-release is often a link to the other, and so not among the regular files.
  for (const char* path : {"usr/lib/os-release", "etc/os-release"}) {
    if (const auto at = os_release.find(path); at != os_release.end()) out.os = parse_os_release(at->second);
  }
  return out;
}

json::object to_json(const LayerFacts& facts) {
  json::object files, os;
  for (const auto& [path, packages] : facts.files) {
    json::array list;
    for (const auto& package : packages) list.push_back(to_json(package));
    files[path] = std::move(list);
  }
  for (const auto& [path, text] : facts.os_release) os[path] = text;
  json::array whiteouts, opaque;
  for (const auto& path : facts.whiteouts) whiteouts.emplace_back(path);
  for (const auto& path : facts.opaque) opaque.emplace_back(path);
  return {{"version", kFactsVersion},
          {"files", std::move(files)},
          {"osRelease", std::move(os)},
          {"whiteouts", std::move(whiteouts)},
          {"opaque", std::move(opaque)}};
}

base::Result<LayerFacts> facts_from_json(std::string_view text) {
  MAINSTAY_TRY(const auto value, base::parse_json(text, 16));
  if (base::get_int(value, "version") != kFactsVersion) return fail(ErrorCode::kInvalid, "of another version");
  LayerFacts out;
  for (const auto& [path, packages] : base::get_object(value, "files")) {
    auto& list = out.files[std::string(path)];
    if (!packages.is_array()) continue;
    for (const auto& package : packages.get_array()) list.push_back(package_from_json(package));
  }
  for (const auto& [path, content] : base::get_object(value, "osRelease")) {
    if (content.is_string()) out.os_release[std::string(path)] = content.get_string();
  }
  for (const auto& path : base::get_array(value, "whiteouts")) {
    if (path.is_string()) out.whiteouts.emplace(path.get_string());
  }
  for (const auto& path : base::get_array(value, "opaque")) {
    if (path.is_string()) out.opaque.emplace(path.get_string());
  }
  return out;
}

}  // namespace mainstay::provenance
