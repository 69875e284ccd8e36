// git's smart HTTP protocol (gitprotocol-http(5), versions 0 to 2) over git's own upload-pack and receive-pack.
#pragma once
#include <memory>
#include <set>
#include <string>

#include "api/route.h"
#include "async/sync.h"
#include "capabilities/source/git.h"
#include "capabilities/source/repository_reconcile.h"
#include "platform/host.h"

namespace mainstay::source {

// At most `slots` holders at once, at most `queue` who wait.
class Slots {
 public:
  Slots(async::Executor executor, int slots, int queue) : changed_(executor), free_(slots), queue_(queue) {}
  class Held {
   public:
    explicit Held(std::shared_ptr<Slots> slots) : slots_(std::move(slots)) {}
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    ~Held() {
      ++slots_->free_;
      slots_->changed_.notify_all();
    }

   private:
    std::shared_ptr<Slots> slots_;
  };
  // Throws StatusError 503 where the queue is full or nothing became free within a minute.
  static async::Task<std::shared_ptr<Held>> take(std::shared_ptr<Slots> slots);

 private:
  async::Event changed_;
  int free_, queue_, waiting_ = 0;
};

// A running git process whose output is read by a task of its own, so that it never depends on a client's pace to end.
struct GitStream {
  explicit GitStream(async::Executor executor) : output(executor, 16) {}
  std::unique_ptr<async::Process> process;
  async::Channel<std::string> output;  // closed at the process's end
  std::string errors;                  // the start of its standard error
  async::ExitStatus exit;
  std::shared_ptr<Slots::Held> slot;
  bool kill_when_abandoned = true;
  std::function<void(GitStream&)> at_end;
  // Nobody reads the output any more.
  void abandon();
};

// What a push says to the client after git's own report.
struct PushProgress {
  explicit PushProgress(async::Executor executor) : lines(executor, 256) {}
  async::Channel<std::string> lines;
};

class SmartHttp : public std::enable_shared_from_this<SmartHttp> {
 public:
  SmartHttp(platform::Host& host, std::shared_ptr<Git> git, std::shared_ptr<RepositoryReconciler> repositories);
  // Adds the routes below /git/.
  void add_routes();
  // Ends the progress of pushes under way with a word of why; their runs go on.
  void stop();

 private:
  using Context = std::shared_ptr<api::RequestContext>;
  struct Place {
    reconcile::Name name;
    std::filesystem::path path;
  };
  // Throws StatusError-free: a text answer for git where there is no such repository.
  base::Result<Place> place(const api::RequestContext& context) const;
  async::Task<net::Response> advertise(Context context);
  async::Task<net::Response> refuse_lfs(Context context);
  async::Task<net::Response> upload(Context context);
  async::Task<net::Response> receive(Context context);
  async::Task<std::shared_ptr<GitStream>> start(async::ProcessOptions options, std::shared_ptr<Slots> slots,
                                                bool kill_when_abandoned, std::function<void(GitStream&)> at_end);
  static async::Task<> read_output(std::shared_ptr<GitStream> stream);
  static async::Task<> read_errors(std::shared_ptr<GitStream> stream);
  static async::Task<> stream_upload(std::shared_ptr<GitStream> stream, net::BodyWriter& writer);
  struct Push;
  static async::Task<> stream_push(std::shared_ptr<Push> push, net::BodyWriter& writer);
  static async::Task<> follow_push(std::shared_ptr<Push> push, std::shared_ptr<PushProgress> progress);
  static async::Task<bool> say(std::shared_ptr<PushProgress> progress, std::string line);
  std::vector<std::string> protected_branches(const reconcile::Name& name) const;

  platform::Host& host_;
  std::shared_ptr<Git> git_;
  std::shared_ptr<RepositoryReconciler> repositories_;
  std::shared_ptr<Slots> fetches_, pushes_;
  std::string upload_v2_;  // the advertisement, the same for all repositories
  std::set<std::shared_ptr<PushProgress>> progress_;
  bool stopping_ = false;
};

// "web.git" or "web" to "web".
std::string repository_of(std::string_view segment);

}  // namespace mainstay::source
