#include "capabilities/cloud/resources/postgres_recovery.h"

#include <sstream>

#include "async/file_watch.h"
#include "async/runtime.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "capabilities/cloud/resources/recovered_server.h"

namespace mainstay::cloud {
namespace fs = std::filesystem;
using base::ErrorCode;
using base::fail;
namespace {

// There is no event for what grows and for what grows old.
constexpr std::chrono::minutes kEvery{10}, kAfterFailure{1};
constexpr std::chrono::hours kBaseLimit{2};
constexpr std::chrono::seconds kFlushLimit{60};
// What a base backup leaves free: below it the log is not kept either (postgres_server.cc).
constexpr std::uint64_t kLeftFree = 1ull << 30;

// The log's files are seen as they come.
async::Task<> wait_for(fs::path folder, std::string segment, std::unique_ptr<async::FileWatch> watch) {
  std::error_code ignored;
  while (!fs::exists(folder / (segment + ".gz"), ignored) && !fs::exists(folder / (segment + ".lost"), ignored))
    co_await watch->next();
}

}  // namespace

PostgresRecovery::PostgresRecovery(platform::Host& host, std::shared_ptr<PostgresServer> server)
    : host_(host), server_(std::move(server)), bases_(host.config().dir("backups") / kBasesFolder) {}

async::Task<PostgresArchive> PostgresRecovery::look() {
  const auto self = shared_from_this();
  auto archive = co_await self->host_.runtime().blocking(
      [bases = self->bases_, log = self->server_->wal_folder()] { return read_archive(bases, log); });
  self->window_ = recovery_window(archive);
  co_return archive;
}

// pg_basebackup waits until the log that its copy needs is kept.
async::Task<base::Result<>> PostgresRecovery::make_base() {
  const auto self = shared_from_this();
  BaseBackup base;
  base.name = base::rfc3339(host_.clock().now());
  std::erase_if(base.name, [](char c) { return c == '-' || c == ':'; });
  const fs::path part = self->bases_ / (base.name + ".part");
  MAINSTAY_CO_TRY(const std::uint64_t size, co_await self->server_bytes());
  MAINSTAY_CO_TRY_VOID(co_await self->host_.runtime().blocking([part, size]() -> base::Result<> {
    MAINSTAY_TRY_VOID(check_room(part.parent_path().parent_path(), size + kLeftFree, "a base backup"));
    std::error_code ignored;
    fs::remove_all(part, ignored);
    return base::make_directories(part, 0700);
  }));
  MAINSTAY_CO_TRY(const std::string segment,
                  co_await self->server_->sql("SELECT pg_walfile_name(pg_current_wal_insert_lsn());\n"));
  base.first_segment = std::string(base::trim(segment));
  auto copied = co_await self->server_->client(
      {"pg_basebackup", "--pgdata=" + part.string(), "--format=tar", "--gzip", "--compress=1", "--wal-method=none",
       "--checkpoint=fast", "--no-manifest", "--no-password"},
      kPostgresUser, "", kBaseLimit);
  if (!copied) co_return std::unexpected(copied.error());
  base.ended = self->host_.clock().now();
  co_return co_await self->host_.runtime().blocking([bases = self->bases_, base] { return publish_base(bases, base); });
}

async::Task<base::Result<>> PostgresRecovery::tend() {
  const auto self = shared_from_this();
  MAINSTAY_CO_TRY_VOID(co_await self->server_->ensure());
  const std::string why = base_due(co_await self->look(), self->limits_, self->host_.clock().now());
  base::Result<> made;
  if (!why.empty()) made = co_await self->make_base();
  if (!why.empty() && made) base::log::info("cloud", "PostgreSQL: a base backup was made ({})", why);
  // Also where none could be made: what is too old, and halves of a base backup, may be what fills the disk. What a
  // restore reads from stays until the next round.
  if (!self->recovering_)
    co_await self->host_.runtime().blocking(
        [self] { prune_archive(self->bases_, self->server_->wal_folder(), self->limits_, self->host_.clock().now()); });
  const PostgresArchive archive = co_await self->look();
  if (!made) co_return made;
  const std::string newest = archive.bases.empty() ? "" : archive.bases.back().first_segment;
  self->trouble_.clear();
  for (const LogSegment& segment : archive.segments)
    if (segment.lost && segment.name >= newest)
      self->trouble_ = "the disk is nearly full: PostgreSQL's log is not kept, restores to a moment end before it";
  auto failing = co_await self->server_->sql(
      "SELECT last_failed_wal FROM pg_stat_archiver WHERE last_failed_time > coalesce(last_archived_time, "
      "'-infinity');\n");
  if (!failing) co_return std::unexpected(failing.error());
  if (const std::string_view segment = base::trim(*failing); !segment.empty())
    self->trouble_ = fmt::format("PostgreSQL cannot keep its log ({}) in {}: see DIR/run/engines/postgres.log", segment,
                                 self->server_->wal_folder().string());
  co_return base::Result<>{};
}

async::Task<> PostgresRecovery::run(std::shared_ptr<PostgresRecovery> self) {
  self->recovering_ = true;  // nobody begins a server in the folder that is being cleared
  co_await self->host_.runtime().blocking(
      [folder = self->host_.config().dir("postgres-recovery")] { RecoveredServer::clear(folder); });
  self->recovering_ = false;
  co_await self->server_->wait_until_serving();
  for (;;) {
    const auto done = co_await self->tend();
    if (!done) {
      self->trouble_ = "no base backup of PostgreSQL can be made: " + done.error().message;
      base::log::warn("cloud", "{}", self->trouble_);
    }
    co_await async::sleep_for(done ? std::chrono::nanoseconds(kEvery) : std::chrono::nanoseconds(kAfterFailure));
  }
}

// All that was committed until now is kept, and something after it: recovery knows the moment by what comes later.
async::Task<base::Result<>> PostgresRecovery::flush_log() {
  const auto self = shared_from_this();
  MAINSTAY_CO_TRY(auto watch, async::FileWatch::open(self->host_.runtime().executor()));
  MAINSTAY_CO_TRY_VOID(watch->add(self->server_->wal_folder(), async::FileChange::kCreated));
  MAINSTAY_CO_TRY(
      const std::string rows,
      co_await self->server_->sql("SELECT pg_current_xact_id();\nSELECT pg_walfile_name(pg_switch_wal());\n"));
  std::istringstream in(rows);
  std::string transaction, segment;
  in >> transaction >> segment;
  if (!co_await async::with_timeout(wait_for(self->server_->wal_folder(), segment, std::move(watch)), kFlushLimit))
    co_return fail(ErrorCode::kUnavailable,
                   "PostgreSQL does not hand over its log; `mainstay status` and DIR/run/engines/postgres.log say why");
  co_return base::Result<>{};
}

async::Task<base::Result<std::uint64_t>> PostgresRecovery::server_bytes() {
  MAINSTAY_CO_TRY(const std::string size,
                  co_await server_->sql("SELECT sum(pg_database_size(oid)) FROM pg_database;\n"));
  std::uint64_t bytes = 0;
  std::istringstream(size) >> bytes;
  co_return bytes;
}

async::Task<base::Result<>> PostgresRecovery::recover(std::string database, base::SystemTime moment, fs::path file) {
  const auto self = shared_from_this();
  MAINSTAY_CO_TRY_VOID(base_for(co_await self->look(), moment));  // before anything is written
  MAINSTAY_CO_TRY_VOID(co_await self->flush_log());
  MAINSTAY_CO_TRY(const BaseBackup base, base_for(co_await self->look(), moment));
  MAINSTAY_CO_TRY(const std::uint64_t size, co_await self->server_bytes());
  // The whole server is unpacked, for one database of it.
  const std::uint64_t needed = std::max(size, base.bytes) + (512ull << 20);
  MAINSTAY_CO_TRY_VOID(co_await self->host_.runtime().blocking([dir = self->host_.config().data_dir, needed] {
    return check_room(dir, needed, "for a while a restore to a moment");
  }));
  MAINSTAY_CO_TRY(const auto server,
                  co_await RecoveredServer::open(&self->host_, self->bases_ / base.name / "base.tar.gz",
                                                 self->server_->wal_folder(), moment));
  const base::Result<> dumped = co_await server->dump(database, file);
  co_await server->close();
  co_return dumped;
}

async::Task<base::Result<>> PostgresRecovery::dump_at(std::string database, base::SystemTime moment, fs::path file) {
  const auto self = shared_from_this();
  if (moment > self->host_.clock().now())
    co_return fail(ErrorCode::kInvalid, fmt::format("spec.toTime: {} is in the future", base::rfc3339_micro(moment)));
  if (self->recovering_)
    co_return fail(ErrorCode::kConflict, "another database is being brought back to a moment; wait for its end");
  struct Recovering {
    bool& flag;
    explicit Recovering(bool& f) : flag(f) { flag = true; }
    ~Recovering() { flag = false; }
  };
  const Recovering mark(self->recovering_);
  MAINSTAY_CO_TRY_VOID(co_await self->server_->ensure());
  co_return co_await self->recover(std::move(database), moment, std::move(file));
}

}  // namespace mainstay::cloud
