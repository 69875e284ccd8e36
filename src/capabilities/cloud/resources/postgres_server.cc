#include "capabilities/cloud/resources/postgres_server.h"

#include <charconv>
#include <csignal>

#include "async/sync.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "capabilities/cloud/resources/postgres_archive.h"
#include "capabilities/cloud/resources/unprivileged.h"
#include "platform/interfaces/resources.h"

namespace mainstay::cloud {
namespace fs = std::filesystem;
using base::ErrorCode;
using base::fail;
namespace {

constexpr const char* kUser = kPostgresUser;
constexpr std::uint64_t kMemory = 768ull << 20;

// Who may connect how. Over the network nobody but with a password, over TLS, from the pods' network or this machine;
// the superuser by the socket alone, which root's processes reach and pods do not.
std::string hba(const std::string& pod_cidr) {
  return fmt::format(
      "local all postgres peer map=mainstay\n"
      "local replication postgres peer map=mainstay\n"
      "local all all scram-sha-256\n"
      "host all postgres 0.0.0.0/0 reject\n"
      "hostssl all all {} scram-sha-256\n"
      "hostssl all all 127.0.0.1/32 scram-sha-256\n",
      pod_cidr);
}

std::string configuration(const std::string& address, std::uint16_t port) {
  // Statements are never logged: a password could be in one.
  return fmt::format(
      "listen_addresses = '{}'\nport = {}\nunix_socket_directories = '/mnt/s'\nunix_socket_permissions = 0700\n"
      // Nobody here may subscribe: no process waits for it.
      "max_logical_replication_workers = 0\n"
      "max_connections = 200\nshared_buffers = 32MB\nmax_wal_size = 256MB\nmin_wal_size = 64MB\n"
      // A segment that was begun is closed after five minutes: what a lost disk can cost, where backups are on another.
      "archive_mode = on\narchive_command = '/bin/sh /mnt/archive_wal.sh %p %f'\narchive_timeout = 300\n"
      "ssl = on\nssl_cert_file = '/mnt/tls/server.crt'\nssl_key_file = '/mnt/tls/server.key'\n"
      "ssl_min_protocol_version = 'TLSv1.2'\npassword_encryption = 'scram-sha-256'\n"
      "hba_file = '/mnt/pg_hba.conf'\nident_file = '/mnt/pg_ident.conf'\nexternal_pid_file = '/mnt/server.pid'\n"
      "log_destination = 'stderr'\nlogging_collector = off\nlog_min_messages = fatal\n"
      "log_min_error_statement = panic\nlog_statement = 'none'\nlog_checkpoints = off\n"
      "idle_in_transaction_session_timeout = '10min'\n",
      address, port);
}

// archive_command, with a segment's path and name. It is 0 once the segment is on the disk under its final name. Where
// the disk is nearly full the databases go before their past: the segment is not kept, a mark says so.
constexpr std::string_view kArchiveScript = R"(#!/bin/sh
set -eu
to=/mnt/archive
if [ -e "$to/$2.gz" ]; then
  # Of a run that was killed before the server took note.
  gzip -dc "$to/$2.gz" | cmp -s - "$1"
  exit
fi
free=$(stat -f -c '%a * %S' "$to")
if [ $(($free)) -lt 1073741824 ]; then
  : >"$to/$2.lost"
  exit 0
fi
gzip -1 <"$1" >"$to/$2.part"
sync "$to/$2.part"
mv "$to/$2.part" "$to/$2.gz"
sync "$to"
)";

}  // namespace

PostgresServer::PostgresServer(platform::Host& host)
    : host_(host),
      folder_(host.config().dir("postgres")),
      wal_(host.config().dir("backups") / kLogFolder),
      settled_(host.runtime().executor()) {}

std::string PostgresServer::address() const {
  return host_.config().compute ? host_.config().node_address() : "127.0.0.1";
}

bool PostgresServer::exists() const {
  std::error_code ignored;
  return fs::exists(folder_ / "data" / "PG_VERSION", ignored);
}

platform::Health PostgresServer::health() const {
  if (!engine_) return {true, "PostgreSQL starts with the first claim"};
  return engine_->health();
}

base::Result<> PostgresServer::write_files(std::uint16_t port) const {
  const auto write = [&](const fs::path& name, std::string_view text) -> base::Result<> {
    MAINSTAY_TRY_VOID(base::write_file(folder_ / name, text, 0600));
    return give_to(folder_ / name, kUser);
  };
  MAINSTAY_TRY_VOID(write("pg_hba.conf", hba(host_.config().pod_cidr)));
  MAINSTAY_TRY_VOID(write("pg_ident.conf", "mainstay root postgres\n"));
  MAINSTAY_TRY_VOID(write("archive_wal.sh", kArchiveScript));
  MAINSTAY_TRY_VOID(write("postgresql.conf", configuration(address(), port)));
  const auto key = crypto::PrivateKey::generate();
  crypto::CertificateRequest request;
  request.common_name = "postgres";
  request.ip_addresses = {address()};
  if (address() != "127.0.0.1") request.ip_addresses.emplace_back("127.0.0.1");
  request.server = true;
  MAINSTAY_TRY(const std::string certificate, host_.authority().issue(request, key.public_pem(), host_.clock()));
  MAINSTAY_TRY_VOID(write("tls/server.key", key.to_pem()));
  return write("tls/server.crt", certificate);
}

// Before each start: the cluster where there is none, and the configuration anew.
async::Task<base::Result<>> PostgresServer::prepare() {
  const auto self = shared_from_this();
  auto folders = co_await host_.runtime().blocking([self]() -> base::Result<bool> {
    std::error_code ignored;
    if (!fs::exists(postgres_program("postgres"), ignored))
      return fail(ErrorCode::kUnavailable,
                  fmt::format("there is no PostgreSQL server here: apt-get install {}", kPostgresPackage));
    for (const char* child : {"", "s", "tls", "archive"})
      MAINSTAY_TRY_VOID(make_folder_for(self->folder_ / child, kUser, kPostgresPackage));
    MAINSTAY_TRY_VOID(base::make_directories(self->wal_.parent_path(), 0700));
    if (!self->exists()) MAINSTAY_TRY_VOID(set_aside_archive(self->wal_.parent_path(), self->host_.clock().now()));
    MAINSTAY_TRY_VOID(make_folder_for(self->wal_, kUser, kPostgresPackage));
    MAINSTAY_TRY_VOID(self->write_files(self->port_));
    if (self->exists()) return true;
    // What an initdb left that was killed.
    fs::remove_all(self->folder_ / "data.new", ignored);
    return false;
  });
  if (!folders) co_return std::unexpected(folders.error());
  if (*folders) co_return base::Result<>{};
  async::ProcessOptions init;
  init.argv = as_user(kUser, folder_,
                      {postgres_program("initdb"), "-D", "/mnt/data.new", "--auth-local=peer",
                       "--auth-host=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-instructions"});
  auto made = output_of(co_await async::run_process(std::move(init), "", std::chrono::minutes(2)), "initdb");
  if (!made) co_return std::unexpected(made.error());
  co_return co_await host_.runtime().blocking([self]() -> base::Result<> {
    std::error_code error;
    fs::rename(self->folder_ / "data.new", self->folder_ / "data", error);
    if (error) return fail(ErrorCode::kInternal, "PostgreSQL's data folder: " + error.message());
    return {};
  });
}

async::Task<base::Result<std::string>> PostgresServer::sql(std::string text) {
  co_return co_await postgres_sql(postgres_client(folder_, port_), std::move(text));
}

async::Task<base::Result<std::string>> PostgresServer::client(std::vector<std::string> argv, std::string role,
                                                              std::string password, std::chrono::nanoseconds limit) {
  co_return co_await postgres_run(postgres_client(folder_, port_), std::move(argv), std::move(role),
                                  std::move(password), limit);
}

async::Task<bool> PostgresServer::answers(std::shared_ptr<PostgresServer> self) {
  async::ProcessOptions options = postgres_client(self->folder_, self->port_);
  options.argv = {postgres_program("pg_isready"), "--quiet", "--timeout=2"};
  auto done = co_await async::run_process(std::move(options), "", std::chrono::seconds(5));
  co_return done && done->status.ok();
}

// The process that holds the data folder, by its own word.
async::Task<pid_t> PostgresServer::find_running(std::shared_ptr<PostgresServer> self) {
  co_return co_await self->host_.runtime().blocking([self]() -> pid_t {
    const auto text = base::read_file(self->folder_ / "data" / "postmaster.pid", 4096);
    if (!text) return 0;
    pid_t pid = 0;
    std::from_chars(text->data(), text->data() + text->size(), pid);
    const auto name = base::read_file(fmt::format("/proc/{}/comm", pid), 64);
    return pid > 0 && name && base::trim(*name) == "postgres" && runs_in(pid, self->folder_) ? pid : 0;
  });
}

async::Task<base::Result<>> PostgresServer::begin() {
  if (::geteuid() != 0)
    co_return fail(ErrorCode::kUnavailable, "PostgreSQL runs as a user of its own, which needs Mainstay to be root");
  auto chosen = co_await host_.runtime().blocking([self = shared_from_this()]() -> base::Result<std::uint16_t> {
    const fs::path file = self->folder_ / "port";
    if (const auto kept = base::read_file(file, 16)) {
      std::uint16_t port = 0;
      std::from_chars(kept->data(), kept->data() + kept->size(), port);
      if (port != 0) return port;
    }
    MAINSTAY_TRY_VOID(base::make_directories(self->folder_, 0700));
    MAINSTAY_TRY(const auto port,
                 free_port(self->address(), platform::kFirstResourcePort, platform::kFirstResourcePort + 20));
    MAINSTAY_TRY_VOID(base::write_file(file, std::to_string(port), 0600));
    return port;
  });
  if (!chosen) co_return std::unexpected(chosen.error());
  port_ = *chosen;
  if (!engine_) {
    // The engine is this object's and lives no longer: its hooks may not hold it.
    platform::EngineOptions o;
    o.name = "postgres";
    o.argv = as_user(kUser, folder_,
                     {postgres_program("postgres"), "-D", "/mnt/data", "-c", "config_file=/mnt/postgresql.conf"},
                     {.archive = wal_});
    o.memory_limit_bytes = kMemory;
    o.detached = true;
    o.stop_signal = 2;  // SIGINT: ends the connections, then itself
    o.stop_limit = std::chrono::seconds(10);
    o.start_limit = std::chrono::minutes(2);  // recovery after a crash takes its time
    o.ready = [self = this](pid_t) { return answers(self->shared_from_this()); };
    o.find_running = [self = this] { return find_running(self->shared_from_this()); };
    o.prepare = [self = this] { return self->prepare(); };
    engine_ = std::make_unique<platform::Engine>(host_, std::move(o));
  }
  // From here on the engine starts it again by itself, also where it fails at first.
  begun_ = true;
  co_return co_await engine_->start();
}

// What follows a start, ours or an earlier Mainstay's.
async::Task<base::Result<>> PostgresServer::greet() {
  if (engine_->adopted()) {
    // Its certificate is renewed while it runs.
    auto written =
        co_await host_.runtime().blocking([self = shared_from_this()] { return self->write_files(self->port_); });
    if (!written) co_return written;
    auto archives = co_await sql("SELECT pg_reload_conf();\nSHOW archive_mode;\n");
    if (!archives) co_return std::unexpected(archives.error());
    if (!archives->contains("on")) {
      // An earlier version started it: only a start turns archiving on. The engine starts it again by itself.
      if (const pid_t server = engine_->pid(); server > 0) ::kill(server, SIGINT);
      co_return fail(ErrorCode::kUnavailable, "PostgreSQL is started again, to keep its log for restores");
    }
  }
  // Every database of a claim names who may connect; these are the server's own.
  auto closed = co_await sql("REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;");
  if (!closed) co_return std::unexpected(closed.error());
  base::log::info("cloud", "PostgreSQL serves at {}:{}", address(), port_);
  greeted_ = true;
  co_return base::Result<>{};
}

async::Task<base::Result<>> PostgresServer::ensure() {
  const auto self = shared_from_this();
  while (self->beginning_) co_await self->settled_.wait();
  if (self->begun_ && self->greeted_ && self->engine_->running()) co_return base::Result<>{};
  struct Beginning {
    PostgresServer& server;
    ~Beginning() {
      server.beginning_ = false;
      server.settled_.notify_all();
    }
  };
  self->beginning_ = true;
  const Beginning mark{*self};
  if (!self->begun_) MAINSTAY_CO_TRY_VOID(co_await self->begin());
  if (!self->engine_->running()) co_return fail(ErrorCode::kUnavailable, self->engine_->health().message);
  if (!self->greeted_) co_return co_await self->greet();
  co_return base::Result<>{};
}

async::Task<> PostgresServer::wait_until_serving() {
  const auto self = shared_from_this();
  while (!self->greeted_) co_await self->settled_.wait();
}

async::Task<> PostgresServer::stop() {
  const auto self = shared_from_this();
  if (self->engine_) co_await self->engine_->stop();
}

}  // namespace mainstay::cloud
