// From a branch head to a workflow run: sees Repository.status.refs move and makes the runs of the workflows that a
// push there starts.
#pragma once
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/sync.h"
#include "platform/host.h"
#include "platform/interfaces/git.h"

namespace mainstay::pipelines {

// What became of one ref's move.
struct Decision {
  reconcile::Name repository;
  std::string ref, commit;
  std::vector<std::string> runs;  // their names
  std::vector<std::string> note;  // where there are none: why, and what to do
};

class Trigger {
 public:
  Trigger(platform::Host& host);
  void start();  // looks up the git reader
  async::Task<reconcile::Outcome> reconcile(reconcile::Name name);
  // Waits for the decision about a ref at a commit; nullopt after `limit`.
  async::Task<std::optional<Decision>> decision(reconcile::Name repository, std::string ref, std::string commit,
                                                std::chrono::nanoseconds limit);

 private:
  async::Task<Decision> decide(const boost::json::value& repository, reconcile::Name name, std::string ref,
                               const boost::json::value& entry);
  async::Task<std::string> make_run(const boost::json::value& repository, reconcile::Name name, std::string ref,
                                    std::string commit, const boost::json::value& entry, std::string workflow);
  std::string first_environment(const std::string& team) const;
  void remember(Decision decision);

  platform::Host& host_;
  client::ApiClient client_;
  std::shared_ptr<platform::GitReader> git_;
  std::deque<Decision> decisions_;  // bounded
  async::Event decided_;
};

// "web-1a2b3c4-x5k2p": the same for the same move of the same ref, so that making it twice makes one.
std::string run_name(const reconcile::Name& repository, std::string_view ref, std::string_view commit,
                     std::string_view moved_at, std::string_view workflow);
bool skips_ci(std::string_view message);

}  // namespace mainstay::pipelines
