#include "capabilities/cloud/resources/recovered_server.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <csignal>

#include "async/runtime.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "capabilities/cloud/resources/postgres_programs.h"
#include "capabilities/cloud/resources/unprivileged.h"
#include "platform/engine_files.h"

namespace mainstay::cloud {
namespace fs = std::filesystem;
using base::ErrorCode;
using base::fail;
using ServerPtr = std::shared_ptr<RecoveredServer>;
namespace {

constexpr std::chrono::minutes kLimit{30};  // of unpacking, of replaying, of the dump: each
constexpr std::uint64_t kMemory = 512ull << 20;
constexpr std::uint16_t kPort = 5432;  // only the socket's name has it
constexpr std::size_t kLongestLine = 4096;
constexpr std::string_view kReady = "database system is ready to accept connections";
constexpr std::string_view kEndsBefore = "recovery ended before configured recovery target was reached";

// The superuser, and each role in the database of its own name: by the socket, which is in a folder of mode 0700.
constexpr std::string_view kHba = "local all postgres peer map=mainstay\nlocal sameuser all trust\n";

// The server reads no name of a time zone so early, and Z is one to it.
std::string target_time(base::SystemTime moment) {
  std::string text = base::rfc3339_micro(moment);
  text.back() = '+';
  return text + "00";
}

std::string configuration(base::SystemTime moment) {
  // Nobody but the restore reads from it and nothing of it is kept: it need not be durable, nor tidy itself up.
  return fmt::format(
      "listen_addresses = ''\nport = {}\nunix_socket_directories = '/mnt/s'\nunix_socket_permissions = 0700\n"
      "hba_file = '/mnt/pg_hba.conf'\nident_file = '/mnt/pg_ident.conf'\narchive_mode = off\nhot_standby = off\n"
      "max_connections = 10\nmax_wal_senders = 0\nmax_worker_processes = 0\nshared_buffers = 32MB\nfsync = off\n"
      "full_page_writes = off\nmax_wal_size = 256MB\nautovacuum = off\nssl = off\nrestore_command = 'gzip -dc "
      "/mnt/archive/%f.gz > %p'\n"
      "recovery_target_time = '{}'\nrecovery_target_inclusive = on\nrecovery_target_timeline = 'current'\n"
      "recovery_target_action = 'promote'\nlc_messages = 'C'\nlog_destination = 'stderr'\nlogging_collector = off\n"
      "log_line_prefix = ''\nlog_statement = 'none'\nlog_min_error_statement = panic\n",
      kPort, target_time(moment));
}

base::Result<> prepare(const fs::path& folder, base::SystemTime moment) {
  RecoveredServer::clear(folder);
  for (const char* child : {"", "s", "data", "archive"})
    MAINSTAY_TRY_VOID(make_folder_for(folder / child, kPostgresUser, kPostgresPackage));
  const auto write = [&](const fs::path& name, std::string_view text) -> base::Result<> {
    MAINSTAY_TRY_VOID(base::write_file(folder / name, text, 0600));
    return give_to(folder / name, kPostgresUser);
  };
  MAINSTAY_TRY_VOID(write("pg_hba.conf", kHba));
  MAINSTAY_TRY_VOID(write("pg_ident.conf", "mainstay root postgres\n"));
  return write("postgresql.conf", configuration(moment));
}

}  // namespace

std::string recovery_trouble(std::string_view line) {
  for (const std::string_view level : {"FATAL:  ", "PANIC:  "})
    if (line.starts_with(level)) return std::string(line.substr(level.size()));
  return "";
}

void RecoveredServer::clear(const fs::path& folder) {
  if (const auto text = base::read_file(folder / "data" / "postmaster.pid", 4096)) {
    pid_t pid = 0;
    std::from_chars(text->data(), text->data() + text->size(), pid);
    // It was to die with its Mainstay. SIGQUIT: at once, and its children with it.
    if (pid > 0 && runs_in(pid, folder)) {
      ::kill(pid, SIGQUIT);
      for (int i = 0; i < 100 && runs_in(pid, folder); ++i) ::usleep(20'000);
      if (runs_in(pid, folder)) ::kill(pid, SIGKILL);
    }
  }
  std::error_code ignored;
  fs::remove_all(folder, ignored);
}

async::Task<base::Result<>> RecoveredServer::unpack(ServerPtr self, fs::path base_tar) {
  const int fd = ::open(base_tar.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) co_return fail(ErrorCode::kInternal, fmt::format("cannot read {}", base_tar.string()));
  async::ProcessOptions options;
  options.argv = as_user(kPostgresUser, self->folder_, {"tar", "--extract", "--gzip", "--directory=/mnt/data"},
                         {.die_with_parent = true});
  options.inherit_fds = {{fd, 0}};
  options.merge_stderr = true;
  options.env = {{"LC_ALL", "C"}};
  auto started = async::Process::start(self->host_->runtime().executor(), std::move(options));
  ::close(fd);
  if (!started) co_return std::unexpected(started.error());
  self->process_ = *std::move(started);
  if (!co_await async::with_timeout(drain(self), kLimit))
    co_return fail(ErrorCode::kTimeout, fmt::format("no base backup was unpacked within {} minutes", kLimit.count()));
  const async::ExitStatus status = co_await self->process_->wait();
  self->process_.reset();
  if (!status.ok()) co_return fail(ErrorCode::kUnavailable, "the base backup cannot be unpacked: " + self->trouble_);
  co_return co_await self->host_->runtime().blocking([folder = self->folder_]() -> base::Result<> {
    MAINSTAY_TRY_VOID(base::write_file(folder / "data" / "recovery.signal", "", 0600));
    return give_to(folder / "data" / "recovery.signal", kPostgresUser);
  });
}

void RecoveredServer::hear(std::string_view line) {
  if (line.find(kReady) != std::string_view::npos) ready_ = true;
  if (std::string said = recovery_trouble(line); !said.empty()) trouble_ = std::move(said);
}

// What it says, until it is ready or has ended.
async::Task<> RecoveredServer::listen(ServerPtr self) {
  std::string pending;
  std::vector<char> buffer(8192);
  while (!self->ready_) {
    const std::size_t n = co_await self->process_->read_stdout(buffer);
    if (n == 0) co_return;
    pending.append(buffer.data(), n);
    for (std::size_t at; (at = pending.find('\n')) != std::string::npos; pending.erase(0, at + 1))
      self->hear(std::string_view(pending).substr(0, at));
    if (pending.size() > kLongestLine) pending.clear();
  }
}

// So that a full pipe holds nobody up; the end of what was said is kept.
async::Task<> RecoveredServer::drain(ServerPtr self) {
  std::vector<char> buffer(8192);
  while (self->process_) {
    const std::size_t n = co_await self->process_->read_stdout(buffer);
    if (n == 0) co_return;
    self->trouble_ = std::string(base::trim(std::string_view(buffer.data(), std::min<std::size_t>(n, 600))));
  }
}

async::Task<base::Result<>> RecoveredServer::serve(ServerPtr self, fs::path log) {
  async::ProcessOptions options;
  options.argv = as_user(kPostgresUser, self->folder_,
                         {postgres_program("postgres"), "-D", "/mnt/data", "-c", "config_file=/mnt/postgresql.conf"},
                         {.archive = std::move(log), .die_with_parent = true});
  options.merge_stderr = true;
  options.cgroup = co_await self->host_->runtime().blocking([data_dir = self->host_->config().data_dir] {
    return platform::EngineFiles(data_dir, "postgres-recovery").memory_cgroup(kMemory);
  });
  auto started = async::Process::start(self->host_->runtime().executor(), std::move(options));
  if (!started) co_return std::unexpected(started.error());
  self->process_ = *std::move(started);
  if (!co_await async::with_timeout(listen(self), kLimit))
    co_return fail(ErrorCode::kTimeout, fmt::format("the log was not replayed within {} minutes", kLimit.count()));
  if (!self->ready_) {
    if (self->trouble_.find(kEndsBefore) != std::string::npos)
      co_return fail(ErrorCode::kInvalid, "spec.toTime: what is kept of the log ends before that moment");
    co_return fail(ErrorCode::kUnavailable, fmt::format("PostgreSQL could not go back to that moment: {}",
                                                        self->trouble_.empty() ? "it ended" : self->trouble_));
  }
  self->host_->tasks().spawn("recovered postgres", drain(self));
  co_return base::Result<>{};
}

async::Task<base::Result<ServerPtr>> RecoveredServer::open(platform::Host* host, fs::path base_tar, fs::path log,
                                                           base::SystemTime moment) {
  const auto self = std::make_shared<RecoveredServer>(host, host->config().dir("postgres-recovery"));
  base::Result<> done =
      co_await host->runtime().blocking([folder = self->folder_, moment] { return prepare(folder, moment); });
  if (done) done = co_await unpack(self, std::move(base_tar));
  if (done) done = co_await serve(self, std::move(log));
  if (done) co_return self;
  co_await self->close();
  co_return std::unexpected(done.error());
}

async::Task<base::Result<>> RecoveredServer::dump(std::string database, fs::path file) {
  const auto self = shared_from_this();
  const std::string id = sql_identifier(database), text = sql_literal(database);
  // The moment may be one at which the claim was gone or its database shut: the role may sign in here in any case. A
  // limit of -2 is PostgreSQL's mark of a database whose files are being removed.
  const std::string there = fmt::format("FROM pg_database WHERE datname = {} AND datconnlimit <> -2", text);
  auto opened = co_await postgres_sql(
      postgres_client(folder_, kPort),
      fmt::format("SELECT 'ALTER ROLE {0} LOGIN CONNECTION LIMIT -1' {1}\\gexec\nSELECT 'ALTER DATABASE {0} WITH "
                  "ALLOW_CONNECTIONS true' {1}\\gexec\nSELECT count(*) {1};\n",
                  id, there));
  if (!opened) co_return std::unexpected(opened.error());
  if (base::trim(*opened) != "1")
    co_return fail(ErrorCode::kInvalid, "spec.toTime: the database was not there at that moment");
  auto dumped = co_await postgres_run(
      postgres_client(self->folder_, kPort),
      {"pg_dump", "--format=custom", "--no-password", "--file=" + file.string(), "--dbname=" + database}, database, "",
      kLimit);
  if (!dumped) co_return std::unexpected(dumped.error());
  co_return base::Result<>{};
}

async::Task<> RecoveredServer::close() {
  const auto self = shared_from_this();
  if (self->process_) {
    self->process_->kill(SIGQUIT);
    const auto ended = co_await async::with_timeout(self->process_->wait(), std::chrono::seconds(5));
    if (!ended) self->process_->kill(SIGKILL);
  }
  co_await self->host_->runtime().blocking([folder = self->folder_] { clear(folder); });
}

}  // namespace mainstay::cloud
