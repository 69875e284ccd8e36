#include "capabilities/cloud/resources/postgres_driver.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>

#include "base/files.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/strings.h"

namespace mainstay::cloud {
namespace fs = std::filesystem;
using base::ErrorCode;
using base::fail;
using platform::ClaimRequest;
using platform::Provisioned;
using platform::ResourceBackup;
namespace {

constexpr std::chrono::minutes kCopyLimit{30};
constexpr std::size_t kKeptBackups = 10;
constexpr std::int64_t kMostConnections = 100;

std::string credential(const ClaimRequest& claim, const std::string& key) {
  const auto at = claim.credentials.find(key);
  return at == claim.credentials.end() ? "" : at->second;
}

// The database is open, and the halves of a restore that was interrupted are gone.
std::string mend_sql(const std::string& name) {
  return fmt::format(
      "ALTER DATABASE {} WITH ALLOW_CONNECTIONS true;\nDROP DATABASE IF EXISTS {} WITH (FORCE);\n"
      "DROP DATABASE IF EXISTS {} WITH (FORCE);\n",
      sql_identifier(name), sql_identifier(name + "_new"), sql_identifier(name + "_old"));
}

// Role and database, made where missing. Each statement may be met again by the next try after a crash.
std::string provision_sql(const std::string& name, const std::string& password, std::int64_t connections) {
  const std::string id = sql_identifier(name), text = sql_literal(name);
  return fmt::format(
      "SELECT 'CREATE ROLE {0}' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {1})\\gexec\n"
      "ALTER ROLE {0} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT {2} "
      "PASSWORD {3};\n"
      "SELECT 'CREATE DATABASE {0} OWNER {0}' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = {1})\\gexec\n"
      "{4}REVOKE ALL ON DATABASE {0} FROM PUBLIC;\n",
      id, text, connections, sql_literal(password), mend_sql(name));
}

std::vector<ResourceBackup> list_folder(const fs::path& folder) {
  std::vector<ResourceBackup> out;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (entry.path().extension() != ".dump") continue;
    std::error_code gone;
    const auto bytes = entry.file_size(gone);
    if (!gone) out.push_back({entry.path().stem().string(), bytes});
  }
  std::ranges::sort(out, {}, &ResourceBackup::name);
  return out;
}

// Durable under its final name, and the oldest beyond the limit gone.
base::Result<ResourceBackup> keep(const fs::path& part, const fs::path& final_name) {
  const int fd = ::open(part.c_str(), O_RDONLY | O_CLOEXEC);
  const bool synced = fd >= 0 && ::fsync(fd) == 0;
  if (fd >= 0) ::close(fd);
  std::error_code error;
  if (synced) fs::rename(part, final_name, error);
  if (!synced || error)
    return fail(ErrorCode::kInternal, fmt::format("the backup {} cannot be kept on the disk", final_name.string()));
  const int folder = ::open(final_name.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder >= 0) {
    ::fsync(folder);
    ::close(folder);
  }
  std::vector<ResourceBackup> all = list_folder(final_name.parent_path());
  for (std::size_t i = 0; i + kKeptBackups < all.size(); ++i)
    fs::remove(final_name.parent_path() / (all[i].name + ".dump"), error);
  return ResourceBackup{final_name.stem().string(), fs::file_size(final_name, error)};
}

bool valid_backup_name(std::string_view name) {
  return !name.empty() && name.size() <= 40 &&
         std::ranges::all_of(name, [](char c) { return (c >= '0' && c <= '9') || c == 'T' || c == 'Z'; });
}

// The claim's place in the set for as long as this lives.
struct Busy {
  std::set<std::string>& all;
  std::string id;
  ~Busy() { all.erase(id); }
};

}  // namespace

std::string database_of(const ClaimRequest& claim) { return "c_" + claim.id; }

PostgresDriver::PostgresDriver(platform::Host& host, std::shared_ptr<PostgresServer> server,
                               std::shared_ptr<PostgresRecovery> recovery)
    : host_(host), server_(std::move(server)), recovery_(std::move(recovery)) {}

fs::path PostgresDriver::folder(const ClaimRequest& claim) const {
  return host_.config().dir("backups") / "postgres" / database_of(claim);
}

async::Task<base::Result<Provisioned>> PostgresDriver::provision(ClaimRequest claim) {
  const std::string name = database_of(claim);
  MAINSTAY_CO_TRY_VOID(platform::check_params(claim, {"connections"}));
  std::int64_t connections = 40;
  for (const boost::json::object* from : {&claim.parameters, &claim.params})
    if (const boost::json::value* wanted = from->if_contains("connections")) {
      if (!wanted->is_int64() || wanted->as_int64() < 1 || wanted->as_int64() > kMostConnections)
        co_return fail(ErrorCode::kInvalid,
                       fmt::format("params.connections must be a number from 1 to {}", kMostConnections));
      connections = wanted->as_int64();
    }
  // A password that somebody emptied or spoilt is made anew.
  std::string password = credential(claim, "password");
  if (password.size() < 16 || password.size() > 128) password = base::random_hex(24);
  MAINSTAY_CO_TRY_VOID(co_await server_->ensure());
  const std::string wanted = fmt::format("{} {}", connections, password);
  if (made_[claim.id] != wanted) {
    // Nor does one begin meanwhile: mend_sql() would drop the database that it fills.
    if (!busy_.insert(claim.id).second) co_return fail(ErrorCode::kUnavailable, "a backup or restore is under way");
    const Busy mark{busy_, claim.id};
    auto done = co_await server_->sql(provision_sql(name, password, connections));
    if (!done) co_return std::unexpected(done.error());
    made_[claim.id] = wanted;
  }
  Provisioned out;
  const std::string port = std::to_string(server_->port());
  out.outputs = {{"host", server_->address()}, {"port", port}, {"name", name}, {"username", name}};
  out.secrets = {{"password", password},
                 {"uri", fmt::format("postgresql://{}:{}@{}:{}/{}?sslmode=require", name, password, server_->address(),
                                     port, name)}};
  co_return out;
}

async::Task<base::Result<>> PostgresDriver::release(ClaimRequest claim, bool keep_data) {
  // Or the end of a restore would make again what goes here.
  if (busy_.contains(claim.id)) co_return fail(ErrorCode::kUnavailable, "a backup or restore is under way");
  const std::string name = database_of(claim), id = sql_identifier(name);
  made_.erase(claim.id);
  // Nothing was ever made where there is no server.
  if (!server_->exists()) co_return base::Result<>{};
  MAINSTAY_CO_TRY_VOID(co_await server_->ensure());
  if (keep_data) {
    auto shut = co_await server_->sql(
        fmt::format("SELECT 'ALTER ROLE {0} NOLOGIN PASSWORD NULL' WHERE EXISTS (SELECT FROM pg_roles WHERE rolname = "
                    "{1})\\gexec\nSELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = {1};\n",
                    id, sql_literal(name)));
    if (!shut) co_return std::unexpected(shut.error());
    co_return base::Result<>{};
  }
  // Files go before the transaction is over, and recovery stops at the ends of transactions: an empty one makes moments
  // up to here distinct from the end.
  auto gone =
      co_await server_->sql(fmt::format("SELECT pg_current_xact_id();\nDROP DATABASE IF EXISTS {0} WITH (FORCE);\nDROP "
                                        "DATABASE IF EXISTS {1} WITH (FORCE);\n"
                                        "DROP DATABASE IF EXISTS {2} WITH (FORCE);\nDROP ROLE IF EXISTS {0};\n",
                                        id, sql_identifier(name + "_new"), sql_identifier(name + "_old")));
  if (!gone) co_return std::unexpected(gone.error());
  co_await host_.runtime().blocking([where = folder(claim)] {
    std::error_code ignored;
    fs::remove_all(where, ignored);
  });
  co_return base::Result<>{};
}

async::Task<base::Result<std::map<std::string, double>>> PostgresDriver::measure(ClaimRequest claim) {
  if (!server_->exists()) co_return fail(ErrorCode::kUnavailable, "PostgreSQL does not run");
  MAINSTAY_CO_TRY_VOID(co_await server_->ensure());
  auto rows = co_await server_->sql(
      fmt::format("SELECT pg_database_size(d.oid), s.numbackends, r.rolconnlimit, s.xact_commit + s.xact_rollback FROM "
                  "pg_database d JOIN pg_stat_database s ON s.datid = d.oid JOIN pg_roles r ON r.rolname = d.datname "
                  "WHERE d.datname = {};\n",
                  sql_literal(database_of(claim))));
  if (!rows) co_return std::unexpected(rows.error());
  std::istringstream in(*rows);
  std::map<std::string, double> out;
  for (const char* name : {"size_bytes", "connections", "connections_limit", "transactions_total"})
    if (double value = 0; in >> value) out[name] = value;
  co_return out;
}

async::Task<base::Result<ResourceBackup>> PostgresDriver::backup(ClaimRequest claim) {
  if (!busy_.insert(claim.id).second)
    co_return fail(ErrorCode::kConflict, "a backup or restore of this database is under way; wait for its end");
  const Busy mark{busy_, claim.id};
  MAINSTAY_CO_TRY_VOID(co_await server_->ensure());
  std::string name = base::rfc3339(host_.clock().now());
  std::erase_if(name, [](char c) { return c == '-' || c == ':'; });
  const fs::path where = folder(claim), part = where / (name + ".part");
  auto made = co_await host_.runtime().blocking([where]() -> base::Result<> {
    MAINSTAY_TRY_VOID(base::make_directories(where, 0700));
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(where, ignored))
      if (entry.path().extension() == ".part") fs::remove(entry.path(), ignored);
    return {};
  });
  if (!made) co_return std::unexpected(made.error());
  // As the team's own role: what the database holds can then do no more than the team can.
  auto dumped = co_await server_->client(
      {"pg_dump", "--format=custom", "--no-password", "--file=" + part.string(), "--dbname=" + database_of(claim)},
      database_of(claim), credential(claim, "password"), kCopyLimit);
  if (!dumped) co_return std::unexpected(dumped.error());
  co_return co_await host_.runtime().blocking(
      [part, final_name = where / (name + ".dump")] { return keep(part, final_name); });
}

// Into a new database, which then takes the old one's place in one transaction.
async::Task<base::Result<>> PostgresDriver::fill_and_swap(ClaimRequest claim, fs::path file) {
  const std::string name = database_of(claim), next = name + "_new", old = name + "_old";
  const std::string id = sql_identifier(name), next_id = sql_identifier(next), old_id = sql_identifier(old);
  auto prepared = co_await server_->sql(fmt::format(
      "DROP DATABASE IF EXISTS {0} WITH (FORCE);\nDROP DATABASE IF EXISTS {1} WITH (FORCE);\nCREATE DATABASE {0} OWNER "
      "{2};\nREVOKE ALL ON DATABASE {0} FROM PUBLIC;\n",
      next_id, old_id, id));
  if (!prepared) co_return std::unexpected(prepared.error());
  auto filled = co_await server_->client({"pg_restore", "--no-owner", "--no-privileges", "--exit-on-error",
                                          "--single-transaction", "--no-password", "--dbname=" + next, file.string()},
                                         name, credential(claim, "password"), kCopyLimit);
  if (!filled) co_return std::unexpected(filled.error());
  auto swapped = co_await server_->sql(
      fmt::format("ALTER DATABASE {0} WITH ALLOW_CONNECTIONS false;\n"
                  "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname IN ({3}, {4});\n"
                  "BEGIN;\nALTER DATABASE {0} RENAME TO {2};\nALTER DATABASE {1} RENAME TO {0};\nCOMMIT;\n"
                  "DROP DATABASE IF EXISTS {2} WITH (FORCE);\n",
                  id, next_id, old_id, sql_literal(name), sql_literal(next)));
  if (!swapped) co_return std::unexpected(swapped.error());
  co_return base::Result<>{};
}

async::Task<base::Result<>> PostgresDriver::restore(ClaimRequest claim, std::string backup) {
  if (!valid_backup_name(backup))
    co_return fail(ErrorCode::kInvalid,
                   fmt::format("backup \"{}\": not a name that status.backups lists", backup.substr(0, 60)));
  if (!busy_.insert(claim.id).second)
    co_return fail(ErrorCode::kConflict, "a backup or restore of this database is under way; wait for its end");
  const Busy mark{busy_, claim.id};
  const fs::path file = folder(claim) / (backup + ".dump");
  const bool there = co_await host_.runtime().blocking([file] {
    std::error_code ignored;
    return fs::exists(file, ignored);
  });
  if (!there) co_return fail(ErrorCode::kNotFound, fmt::format("there is no backup {}; see status.backups", backup));
  MAINSTAY_CO_TRY_VOID(co_await server_->ensure());
  co_return co_await put_in_place(std::move(claim), file);
}

async::Task<base::Result<>> PostgresDriver::put_in_place(ClaimRequest claim, fs::path file) {
  auto done = co_await fill_and_swap(claim, std::move(file));
  auto mended = co_await server_->sql(mend_sql(database_of(claim)));
  // Role and settings are as they were, unless something went wrong: then the next pass looks at everything again.
  if (!done || !mended) made_.erase(claim.id);
  if (!done) co_return done;
  if (!mended) co_return std::unexpected(mended.error());
  co_return base::Result<>{};
}

async::Task<base::Result<>> PostgresDriver::restore_to(ClaimRequest claim, base::SystemTime moment) {
  if (!busy_.insert(claim.id).second)
    co_return fail(ErrorCode::kConflict, "a backup or restore of this database is under way; wait for its end");
  const Busy mark{busy_, claim.id};
  const fs::path where = folder(claim), file = where / "moment.part";
  MAINSTAY_CO_TRY_VOID(co_await host_.runtime().blocking([where] { return base::make_directories(where, 0700); }));
  base::Result<> done = co_await recovery_->dump_at(database_of(claim), moment, file);
  if (done) done = co_await put_in_place(std::move(claim), file);
  co_await host_.runtime().blocking([file] {
    std::error_code ignored;
    fs::remove(file, ignored);
  });
  co_return done;
}

async::Task<std::vector<ResourceBackup>> PostgresDriver::backups(ClaimRequest claim) {
  co_return co_await host_.runtime().blocking([where = folder(claim)] { return list_folder(where); });
}

}  // namespace mainstay::cloud
