// Runs one pod: asks pod/state.h what to do, does it, and reports. One coroutine decides; starting and stopping
// containers, probes and the writing of status are coroutines of their own in the agent's task group, which all hold
// the worker.
//
// On the loop only. Blocking work goes to the pool with copies of what it needs.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "async/process.h"
#include "async/sync.h"
#include "capabilities/compute/agent/bundle.h"
#include "capabilities/compute/agent/context.h"
#include "capabilities/compute/agent/probe.h"
#include "capabilities/compute/pod/environment.h"
#include "capabilities/compute/pod/state.h"
#include "capabilities/compute/volume/files.h"

namespace mainstay::compute {

struct Launch;

struct ExecCommand {
  std::vector<std::string> argv;
  std::filesystem::path process_file;  // to be removed by the caller when the command has ended
};

class PodWorker : public std::enable_shared_from_this<PodWorker> {
 public:
  PodWorker(std::shared_ptr<NodeContext> node, client::ObjectPtr pod);
  void start();                                  // spawns run(); `on_end` follows when the pod is gone
  void update(client::ObjectPtr pod);            // the object changed
  void object_gone();                            // it was deleted without waiting for us
  void container_exited(const std::string& id);  // its exit file is there, or its conmon is not
  void refresh_volumes();                        // a ConfigMap or Secret changed
  bool shows(std::string_view kind,
             const std::string& name) const;  // whether a volume is made of this ConfigMap or Secret
  void rotate_logs(std::uint64_t max_bytes);
  bool ended() const { return ended_; }

  const PodSpec& spec() const { return spec_; }
  const PodState& state() const { return state_; }
  const PodNet& net() const { return net_; }
  NodeContext& node() { return *node_; }
  std::filesystem::path directory() const { return node_->pod_directory(spec_.uid); }
  // The log of a container's current (or, with `previous`, last) instance; nullopt where there is none.
  std::optional<std::filesystem::path> log_file(std::string_view container, bool previous) const;
  std::optional<ContainerRef> find(std::string_view container) const;
  // Runs a command in the container; the exit code, or why there is none.
  async::Task<base::Result<async::ProcessOutput>> exec(ContainerRef ref, std::vector<std::string> command,
                                                       std::chrono::nanoseconds limit);
  // Writes the process file that the runtime's exec takes.
  base::Result<ExecCommand> exec_command(ContainerRef ref, std::vector<std::string> command, bool terminal) const;
  // Asks a container to stop (a failed liveness probe).
  void stop_container(ContainerRef ref, std::string why, std::chrono::seconds grace);
  void probe_result(ContainerRef ref, const std::string& id, ProbeKind kind, bool ok, const std::string& message);
  // The host and port an action of a container is sent to.
  std::string address_for(const Handler& handler) const;
  async::Task<bool> wait_change(std::chrono::nanoseconds limit) { return changed_.wait_for(limit); }
  void record_event(ContainerRef ref, std::string type, std::string reason, std::string message);

 private:
  using Self = std::shared_ptr<PodWorker>;

  static async::Task<> run(Self self);
  static async::Task<> write_statuses(Self self);
  enum class Written { kYes, kNo, kGone };
  static async::Task<Written> write_status(Self self, json::value status);
  static async::Task<> start_task(Self self, ContainerRef ref);
  static async::Task<> stop_task(Self self, ContainerRef ref, std::string id, std::chrono::seconds grace);
  static async::Task<> exit_task(Self self, ContainerRef ref, std::string id);
  static async::Task<> clean_up(Self self, Bundle bundle, std::string id);
  static async::Task<> keep_rest_of_log(Self self, ContainerRef ref, Bundle bundle, std::string id);
  static async::Task<> note_end(Self self, Bundle bundle, std::string id, std::string image_id, Termination how);
  static async::Task<> watch_conmon(Self self, std::string id, pid_t pid);
  static async::Task<> post_start(Self self, ContainerRef ref, std::string id);
  static async::Task<> follow_rotated(Self self, ContainerRef ref, Bundle bundle);
  static async::Task<> renew_tokens(Self self);
  static async::Task<> admit_task(Self self);
  static async::Task<> refresh_task(Self self);

  async::Task<> adopt();
  void take_up(ContainerRef ref, const Bundle& bundle, const BundleState& state, bool was_ready);
  async::Task<> make_sandbox();
  async::Task<base::Result<>> network_ready();  // firewall and mesh know the pod
  async::Task<base::Result<>> prepare_sandbox();
  async::Task<> tear_down();
  async::Task<> remove_object();
  async::Task<base::Result<>> request_tokens();
  async::Task<base::Result<>> fetch_missing_objects();
  async::Task<base::Result<>> resolve_image(ContainerRef ref, std::shared_ptr<Launch> launch);
  base::Result<> fill_spec(Launch& launch) const;
  void launched(const Launch& launch, const BundleState& written);
  void launch_failed(const Launch& launch, const base::Error& error);
  platform::ContainerLog log_identity(ContainerRef ref, const Bundle& bundle) const;
  void follow(ContainerRef ref, const Bundle& bundle, const std::string& id);
  void act(const Decision& decision);
  void changed();
  std::chrono::seconds remaining_grace() const;
  EnvironmentSources sources() const;
  bool wants_token() const;

  std::shared_ptr<NodeContext> node_;
  PodSpec spec_;
  PodState state_;
  PodNet net_;
  async::Event changed_, status_changed_;
  Tokens tokens_;
  std::optional<base::SystemTime> tokens_renew_at_;
  // Objects that the caches did not have yet and that were asked for directly.
  std::map<std::string, client::ObjectPtr> fetched_;
  json::value written_status_;
  std::optional<base::Result<>> admitted_;
  bool admitting_ = false;
  int busy_ = 0;          // cleanings under way
  bool adopted_ = false;  // what was there before us is known: until then the state is not to be told
  bool ended_ = false, gone_ = false, drained_ = false, renewing_ = false, refreshing_ = false, refresh_again_ = false;
  std::map<ContainerRef, int> stop_signals_;
};

}  // namespace mainstay::compute
