// Makes the bare repository of each Repository object, and copies the refs on disk to its status.
#pragma once
#include <deque>
#include <memory>
#include <set>
#include <string>

#include "capabilities/source/git.h"
#include "capabilities/source/refs.h"
#include "platform/host.h"

namespace mainstay::source {

inline constexpr std::string_view kFinalizer = "mainstay.dev/git";

class RepositoryReconciler {
 public:
  RepositoryReconciler(platform::Host& host, std::shared_ptr<Git> git);

  async::Task<reconcile::Outcome> reconcile(reconcile::Name name);
  // Where refs may have moved: the next pass reads them again, and comes soon.
  void refs_moved(reconcile::Name name);
  // Remembers who is about to move a ref to this commit, for status.refs[ref].pushedBy.
  void note_pusher(const reconcile::Name& name, std::string ref, std::string sha, std::string user);
  void set_controller(reconcile::Controller& controller) { controller_ = &controller; }
  // Called when a repository has gone, before its files do.
  void on_removed(std::function<void(const reconcile::Name&)> hook) { removed_ = std::move(hook); }

 private:
  struct Pusher {
    reconcile::Name name;
    std::string ref, sha, user;
  };
  async::Task<> remove(reconcile::Name name);
  async::Task<> ensure(reconcile::Pass& pass, reconcile::Name name);
  async::Task<> read_refs(reconcile::Pass& pass, reconcile::Name name);
  async::Task<> maintain(std::filesystem::path repository);
  std::string pusher_of(const reconcile::Name& name, const RefChange& change) const;

  platform::Host& host_;
  std::shared_ptr<Git> git_;
  client::ApiClient client_;
  reconcile::Controller* controller_ = nullptr;
  std::function<void(const reconcile::Name&)> removed_;
  std::deque<Pusher> pushers_;             // bounded; the oldest goes first
  std::set<reconcile::Name> read_;         // refs as on disk, as far as we know
  std::map<reconcile::Name, int> pushes_;  // since the last maintenance
  bool maintaining_ = false;
};

}  // namespace mainstay::source
