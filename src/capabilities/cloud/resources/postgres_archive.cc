#include "capabilities/cloud/resources/postgres_archive.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/files.h"
#include "base/json.h"

namespace mainstay::cloud {
namespace fs = std::filesystem;
using base::ErrorCode;
using base::fail;
namespace {

constexpr std::size_t kSegmentName = 24;
constexpr const char* kFacts = "base.json";

bool is_segment(std::string_view name) {
  return name.size() == kSegmentName &&
         std::ranges::all_of(name, [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); });
}

// The segments that follow one another without a gap from the base backup on: the index after the last.
std::size_t chain_end(const PostgresArchive& archive, const BaseBackup& base) {
  auto at = std::ranges::lower_bound(archive.segments, base.first_segment, {}, &LogSegment::name);
  for (std::string wanted = base.first_segment; at != archive.segments.end() && at->name == wanted && !at->lost; ++at)
    wanted = next_segment(wanted);
  return static_cast<std::size_t>(at - archive.segments.begin());
}

// Nothing is missing up to the present: what the server has not handed over yet is still to come.
bool reaches_now(const PostgresArchive& archive, const BaseBackup& base) {
  return chain_end(archive, base) == archive.segments.size();
}

// Of a log with a gap: what was committed up to here is in it.
base::SystemTime reaches(const PostgresArchive& archive, const BaseBackup& base) {
  const std::size_t end = chain_end(archive, base);
  if (end == 0 || archive.segments[end - 1].name < base.first_segment) return base.ended;
  return std::max(base.ended, archive.segments[end - 1].kept);
}

std::uint64_t bytes_from(const PostgresArchive& archive, std::size_t first_base) {
  std::uint64_t sum = 0;
  for (std::size_t i = first_base; i < archive.bases.size(); ++i) sum += archive.bases[i].bytes;
  for (const LogSegment& segment : archive.segments)
    if (segment.name >= archive.bases[first_base].first_segment) sum += segment.bytes;
  return sum;
}

std::optional<BaseBackup> read_base(const fs::path& folder) {
  const auto text = base::read_file(folder / kFacts, 64u << 10);
  if (!text) return std::nullopt;
  const auto facts = base::parse_json(*text, 8);
  if (!facts) return std::nullopt;
  BaseBackup out{folder.filename().string()};
  const auto ended = base::parse_rfc3339(base::get_string(*facts, "ended"));
  out.first_segment = base::get_string(*facts, "firstSegment");
  std::error_code error;
  out.bytes = fs::file_size(folder / "base.tar.gz", error);
  if (!ended || error || !is_segment(out.first_segment)) return std::nullopt;
  out.ended = *ended;
  return out;
}

base::Result<> sync_to_disk(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool good = fd >= 0 && ::fsync(fd) == 0;
  if (fd >= 0) ::close(fd);
  if (!good) return fail(ErrorCode::kInternal, fmt::format("{} cannot be kept on the disk", path.string()));
  return {};
}

}  // namespace

std::string next_segment(std::string_view name) {
  if (!is_segment(name)) return "";
  std::uint32_t log = 0, segment = 0;
  std::from_chars(name.data() + 8, name.data() + 16, log, 16);
  std::from_chars(name.data() + 16, name.data() + 24, segment, 16);
  if (++segment > 0xFF) {  // 4 GiB a log, of segments of 16 MiB
    segment = 0;
    ++log;
  }
  return fmt::format("{}{:08X}{:08X}", name.substr(0, 8), log, segment);
}

std::optional<platform::RecoveryWindow> recovery_window(const PostgresArchive& archive) {
  // To the next whole second: what is shown can be asked for.
  const auto from = [](const BaseBackup& base) { return std::chrono::ceil<std::chrono::seconds>(base.ended); };
  for (const BaseBackup& base : archive.bases)
    if (reaches_now(archive, base)) return platform::RecoveryWindow{from(base), std::nullopt};
  if (archive.bases.empty()) return std::nullopt;
  return platform::RecoveryWindow{from(archive.bases.back()), reaches(archive, archive.bases.back())};
}

base::Result<BaseBackup> base_for(const PostgresArchive& archive, base::SystemTime moment) {
  for (auto at = archive.bases.rbegin(); at != archive.bases.rend(); ++at)
    if (at->ended <= moment) {
      if (reaches_now(archive, *at) || moment <= reaches(archive, *at)) return *at;
      break;  // an older one would need the same log
    }
  const auto window = recovery_window(archive);
  if (!window)
    return fail(ErrorCode::kUnavailable,
                "there is no base backup yet; the first is made within a minute of the first "
                "database, and each restore to a moment needs one before it");
  return fail(ErrorCode::kInvalid,
              fmt::format("spec.toTime: {} is out of reach; choose a moment from {} to {}", base::rfc3339_micro(moment),
                          base::rfc3339(window->earliest), window->latest ? base::rfc3339(*window->latest) : "now"));
}

std::string base_due(const PostgresArchive& archive, const ArchiveLimits& limits, base::SystemTime now) {
  if (archive.bases.empty()) return "there is none";
  const BaseBackup& newest = archive.bases.back();
  if (!reaches_now(archive, newest)) return "the log has a gap since the last";
  std::uint64_t since = 0;
  bool written = false;
  for (const LogSegment& segment : archive.segments)
    if (segment.kept > newest.ended) {
      since += segment.bytes;
      written = true;
    }
  if (since > limits.bytes / 4) return "much was written since the last";
  // A server that nobody writes to needs no other one.
  if (written && now - newest.ended >= limits.base_every) return "the last is a day old";
  return "";
}

std::size_t bases_to_drop(const PostgresArchive& archive, const ArchiveLimits& limits, base::SystemTime now) {
  std::size_t drop = 0;
  while (drop + 1 < archive.bases.size() &&
         (archive.bases[drop + 1].ended <= now - limits.window || bytes_from(archive, drop) > limits.bytes))
    ++drop;
  return drop;
}

PostgresArchive read_archive(const fs::path& bases, const fs::path& log) {
  PostgresArchive out;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(bases, ignored))
    if (entry.path().extension().empty())
      if (auto base = read_base(entry.path())) out.bases.push_back(*std::move(base));
  for (const auto& entry : fs::directory_iterator(log, ignored)) {
    const std::string name = entry.path().stem().string();
    const bool lost = entry.path().extension() == ".lost";
    struct stat info{};
    if (!is_segment(name) || (!lost && entry.path().extension() != ".gz") || ::lstat(entry.path().c_str(), &info) != 0)
      continue;
    const auto kept = std::chrono::seconds(info.st_mtim.tv_sec) + std::chrono::nanoseconds(info.st_mtim.tv_nsec);
    out.segments.push_back({name, base::SystemTime(std::chrono::duration_cast<base::SystemTime::duration>(kept)),
                            static_cast<std::uint64_t>(info.st_size), lost});
  }
  std::ranges::sort(out.bases, {}, &BaseBackup::ended);
  std::ranges::sort(out.segments, {}, &LogSegment::name);
  return out;
}

base::Result<> check_room(const fs::path& folder, std::uint64_t needed, std::string_view what) {
  std::error_code error;
  const auto space = fs::space(folder, error);
  if (!error && space.available < needed)
    return fail(ErrorCode::kExhausted, fmt::format("{} needs {} MiB of disk at {}, {} MiB are free", what, needed >> 20,
                                                   folder.string(), space.available >> 20));
  return {};
}

base::Result<> publish_base(const fs::path& bases, const BaseBackup& base) {
  const fs::path part = bases / (base.name + ".part");
  MAINSTAY_TRY_VOID(sync_to_disk(part / "base.tar.gz"));
  MAINSTAY_TRY_VOID(base::write_file(
      part / kFacts, base::to_json({{"ended", base::rfc3339_micro(base.ended)}, {"firstSegment", base.first_segment}}),
      0600));
  std::error_code error;
  fs::rename(part, bases / base.name, error);
  if (error) return fail(ErrorCode::kInternal, fmt::format("the base backup {}: {}", base.name, error.message()));
  return sync_to_disk(bases);
}

base::Result<> set_aside_archive(const fs::path& backups, base::SystemTime now) {
  std::string time = base::rfc3339(now);
  std::erase_if(time, [](char c) { return c == '-' || c == ':'; });
  const fs::path aside = backups / ("postgres-before-" + time);
  for (const char* folder : {kLogFolder, kBasesFolder}) {
    std::error_code error;
    if (!fs::exists(backups / folder, error) || fs::is_empty(backups / folder, error)) continue;
    MAINSTAY_TRY_VOID(base::make_directories(aside, 0700));
    fs::rename(backups / folder, aside / folder, error);
    if (error) return fail(ErrorCode::kInternal, fmt::format("{}: {}", (backups / folder).string(), error.message()));
  }
  return {};
}

void prune_archive(const fs::path& bases, const fs::path& log, const ArchiveLimits& limits, base::SystemTime now) {
  std::error_code ignored;
  const PostgresArchive archive = read_archive(bases, log);
  const std::size_t drop = bases_to_drop(archive, limits, now);
  for (std::size_t i = 0; i < drop; ++i) {
    // Its facts first: half a base backup is none.
    fs::remove(bases / archive.bases[i].name / kFacts, ignored);
    fs::remove_all(bases / archive.bases[i].name, ignored);
  }
  for (const auto& entry : fs::directory_iterator(bases, ignored)) {
    // Not what only cannot be read, for want of a descriptor or by a fault of the disk.
    std::error_code unknown;
    const bool finished = entry.path().extension().empty() && (fs::exists(entry.path() / kFacts, unknown) || unknown);
    if (!finished) fs::remove_all(entry.path(), ignored);
  }
  if (archive.segments.empty()) return;
  if (archive.bases.empty() && fs::directory_iterator(bases, ignored) != fs::directory_iterator()) return;
  // Without a base backup the log is of no use: the next one begins at the newest segment, or after it.
  const std::string& first = archive.bases.empty() ? archive.segments.back().name : archive.bases[drop].first_segment;
  for (const auto& entry : fs::directory_iterator(log, ignored)) {
    // Segments, and what the server tells of them in files of longer names.
    const std::string name = entry.path().filename().string().substr(0, kSegmentName);
    if (is_segment(name) && name < first) fs::remove(entry.path(), ignored);
  }
}

}  // namespace mainstay::cloud
