// The platform's PostgreSQL server: an engine of its own user, started on first need, detached so that databases serve
// on while Mainstay restarts. DIR/postgres holds data, socket and certificate; the socket is root's and the server's
// alone.
#pragma once
#include <memory>
#include <string>

#include "async/sync.h"
#include "capabilities/cloud/resources/postgres_programs.h"
#include "platform/engine.h"
#include "platform/host.h"

namespace mainstay::cloud {

class PostgresServer : public std::enable_shared_from_this<PostgresServer> {
 public:
  explicit PostgresServer(platform::Host& host);
  // Runs and answers; begins it at the first call. kUnavailable says what is missing.
  async::Task<base::Result<>> ensure();
  // Until it has served for the first time in this process, whoever began it.
  async::Task<> wait_until_serving();
  // As postgres_sql().
  async::Task<base::Result<std::string>> sql(std::string text);
  // A client program (pg_dump, pg_restore) over the socket as a team's own role.
  async::Task<base::Result<std::string>> client(std::vector<std::string> argv, std::string role, std::string password,
                                                std::chrono::nanoseconds limit);
  std::string address() const;
  std::uint16_t port() const { return port_; }
  // The write-ahead log, a compressed file a segment, kept there by the server itself. DIR/backups/postgres-wal
  const std::filesystem::path& wal_folder() const { return wal_; }
  // In DIR, and once it is there it is begun at each start.
  bool exists() const;
  platform::Health health() const;
  async::Task<> stop();

 private:
  async::Task<base::Result<>> prepare();
  base::Result<> write_files(std::uint16_t port) const;
  async::Task<base::Result<>> begin();
  async::Task<base::Result<>> greet();
  static async::Task<bool> answers(std::shared_ptr<PostgresServer> self);
  static async::Task<pid_t> find_running(std::shared_ptr<PostgresServer> self);

  platform::Host& host_;
  std::filesystem::path folder_, wal_;
  std::unique_ptr<platform::Engine> engine_;
  bool beginning_ = false, begun_ = false, greeted_ = false;
  async::Event settled_;
  std::uint16_t port_ = 0;
};

}  // namespace mainstay::cloud
