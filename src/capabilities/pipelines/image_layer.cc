// A base image's folders, and the layer of what is copied over them.
#include <archive.h>
#include <archive_entry.h>
#include <fnmatch.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <charconv>
#include <set>

#include "base/files.h"
#include "base/strings.h"
#include "capabilities/pipelines/image_plan.h"
#include "crypto/digest.h"

namespace mainstay::pipelines {
namespace fs = std::filesystem;
namespace {

// Every file has this time (2000-01-01), so that a layer's bytes follow from its content alone.
constexpr std::int64_t kTime = 946684800;
constexpr std::size_t kMaxFiles = 50'000;

std::string clean(std::string_view name) {
  while (name.starts_with("./")) name.remove_prefix(2);
  while (name.starts_with('/')) name.remove_prefix(1);
  while (name.ends_with('/')) name.remove_suffix(1);
  return "/" + std::string(name);
}

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

std::string join(const std::string& folder, std::string_view name) {
  return folder == "/" ? "/" + std::string(name) : folder + "/" + std::string(name);
}

bool has_pattern(std::string_view text) { return text.find_first_of("*?[") != std::string_view::npos; }

// Paths below the context that a source names, patterns expanded; sorted.
std::vector<std::string> expand(const fs::path& context, const std::string& source) {
  if (!has_pattern(source)) return {source};
  std::vector<std::string> found{""};
  for (std::string_view part : base::split(source, '/')) {
    std::vector<std::string> next;
    for (const std::string& before : found) {
      std::error_code error;
      if (!has_pattern(part)) {
        next.push_back(before.empty() ? std::string(part) : before + "/" + std::string(part));
        continue;
      }
      for (const auto& entry : fs::directory_iterator(context / before, error)) {
        const std::string name = entry.path().filename();
        if (::fnmatch(std::string(part).c_str(), name.c_str(), 0) == 0)
          next.push_back(before.empty() ? name : before + "/" + name);
      }
    }
    found = std::move(next);
  }
  std::ranges::sort(found);
  return found;
}

std::string pack(const std::string& raw) {
  z_stream z{};
  // Fast, and without a time in the header.
  if (::deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) != Z_OK) return "";
  std::string out(::deflateBound(&z, raw.size()) + 64, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(raw.data()));
  z.avail_in = static_cast<uInt>(raw.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  const int result = ::deflate(&z, Z_FINISH);
  out.resize(out.size() - z.avail_out);
  ::deflateEnd(&z);
  return result == Z_STREAM_END ? out : "";
}

class LayerWriter {
 public:
  LayerWriter(const fs::path& context, const Ignore& ignore, BaseTree& tree)
      : context_(context), ignore_(ignore), tree_(tree) {}

  // False: not for us.
  bool step(const ImageStep& step) {
    if (!step.folder.empty()) return make_folders(step.folder);
    std::vector<std::string> sources;
    for (const std::string& source : step.sources) {
      const auto found = expand(context_, source);
      if (found.empty()) return false;
      sources.insert(sources.end(), found.begin(), found.end());
    }
    const bool must_be_folder = step.destination.ends_with('/') && step.destination != "/";
    std::string destination = step.destination;
    while (destination.size() > 1 && destination.ends_with('/')) destination.pop_back();
    if (sources.size() > 1 && !must_be_folder && destination != "/") return false;
    for (const std::string& source : sources) {
      struct stat info{};
      if (::stat((context_ / source).c_str(), &info) != 0 || (source != "." && ignore_.ignores(source))) return false;
      if (S_ISDIR(info.st_mode)) {
        if (!copy_folder(step, source, destination)) return false;
      } else {
        const auto resolved = tree_.resolve(destination, true);
        if (!resolved) return false;
        const bool into = must_be_folder || *resolved == "/" || tree_.is_folder(*resolved);
        if (!copy_file(step, source, into ? join(destination, fs::path(source).filename().string()) : destination))
          return false;
      }
    }
    return true;
  }

  std::optional<std::string> tar() const {
    std::string out;
    archive* a = archive_write_new();
    archive_write_set_format_pax_restricted(a);
    archive_write_set_options(a, "hdrcharset=BINARY");  // names are bytes, whatever the job's locale
    archive_write_set_bytes_per_block(a, 0);
    const auto append = [](archive*, void* into, const void* bytes, std::size_t size) -> la_ssize_t {
      static_cast<std::string*>(into)->append(static_cast<const char*>(bytes), size);
      return static_cast<la_ssize_t>(size);
    };
    bool good = archive_write_open(a, &out, nullptr, append, nullptr) == ARCHIVE_OK;
    for (const auto& [path, file] : files_) {
      archive_entry* entry = archive_entry_new();
      archive_entry_set_pathname(entry, (path.substr(1) + (file.type == 'd' ? "/" : "")).c_str());
      archive_entry_set_filetype(entry, file.type == 'd' ? AE_IFDIR : file.type == 'l' ? AE_IFLNK : AE_IFREG);
      archive_entry_set_perm(entry, static_cast<mode_t>(file.mode));
      archive_entry_set_uid(entry, file.uid);
      archive_entry_set_gid(entry, file.gid);
      archive_entry_set_mtime(entry, kTime, 0);
      if (file.type == 'l') archive_entry_set_symlink(entry, file.content.c_str());
      archive_entry_set_size(entry, file.type == 'f' ? static_cast<la_int64_t>(file.content.size()) : 0);
      good = good && archive_write_header(a, entry) >= ARCHIVE_WARN;
      if (file.type == 'f' && good)
        good = archive_write_data(a, file.content.data(), file.content.size()) ==
               static_cast<la_ssize_t>(file.content.size());
      archive_entry_free(entry);
    }
    good = archive_write_close(a) == ARCHIVE_OK && good;
    archive_write_free(a);
    return good ? std::optional(out) : std::nullopt;
  }
  bool empty() const { return files_.empty(); }

 private:
  struct File {
    char type = 'f';
    std::int64_t mode = 0644, uid = 0, gid = 0;
    std::string content;  // or a link's target
  };

  // Sees to the folder and those above it, as they are in the base where they are there.
  bool make_folders(const std::string& wanted) {
    const auto path = tree_.resolve(wanted, true);
    if (!path) return false;
    return listed_folders(*path);
  }
  bool listed_folders(const std::string& path) {
    if (path == "/" || files_.contains(path)) return path == "/" || files_.at(path).type == 'd';
    if (!listed_folders(parent_of(path))) return false;
    const BaseTree::Entry* known = tree_.find(path);
    if (known != nullptr && known->link) return false;
    File folder{'d', known != nullptr ? known->mode : 0755, known != nullptr ? known->uid : 0,
                known != nullptr ? known->gid : 0, ""};
    files_[path] = std::move(folder);
    if (known == nullptr) tree_.make_folder(path);
    return files_.size() <= kMaxFiles;
  }
  bool copy_file(const ImageStep& step, const std::string& source, const std::string& destination) {
    const auto path = tree_.resolve(destination, true);
    // A file over a folder is an error that buildah words better.
    if (!path || *path == "/" || tree_.is_folder(*path) || !listed_folders(parent_of(*path))) return false;
    struct stat info{};
    if (::stat((context_ / source).c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return false;
    bytes_ += static_cast<std::uint64_t>(info.st_size);
    if (bytes_ > kMaxNativeBytes) return false;
    auto content = base::read_file(context_ / source, kMaxNativeBytes);
    if (!content) return false;
    files_[*path] = {'f', step.mode >= 0 ? step.mode : info.st_mode & 07777, step.uid, step.gid, std::move(*content)};
    return files_.size() <= kMaxFiles;
  }
  bool copy_folder(const ImageStep& step, const std::string& source, const std::string& destination) {
    if (!make_folders(destination)) return false;
    std::vector<fs::directory_entry> entries;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(context_ / source, error)) entries.push_back(entry);
    if (error) return false;
    for (const auto& entry : entries) {
      const std::string name = entry.path().filename(), from = source == "." ? name : source + "/" + name,
                        to = join(destination, name);
      if (ignore_.ignores(from)) continue;
      struct stat info{};
      if (::lstat(entry.path().c_str(), &info) != 0) return false;
      if (S_ISDIR(info.st_mode)) {
        if (!copy_folder(step, from, to)) return false;
        const auto path = tree_.resolve(to, true);
        if (path && files_.contains(*path)) {
          File& folder = files_[*path];
          folder.mode = step.mode >= 0 ? step.mode : info.st_mode & 07777;
          folder.uid = step.uid;
          folder.gid = step.gid;
        }
      } else if (S_ISLNK(info.st_mode)) {
        const auto folder = tree_.resolve(destination, true);
        const fs::path target = fs::read_symlink(entry.path(), error);
        if (!folder || error || tree_.is_folder(join(*folder, name))) return false;
        files_[join(*folder, name)] = {'l', 0777, step.uid, step.gid, target.string()};
      } else if (!copy_file(step, from, to)) {
        return false;
      }
    }
    return true;
  }

  const fs::path& context_;
  const Ignore& ignore_;
  BaseTree& tree_;
  std::map<std::string, File> files_;  // by path, so folders come before what is in them
  std::uint64_t bytes_ = 0;
};

}  // namespace

base::Result<std::string> BaseTree::list_layer(const fs::path& blob) {
  archive* a = archive_read_new();
  archive_read_support_filter_all(a);
  archive_read_support_format_tar(a);
  std::string out;
  base::Result<std::string> result = std::string();
  if (archive_read_open_filename(a, blob.c_str(), 1u << 20) != ARCHIVE_OK)
    result = base::fail(base::ErrorCode::kInvalid, "not a layer");
  archive_entry* entry = nullptr;
  int status = ARCHIVE_OK;
  while (result && ((status = archive_read_next_header(a, &entry)) == ARCHIVE_OK || status == ARCHIVE_WARN)) {
    // A name that this locale cannot show comes as UTF-8.
    const char* name = archive_entry_pathname(entry);
    if (name == nullptr) name = archive_entry_pathname_utf8(entry);
    if (name == nullptr || std::string_view(name).contains('\n')) {
      result = base::fail(base::ErrorCode::kInvalid, "an odd name");
      break;
    }
    const std::string path = clean(name), file = path.substr(path.rfind('/') + 1);
    if (file.starts_with(".wh.")) {
      const bool opaque = file == ".wh..wh..opq";
      out += fmt::format("{} 0 0 0 {}\n", opaque ? 'o' : 'w',
                         opaque ? parent_of(path) : join(parent_of(path), file.substr(4)));
    } else if (archive_entry_filetype(entry) == AE_IFDIR) {
      out += fmt::format("d {} {} {} {}\n", static_cast<std::int64_t>(archive_entry_perm(entry)),
                         archive_entry_uid(entry), archive_entry_gid(entry), path);
    } else if (archive_entry_filetype(entry) == AE_IFLNK) {
      const char* target = archive_entry_symlink(entry);
      if (target == nullptr) target = archive_entry_symlink_utf8(entry);
      if (target == nullptr || std::string_view(target).contains('\n') || path.contains('\t')) {
        result = base::fail(base::ErrorCode::kInvalid, "an odd link");
        break;
      }
      out += fmt::format("l 0 0 0 {}\t{}\n", path, target);
    }
  }
  if (result && status != ARCHIVE_EOF) result = base::fail(base::ErrorCode::kInvalid, "a broken layer");
  archive_read_free(a);
  if (result) result = std::move(out);
  return result;
}

void BaseTree::add(std::string_view listing) {
  for (std::string_view line : base::split(listing, '\n')) {
    const auto words = base::split(line, ' ');
    if (words.size() < 5) continue;
    const char type = words[0][0];
    std::int64_t numbers[3] = {};
    for (int i = 0; i < 3; ++i)
      std::from_chars(words[i + 1].data(), words[i + 1].data() + words[i + 1].size(), numbers[i]);
    std::string path(line.substr(static_cast<std::size_t>(words[4].data() - line.data())));
    const auto erase_below = [&](const std::string& folder) {
      const std::string prefix = folder == "/" ? "/" : folder + "/";
      auto at = entries_.lower_bound(prefix);
      while (at != entries_.end() && at->first.starts_with(prefix)) at = entries_.erase(at);
    };
    if (type == 'o') erase_below(path);
    if (type == 'w') {
      erase_below(path);
      entries_.erase(path);
    }
    if (type == 'd') entries_[path] = {false, numbers[0], numbers[1], numbers[2], ""};
    if (type == 'l') {
      const auto tab = path.find('\t');
      const std::string link = path.substr(0, tab);
      erase_below(link);
      entries_[link] = {true, 0777, 0, 0, path.substr(tab + 1)};
    }
  }
}

const BaseTree::Entry* BaseTree::find(const std::string& path) const {
  const auto at = entries_.find(path);
  return at == entries_.end() ? nullptr : &at->second;
}

bool BaseTree::is_folder(const std::string& path) const {
  if (path == "/") return true;
  const Entry* entry = find(path);
  return entry != nullptr && !entry->link;
}

std::optional<std::string> BaseTree::resolve(std::string_view path, bool last) const {
  std::vector<std::string> todo;
  const auto push = [&](std::string_view text) {
    const auto parts = base::split(text, '/');
    for (auto part = parts.rbegin(); part != parts.rend(); ++part)
      if (!part->empty() && *part != ".") todo.emplace_back(*part);
  };
  push(path);
  std::string now = "/";
  for (int links = 0; !todo.empty();) {
    const std::string part = std::move(todo.back());
    todo.pop_back();
    if (part == "..") {
      now = parent_of(now);
      continue;
    }
    const std::string next = join(now, part);
    const Entry* entry = find(next);
    if (entry == nullptr || !entry->link || (todo.empty() && !last)) {
      now = next;
      continue;
    }
    if (++links > 40) return std::nullopt;
    if (entry->target.starts_with('/')) now = "/";
    push(entry->target);
  }
  return now;
}

std::optional<Ignore> Ignore::parse(std::string_view text) {
  Ignore out;
  for (std::string_view line : base::split(text, '\n')) {
    line = base::trim(line);
    if (line.empty() || line.starts_with('#')) continue;
    const bool back = line.starts_with('!');
    if (back) line.remove_prefix(1);
    while (line.starts_with('/') || line.starts_with("./")) line.remove_prefix(line.starts_with('/') ? 1 : 2);
    while (line.ends_with('/')) line.remove_suffix(1);
    // `**` elsewhere than in front, and exceptions that need folders walked in part: buildah knows.
    if (line.empty() || back || line.substr(line.starts_with("**/") ? 3 : 0).contains("**")) return std::nullopt;
    out.patterns_.emplace_back(line, back);
  }
  return out;
}

bool Ignore::ignores(const std::string& path) const {
  for (const auto& [pattern, back] : patterns_) {
    const bool deep = pattern.starts_with("**/");
    const std::string plain = deep ? pattern.substr(3) : pattern;
    // The path itself or a folder above it; at any depth for `**/`.
    for (std::size_t end = path.find('/');; end = path.find('/', end + 1)) {
      const std::string prefix = path.substr(0, end);
      for (std::size_t start = 0;; ++start) {
        if (::fnmatch(plain.c_str(), prefix.c_str() + start, FNM_PATHNAME) == 0) return true;
        start = deep ? prefix.find('/', start) : std::string::npos;
        if (start == std::string::npos) break;
      }
      if (end == std::string::npos) break;
    }
  }
  return false;
}

std::optional<Layer> make_layer(const ImagePlan& plan, const fs::path& context, const Ignore& ignore, BaseTree tree) {
  LayerWriter writer(context, ignore, tree);
  for (const ImageStep& step : plan.steps)
    if (step.makes_files() && !writer.step(step)) return std::nullopt;
  const auto tar = writer.tar();
  if (!tar) return std::nullopt;
  Layer layer;
  layer.diff_id = "sha256:" + crypto::sha256_hex(*tar);
  layer.blob = pack(*tar);
  if (layer.blob.empty()) return std::nullopt;
  layer.digest = "sha256:" + crypto::sha256_hex(layer.blob);
  return layer;
}

}  // namespace mainstay::pipelines
