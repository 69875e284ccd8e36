#include "capabilities/cloud/resources/postgres_server.h"

#include <charconv>

#include "async/sync.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "capabilities/cloud/resources/unprivileged.h"
#include "platform/interfaces/resources.h"

namespace mainstay::cloud {
namespace fs = std::filesystem;
using base::ErrorCode;
using base::fail;
namespace {

constexpr const char* kUser = "postgres";
constexpr const char* kPrograms = "/usr/lib/postgresql/15/bin";
constexpr std::uint64_t kMemory = 768ull << 20;
constexpr const char* kPackage = "apt-get install postgresql-15";

// Who may connect how. Over the network nobody but with a password, over TLS, from the pods' network or this machine;
// the superuser by the socket alone, which root's processes reach and pods do not.
std::string hba(const std::string& pod_cidr) {
  return fmt::format(
      "local all postgres peer map=mainstay\n"
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
      "max_connections = 200\nshared_buffers = 32MB\nmax_wal_size = 256MB\nmin_wal_size = 64MB\n"
      "ssl = on\nssl_cert_file = '/mnt/tls/server.crt'\nssl_key_file = '/mnt/tls/server.key'\n"
      "ssl_min_protocol_version = 'TLSv1.2'\npassword_encryption = 'scram-sha-256'\n"
      "hba_file = '/mnt/pg_hba.conf'\nident_file = '/mnt/pg_ident.conf'\nexternal_pid_file = '/mnt/server.pid'\n"
      "log_destination = 'stderr'\nlogging_collector = off\nlog_min_messages = fatal\n"
      "log_min_error_statement = panic\nlog_statement = 'none'\nlog_checkpoints = off\n"
      "idle_in_transaction_session_timeout = '10min'\n",
      address, port);
}

base::Result<std::string> output_of(base::Result<async::ProcessOutput> done, std::string_view what) {
  if (!done) return std::unexpected(done.error());
  if (done->status.ok()) return std::move(done->out);
  std::string_view said = base::trim(done->err);
  if (said.size() > 600) said = said.substr(0, 600);
  return fail(ErrorCode::kUnavailable, fmt::format("{}: {}", what, said));
}

}  // namespace

std::string sql_literal(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\0') continue;
    if (c == '\'') out += '\'';
    out += c;
  }
  // A backslash is plain: standard_conforming_strings is on, and psql's own commands begin outside of quotes only.
  return out + "'";
}

std::string sql_identifier(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) {
    if (c == '\0') continue;
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

PostgresServer::PostgresServer(platform::Host& host)
    : host_(host), folder_(host.config().dir("postgres")), settled_(host.runtime().executor()) {}

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
    if (!fs::exists(fs::path(kPrograms) / "postgres", ignored))
      return fail(ErrorCode::kUnavailable, fmt::format("there is no PostgreSQL server here: {}", kPackage));
    for (const char* child : {"", "s", "tls"})
      MAINSTAY_TRY_VOID(make_folder_for(self->folder_ / child, kUser, "postgresql-15"));
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
                      {std::string(kPrograms) + "/initdb", "-D", "/mnt/data.new", "--auth-local=peer",
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

async::ProcessOptions PostgresServer::client_options() const {
  async::ProcessOptions options;
  // The socket is named by the working directory: its own path may be longer than a socket's may be.
  options.working_directory = folder_;
  options.env = {{"PGHOST", "/proc/self/cwd/s"},
                 {"PGPORT", std::to_string(port_)},
                 {"PGCONNECT_TIMEOUT", "10"},
                 {"HOME", "/nonexistent"}};
  return options;
}

async::Task<base::Result<std::string>> PostgresServer::sql(std::string text) {
  async::ProcessOptions options = client_options();
  options.argv = {std::string(kPrograms) + "/psql",
                  "--no-psqlrc",
                  "--quiet",
                  "--tuples-only",
                  "--no-align",
                  "--field-separator=\t",
                  "--set=ON_ERROR_STOP=1",
                  "--no-password",
                  "--username=postgres",
                  "--dbname=postgres"};
  co_return output_of(co_await async::run_process(std::move(options), std::move(text), std::chrono::minutes(2)),
                      "PostgreSQL");
}

async::Task<base::Result<std::string>> PostgresServer::client(std::vector<std::string> argv, std::string role,
                                                              std::string password, std::chrono::nanoseconds limit) {
  async::ProcessOptions options = client_options();
  const std::string program = argv.at(0);
  argv[0] = std::string(kPrograms) + "/" + program;
  options.argv = std::move(argv);
  options.env["PGUSER"] = std::move(role);
  options.env["PGPASSWORD"] = std::move(password);
  co_return output_of(co_await async::run_process(std::move(options), "", limit), program);
}

async::Task<bool> PostgresServer::answers(std::shared_ptr<PostgresServer> self) {
  async::ProcessOptions options = self->client_options();
  options.argv = {std::string(kPrograms) + "/pg_isready", "--quiet", "--timeout=2"};
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
    o.argv =
        as_user(kUser, folder_,
                {std::string(kPrograms) + "/postgres", "-D", "/mnt/data", "-c", "config_file=/mnt/postgresql.conf"});
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
    if (auto reloaded = co_await sql("SELECT pg_reload_conf();"); !reloaded)
      co_return std::unexpected(reloaded.error());
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

async::Task<> PostgresServer::stop() {
  const auto self = shared_from_this();
  if (self->engine_) co_await self->engine_->stop();
}

}  // namespace mainstay::cloud
