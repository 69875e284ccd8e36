// A database and a role of the platform's PostgreSQL server for each claim.
#pragma once
#include <map>
#include <memory>
#include <set>

#include "capabilities/cloud/resources/postgres_recovery.h"
#include "platform/interfaces/resources.h"

namespace mainstay::cloud {

class PostgresDriver final : public platform::ResourceDriver {
 public:
  PostgresDriver(platform::Host& host, std::shared_ptr<PostgresServer> server,
                 std::shared_ptr<PostgresRecovery> recovery);
  async::Task<base::Result<platform::Provisioned>> provision(platform::ClaimRequest claim) override;
  async::Task<base::Result<>> release(platform::ClaimRequest claim, bool keep) override;
  // size_bytes, connections, connections_limit, transactions_total.
  async::Task<base::Result<std::map<std::string, double>>> measure(platform::ClaimRequest claim) override;
  async::Task<base::Result<platform::ResourceBackup>> backup(platform::ClaimRequest claim) override;
  async::Task<base::Result<>> restore(platform::ClaimRequest claim, std::string backup) override;
  async::Task<std::vector<platform::ResourceBackup>> backups(platform::ClaimRequest claim) override;
  async::Task<base::Result<>> restore_to(platform::ClaimRequest claim, base::SystemTime moment) override;
  std::optional<platform::RecoveryWindow> recovery_window() const override { return recovery_->window(); }

 private:
  // DIR/backups/postgres/<database>
  std::filesystem::path folder(const platform::ClaimRequest& claim) const;
  async::Task<base::Result<>> fill_and_swap(platform::ClaimRequest claim, std::filesystem::path file);
  async::Task<base::Result<>> put_in_place(platform::ClaimRequest claim, std::filesystem::path file);

  platform::Host& host_;
  std::shared_ptr<PostgresServer> server_;
  std::shared_ptr<PostgresRecovery> recovery_;
  std::map<std::string, std::string> made_;  // id -> what was set last by this process, so that a pass costs nothing
  std::set<std::string> busy_;               // ids with a backup or restore under way
};

// The role's and the database's name of a claim. Names of databases can be seen by every role of a server, so this one
// says nothing.
std::string database_of(const platform::ClaimRequest& claim);

}  // namespace mainstay::cloud
