// A PostgreSQL server as it was at a moment: a base backup, and the log since replayed up to the moment. It serves on a
// socket that only root reaches, limited in memory, for as long as one restore takes, in DIR/postgres-recovery. It dies
// with Mainstay, and what a kill leaves on the disk goes at the next start. One at a time.
#pragma once
#include <filesystem>
#include <memory>
#include <string>

#include "async/process.h"
#include "platform/host.h"

namespace mainstay::cloud {

class RecoveredServer : public std::enable_shared_from_this<RecoveredServer> {
 public:
  // Until it answers. kInvalid: the log ends before the moment.
  static async::Task<base::Result<std::shared_ptr<RecoveredServer>>> open(platform::Host* host,
                                                                          std::filesystem::path base_tar,
                                                                          std::filesystem::path log,
                                                                          base::SystemTime moment);
  // One database into a file, as its own role: what the database holds can do no more than its team can. kInvalid:
  // there was none of this name.
  async::Task<base::Result<>> dump(std::string database, std::filesystem::path file);
  // To be awaited before it goes.
  async::Task<> close();
  // Ends what an earlier Mainstay left and removes its files. Blocking.
  static void clear(const std::filesystem::path& folder);

  RecoveredServer(platform::Host* host, std::filesystem::path folder) : host_(host), folder_(std::move(folder)) {}

 private:
  static async::Task<base::Result<>> unpack(std::shared_ptr<RecoveredServer> self, std::filesystem::path base_tar);
  static async::Task<base::Result<>> serve(std::shared_ptr<RecoveredServer> self, std::filesystem::path log);
  static async::Task<> listen(std::shared_ptr<RecoveredServer> self);
  static async::Task<> drain(std::shared_ptr<RecoveredServer> self);
  void hear(std::string_view line);

  platform::Host* host_;
  std::filesystem::path folder_;
  std::unique_ptr<async::Process> process_;
  bool ready_ = false;
  std::string trouble_;  // the last it said that was fatal
};

// A line of its log without a prefix: what is worth telling, "" for what is not. Pure.
std::string recovery_trouble(std::string_view line);

}  // namespace mainstay::cloud
