// What a PostgreSQL server's past is kept in: base backups of the whole server, and its write-ahead log since, a file a
// segment. Which moments that reaches, and what of it may go.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "platform/interfaces/resources.h"

namespace mainstay::cloud {

inline constexpr const char *kLogFolder = "postgres-wal", *kBasesFolder = "postgres-base";  // in DIR/backups

struct BaseBackup {
  std::string name;           // its folder's, "20260102T030405Z"
  base::SystemTime ended;     // moments before it are out of its reach
  std::string first_segment;  // what recovery may begin to read at
  std::uint64_t bytes = 0;
};

struct LogSegment {
  std::string name;  // 24 hexadecimal digits: timeline, log, segment
  base::SystemTime kept;
  std::uint64_t bytes = 0;
  bool lost = false;  // the disk was nearly full: a mark in its place
};

struct PostgresArchive {  // each oldest first
  std::vector<BaseBackup> bases;
  std::vector<LogSegment> segments;
};

struct ArchiveLimits {
  std::chrono::hours window{7 * 24};
  std::chrono::hours base_every{24};
  std::uint64_t bytes = 10ull << 30;  // of all that is kept; the newest base backup stays whatever it takes
};

// --- pure

// The segment after this one, of 16 MiB each; "" for what is none.
std::string next_segment(std::string_view name);

// From the oldest base backup whose log has no gap up to now; else the newest span there is; nullopt where none is.
std::optional<platform::RecoveryWindow> recovery_window(const PostgresArchive& archive);

// The base backup that recovery to the moment begins with: the newest one before it whose log reaches that far.
// kInvalid says from when to when there is something.
base::Result<BaseBackup> base_for(const PostgresArchive& archive, base::SystemTime moment);

// Why a new base backup is due; "" where none is.
std::string base_due(const PostgresArchive& archive, const ArchiveLimits& limits, base::SystemTime now);

// How many of the oldest base backups may go; their log goes with them.
std::size_t bases_to_drop(const PostgresArchive& archive, const ArchiveLimits& limits, base::SystemTime now);

// --- blocking

// BASES/<name>/{base.tar.gz,base.json}; LOG/<segment>.{gz,lost}. What was not finished does not count.
PostgresArchive read_archive(const std::filesystem::path& bases, const std::filesystem::path& log);

// kExhausted where the folder's disk has less than `needed` bytes left for what `what` names, as "a base backup".
base::Result<> check_room(const std::filesystem::path& folder, std::uint64_t needed, std::string_view what);

// BASES/<name>.part, where pg_basebackup wrote, becomes BASES/<name>; durable when it returns.
base::Result<> publish_base(const std::filesystem::path& bases, const BaseBackup& base);

// Drops the oldest base backups, what was not finished, and the log that nothing needs any more.
void prune_archive(const std::filesystem::path& bases, const std::filesystem::path& log, const ArchiveLimits& limits,
                   base::SystemTime now);

// A new server's log begins with the names of the old one's: what is kept of a server that is gone goes to
// BACKUPS/postgres-before-<time>, out of the way and for people to recover from.
base::Result<> set_aside_archive(const std::filesystem::path& backups, base::SystemTime now);

}  // namespace mainstay::cloud
