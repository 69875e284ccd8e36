// Point-in-time recovery: base backups of the server by schedule, and one database as it was at a moment.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "capabilities/cloud/resources/postgres_archive.h"
#include "capabilities/cloud/resources/postgres_server.h"

namespace mainstay::cloud {

class PostgresRecovery : public std::enable_shared_from_this<PostgresRecovery> {
 public:
  PostgresRecovery(platform::Host& host, std::shared_ptr<PostgresServer> server);
  // For as long as the program runs: a base backup with the first database and then where base_due() says so; what is
  // beyond the limits goes.
  static async::Task<> run(std::shared_ptr<PostgresRecovery> self);
  // The database at the moment, as a file for pg_restore. One at a time: kConflict.
  async::Task<base::Result<>> dump_at(std::string database, base::SystemTime moment, std::filesystem::path file);
  // As of the last look.
  std::optional<platform::RecoveryWindow> window() const { return window_; }
  // Why the log is not kept; "" where it is.
  const std::string& trouble() const { return trouble_; }

 private:
  async::Task<PostgresArchive> look();
  async::Task<base::Result<>> tend();
  async::Task<base::Result<>> make_base();
  async::Task<base::Result<>> flush_log();
  async::Task<base::Result<std::uint64_t>> server_bytes();  // of all databases
  async::Task<base::Result<>> recover(std::string database, base::SystemTime moment, std::filesystem::path file);

  platform::Host& host_;
  std::shared_ptr<PostgresServer> server_;
  std::filesystem::path bases_;  // DIR/backups/postgres-base
  ArchiveLimits limits_;
  std::optional<platform::RecoveryWindow> window_;
  std::string trouble_;
  bool recovering_ = false;
};

}  // namespace mainstay::cloud
