// A Redis server of its own for each claim: an engine of its own user, with a password, append-only, small.
#pragma once
#include <map>
#include <memory>
#include <set>

#include "platform/engine.h"
#include "platform/host.h"
#include "platform/interfaces/resources.h"

namespace mainstay::cloud {

class RedisDriver final : public platform::ResourceDriver, public std::enable_shared_from_this<RedisDriver> {
 public:
  explicit RedisDriver(platform::Host& host) : host_(host) {}
  async::Task<base::Result<platform::Provisioned>> provision(platform::ClaimRequest claim) override;
  async::Task<base::Result<>> release(platform::ClaimRequest claim, bool keep) override;
  // A copy of the append-only files, taken while it serves; a restore stops it for a moment.
  async::Task<base::Result<platform::ResourceBackup>> backup(platform::ClaimRequest claim) override;
  async::Task<base::Result<>> restore(platform::ClaimRequest claim, std::string backup) override;
  async::Task<std::vector<platform::ResourceBackup>> backups(platform::ClaimRequest claim) override;
  // size_bytes (its files), memory_bytes, memory_limit_bytes, connections, keys, commands_total.
  async::Task<base::Result<std::map<std::string, double>>> measure(platform::ClaimRequest claim) override;
  // Why one of them does not run; ok where all do.
  platform::Health health() const;
  async::Task<> stop();

 private:
  struct Instance {
    std::uint16_t port = 0;
    std::string configuration;  // the file's text, the password's hash included
    std::unique_ptr<platform::Engine> engine;
  };
  std::filesystem::path folder(const std::string& id) const;
  std::string address() const;
  base::Result<std::uint16_t> port_of(const std::string& id) const;
  platform::EngineOptions engine_options(const std::string& id, Instance& instance);
  async::Task<base::Result<>> start_anew(std::string id, std::shared_ptr<Instance> instance);
  static async::Task<pid_t> find_running(std::shared_ptr<RedisDriver> self, std::string id);
  static async::Task<bool> answers(std::shared_ptr<RedisDriver> self, std::uint16_t port);

  platform::Host& host_;
  std::filesystem::path backup_folder(const std::string& id) const;  // DIR/backups/redis/<id>

  std::set<std::string> busy_;                                  // ids with a backup or restore under way
  std::map<std::string, std::shared_ptr<Instance>> instances_;  // by the claim's id
};

// The figures of what Redis answers to INFO. Pure.
std::map<std::string, double> redis_figures(std::string_view info);

// redis.conf. The password goes in by its SHA-256 alone. Pure.
std::string redis_configuration(const std::string& address, std::uint16_t port, const std::string& password_sha256,
                                std::int64_t memory_mebibytes);

}  // namespace mainstay::cloud
