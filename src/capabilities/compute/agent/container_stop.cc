// The end of containers: asked for or not, noted, and cleaned up after.
#include <sys/stat.h>

#include <csignal>

#include "async/process.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/strings.h"
#include "capabilities/compute/agent/launch.h"
#include "capabilities/compute/agent/pod_worker.h"
#include "capabilities/compute/fs.h"
#include "capabilities/compute/logs/cri_log.h"

namespace mainstay::compute {
namespace {

constexpr std::size_t kMaxMessage = 4096, kMaxLogMessage = 2048;
// Attempts whose directory and log are kept: the current one and, for `kubectl logs --previous`, the one before.
constexpr int kKeptAttempts = 2;
constexpr int kUnknownExit = 137;
constexpr std::chrono::seconds kDrainLimit{10};

// What full-screen programs need to know of the terminal they get; an image or a pod that names one is believed.
void name_terminal(json::value& process) {
  json::value* env = base::find(process, "env");
  if (env == nullptr || !env->is_array()) return;
  for (const json::value& entry : env->get_array()) {
    if (entry.is_string() && entry.get_string().starts_with("TERM=")) return;
  }
  env->get_array().push_back("TERM=xterm");
}

struct Ending {
  Termination how;
  bool exit_known = false;
};

// What became of a container: its exit code, whether memory ran out, and its last words. Blocking, before the cgroup
// goes.
Ending inspect_end(const NodeContext& node, const Bundle& bundle, const std::string& id, const std::string& cgroup,
                   bool message_from_log) {
  Ending out;
  out.how.id = id;
  out.how.finished = node.now();
  if (const auto state = bundle.read(); state && state->started) out.how.started = *state->started;
  const auto code = node.runtime.exit_code(id);
  out.exit_known = code.has_value();
  out.how.exit_code = code.value_or(kUnknownExit);
  out.how.reason = !code ? "ContainerStatusUnknown" : *code == 0 ? "Completed" : "Error";
  if (!code)
    out.how.message = "The container was lost: its monitor or the machine stopped, so its exit code is not known";
  if (code == 137 && node.runtime.oom_killed(cgroup)) {
    out.how.reason = "OOMKilled";
    out.how.message = "The container used more memory than its limit; raise resources.limits.memory";
  }
  struct stat info{};
  if (code && ::stat((node.runtime.paths().exits / id).c_str(), &info) == 0)
    out.how.finished = base::SystemTime(std::chrono::duration_cast<base::SystemTime::duration>(
        std::chrono::seconds(info.st_mtim.tv_sec) + std::chrono::nanoseconds(info.st_mtim.tv_nsec)));
  std::string message = slurp(bundle.termination_log(), kMaxMessage);
  if (message.empty() && message_from_log && out.how.exit_code != 0)
    message = last_output(bundle.log(), kMaxLogMessage);
  if (!message.empty()) out.how.message = std::move(message);
  return out;
}

}  // namespace

void PodWorker::stop_container(ContainerRef ref, std::string why, std::chrono::seconds grace) {
  ContainerState& c = at(state_, ref);
  if (!c.running() || c.stopping) return;
  c.stopping = true;
  c.ready = false;
  record_event(ref, "Normal", "Killing", why);
  node_->tasks.spawn("stop", stop_task(shared_from_this(), ref, c.id, grace));
  changed();
}

async::Task<> PodWorker::stop_task(Self self, ContainerRef ref, std::string id, std::chrono::seconds grace) {
  PodWorker& w = *self;
  const base::Clock& clock = w.node_->host.clock();
  const base::SteadyTime deadline = clock.steady() + grace;
  const auto alive = [&] { return at(w.state_, ref).running() && at(w.state_, ref).id == id; };
  if (w.state_.deleting && w.node_->drain && !w.drained_ && !w.state_.ip.empty() && grace.count() > 0) {
    w.drained_ = true;
    co_await w.node_->drain->drain(
        w.state_.ip, std::chrono::duration_cast<std::chrono::milliseconds>(std::min(grace / 2, kDrainLimit)));
  }
  const auto hook = at(w.spec_, ref).pre_stop;
  if (alive() && hook && grace.count() > 0) {
    const auto left = std::max<std::chrono::nanoseconds>(deadline - clock.steady(), std::chrono::seconds(1));
    const auto done = co_await ask(self, ref, *hook, std::chrono::duration_cast<std::chrono::milliseconds>(left));
    if (!done && alive())
      w.record_event(ref, "Warning", "FailedPreStopHook", "PreStopHook failed: " + done.error().message);
  }
  const NodeContext* node = w.node_.get();
  const auto signal = w.stop_signals_.find(ref);
  const int number = grace.count() == 0 ? SIGKILL : signal == w.stop_signals_.end() ? SIGTERM : signal->second;
  if (alive())
    co_await node->host.runtime().run_blocking(
        [node, id, number] { static_cast<void>(node->runtime.kill(id, number)); });
  // A hook may use up the time: then there are two seconds for the signal.
  const base::SteadyTime last = hook ? std::max(deadline, clock.steady() + std::chrono::seconds(2)) : deadline;
  while (alive() && clock.steady() < last) co_await w.changed_.wait_for(last - clock.steady());
  for (int attempt = 0; alive() && attempt < 10; ++attempt) {
    co_await node->host.runtime().run_blocking([node, id] { static_cast<void>(node->runtime.kill(id, SIGKILL)); });
    const base::SteadyTime until = clock.steady() + std::chrono::seconds(1);
    while (alive() && clock.steady() < until) co_await w.changed_.wait_for(until - clock.steady());
  }
  if (alive()) {
    base::log::error("compute", "container {} of pod {}/{} does not end; it is given up", id, w.spec_.ns, w.spec_.name);
    w.container_exited(id);
  }
}

void PodWorker::container_exited(const std::string& id) {
  const auto look = [&](ContainerRef ref) {
    if (!at(state_, ref).running() || at(state_, ref).id != id) return false;
    // Once: the exit file and the end of conmon both lead here.
    if (!node_->by_container.erase(id)) return true;
    node_->tasks.spawn("exit", exit_task(shared_from_this(), ref, id));
    return true;
  };
  for (std::size_t i = 0; i < state_.main.size(); ++i) {
    if (look({false, i})) return;
  }
  for (std::size_t i = 0; i < state_.init.size(); ++i) {
    if (look({true, i})) return;
  }
}

async::Task<> PodWorker::exit_task(Self self, ContainerRef ref, std::string id) {
  PodWorker& w = *self;
  ++w.busy_;
  const NodeContext* node = w.node_.get();
  const Bundle bundle = bundle_of(w.directory(), at(w.spec_, ref).name, at(w.state_, ref).attempts - 1);
  const std::string cgroup = w.node_->cgroup(w.spec_.uid, id), image_id = at(w.state_, ref).image_id;
  const bool from_log = at(w.spec_, ref).message_from_log;
  Ending ending = co_await node->host.runtime().blocking([node, bundle, id, cgroup, from_log, image_id] {
    Ending found = inspect_end(*node, bundle, id, cgroup, from_log);
    static_cast<void>(bundle.write(BundleState{id, image_id, found.how.started, found.how}));
    return found;
  });
  on_exited(w.spec_, w.state_, ref, ending.how);
  const ContainerState& c = at(w.state_, ref);
  if (c.waiting_reason == "CrashLoopBackOff" && c.restarts() > 0)
    w.record_event(ref, "Warning", "BackOff", "Back-off restarting failed container " + at(w.spec_, ref).name);
  w.changed();
  co_await clean_up(self, bundle, id);
  --w.busy_;
  w.changed();
}

// The program before us noted the end, but may have died before all of the output was kept.
async::Task<> PodWorker::keep_rest_of_log(Self self, ContainerRef ref, Bundle bundle, std::string id) {
  ++self->busy_;
  if (self->node_->logs) self->node_->logs->follow(self->log_identity(ref, bundle));
  co_await clean_up(self, bundle, id);
  --self->busy_;
  self->changed();
}

async::Task<> PodWorker::clean_up(Self self, Bundle bundle, std::string id) {
  const NodeContext* node = self->node_.get();
  const auto attempts = bundle.directory.parent_path();
  co_await node->host.runtime().run_blocking([node, bundle, id] {
    node->runtime.remove(id);
    strip_bundle(bundle);
  });
  if (node->logs) co_await node->logs->finish(bundle.log());
  const std::string container = attempts.filename();
  co_await node->host.runtime().run_blocking([directory = self->directory(), container, last = bundle.attempt] {
    static_cast<void>(write_light(bundle_of(directory, container, last).kept_mark(), ""));
    for (const Bundle& old : bundles_of(directory, container)) {
      if (old.attempt > last - kKeptAttempts) continue;
      remove_tree(old.directory);
      std::error_code ignored;
      std::filesystem::remove(old.log(), ignored);
      std::filesystem::remove(old.log().string() + ".1", ignored);
    }
  });
}

base::Result<ExecCommand> PodWorker::exec_command(ContainerRef ref, std::vector<std::string> command,
                                                  bool terminal) const {
  const ContainerState& c = at(state_, ref);
  if (!c.running())
    return base::fail(base::ErrorCode::kConflict, fmt::format("container {} is not running", at(spec_, ref).name));
  const Bundle bundle = bundle_of(directory(), at(spec_, ref).name, c.attempts - 1);
  auto config = base::parse_json(slurp(bundle.directory / "config.json"));
  if (!config) return base::fail(base::ErrorCode::kInternal, "the container's configuration cannot be read");
  json::value process = json::value(base::get_object(*config, "process"));
  json::array args;
  for (std::string& word : command) args.push_back(json::string(word));
  base::set(process, "args", std::move(args));
  base::set(process, "terminal", terminal);
  if (terminal) name_terminal(process);
  const auto file = bundle.directory / ("exec-" + base::random_hex(6) + ".json");
  MAINSTAY_TRY_VOID(write_light(file, base::to_json(process)));
  return ExecCommand{node_->runtime.exec_argv(c.id, file), file};
}

async::Task<base::Result<async::ProcessOutput>> PodWorker::exec(ContainerRef ref, std::vector<std::string> command,
                                                                std::chrono::nanoseconds limit) {
  const auto call = exec_command(ref, std::move(command), false);
  if (!call) co_return std::unexpected(call.error());
  async::ProcessOptions options;
  options.argv = call->argv;
  auto output = co_await async::run_process(std::move(options), "", limit, 16u << 10);
  std::error_code ignored;
  std::filesystem::remove(call->process_file, ignored);
  co_return output;
}

}  // namespace mainstay::compute
