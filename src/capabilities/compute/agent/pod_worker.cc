#include "capabilities/compute/agent/pod_worker.h"

#include "base/log.h"
#include "base/status.h"
#include "base/utf8.h"
#include "capabilities/compute/fs.h"
#include "capabilities/compute/pod/status.h"
#include "capabilities/compute/volume/volumes.h"

namespace mainstay::compute {
namespace fs = std::filesystem;

PodWorker::PodWorker(std::shared_ptr<NodeContext> node, client::ObjectPtr pod)
    : node_(std::move(node)),
      spec_(read_pod(std::move(pod))),
      state_(new_state(spec_)),
      changed_(node_->tasks.executor()),
      status_changed_(node_->tasks.executor()) {
  update(spec_.object);
}

void PodWorker::start() {
  node_->tasks.spawn("pod " + spec_.ns + "/" + spec_.name, run(shared_from_this()));
  node_->tasks.spawn("status of " + spec_.ns + "/" + spec_.name, write_statuses(shared_from_this()));
}

void PodWorker::update(client::ObjectPtr pod) {
  if (base::find(*pod, "metadata.deletionTimestamp") != nullptr) {
    state_.deleting = true;
    spec_.grace = std::chrono::seconds(std::clamp<std::int64_t>(
        base::get_int(*pod, "metadata.deletionGracePeriodSeconds", spec_.grace.count()), 0, INT32_MAX));
  }
  // Containers keep what they were started from; ContainerSpec::source points into the object it was read from.
  if (spec_.object.get() != pod.get()) {
    const auto grace = spec_.grace;
    PodSpec fresh = read_pod(std::move(pod));
    if (fresh.containers.size() == spec_.containers.size() && fresh.init.size() == spec_.init.size())
      spec_ = std::move(fresh);
    if (state_.deleting) spec_.grace = grace;
  }
  changed();
}

void PodWorker::object_gone() {
  gone_ = true;
  state_.deleting = true;
  spec_.grace = std::chrono::seconds(std::min<std::int64_t>(spec_.grace.count(), 5));
  changed();
}

void PodWorker::changed() {
  changed_.notify_all();
  status_changed_.notify_all();
}

void PodWorker::act(const Decision& decision) {
  const std::string tag = spec_.ns + "/" + spec_.name;
  for (const ContainerRef& ref : decision.stop) {
    stop_container(ref, state_.deleting ? "Stopping container " + at(spec_, ref).name : state_.failed_message,
                   remaining_grace());
  }
  for (const ContainerRef& ref : decision.start) {
    on_starting(state_, ref);
    node_->tasks.spawn("start in " + tag, start_task(shared_from_this(), ref));
  }
}

async::Task<> PodWorker::run(Self self) {
  PodWorker& w = *self;
  co_await w.adopt();
  w.adopted_ = true;
  if (!w.state_.started) w.state_.started = w.node_->now();
  for (;;) {
    const Decision decision = decide(w.spec_, w.state_, w.node_->now());
    w.act(decision);
    w.status_changed_.notify_all();
    if (decision.make_sandbox) {
      co_await w.make_sandbox();
      continue;
    }
    if (decision.tear_down) {
      co_await w.tear_down();
      w.state_.torn_down = true;
      continue;
    }
    if (decision.remove_object) {
      co_await w.remove_object();
      co_await w.node_->host.runtime().run_blocking([directory = w.directory()] { remove_tree(directory); });
      break;
    }
    if (decision.wake) {
      const auto left = *decision.wake - w.node_->now();
      co_await w.changed_.wait_for(std::max<std::chrono::nanoseconds>(left, std::chrono::milliseconds(1)));
    } else {
      co_await w.changed_.wait();
    }
  }
  w.ended_ = true;
  w.changed();
  if (w.node_->forget) w.node_->forget(w.spec_.uid);
}

async::Task<PodWorker::Written> PodWorker::write_status(Self self, json::value status) {
  PodWorker& w = *self;
  try {
    json::value patch = json::object{{"metadata", json::object{{"uid", w.spec_.uid}}}, {"status", std::move(status)}};
    co_await w.node_->client.merge_patch(client::resources::kPods, w.spec_.ns, w.spec_.name, std::move(patch),
                                         "status");
    co_return Written::kYes;
  } catch (const base::StatusError& e) {
    // Gone, or another pod of this name: its end will be told.
    if (e.is_not_found() || e.is_conflict()) co_return Written::kGone;
    base::log::warn("compute", "status of pod {}/{}: {}", w.spec_.ns, w.spec_.name, e.message());
    co_return Written::kNo;
  }
}

// One patch a change, with whatever came together since the last one.
async::Task<> PodWorker::write_statuses(Self self) {
  PodWorker& w = *self;
  w.written_status_ = json::value(base::get_object(*w.spec_.object, "status"));
  for (;;) {
    // A status in the middle of adopt() would take a serving pod out of traffic.
    while (w.adopted_ && w.state_.started && !w.gone_ && !w.ended_) {
      json::value status = pod_status(w.spec_, w.state_, w.written_status_, w.node_->host_ip, w.node_->now());
      if (status == w.written_status_) break;
      const Written result = co_await write_status(self, status);
      if (result == Written::kGone) co_return;
      if (result == Written::kYes) w.written_status_ = std::move(status);
      if (result == Written::kNo) co_await async::sleep_for(std::chrono::seconds(1));
    }
    if (w.ended_ || w.gone_) co_return;
    co_await w.status_changed_.wait();
  }
}

async::Task<> PodWorker::remove_object() {
  for (int attempt = 0; !gone_; ++attempt) {
    try {
      json::object options{{"gracePeriodSeconds", 0}, {"preconditions", json::object{{"uid", spec_.uid}}}};
      co_await node_->client.remove_with(client::resources::kPods, spec_.ns, spec_.name, std::move(options));
      co_return;
    } catch (const base::StatusError& e) {
      if (e.is_conflict() || e.is_not_found()) co_return;
      base::log::warn("compute", "removing pod {}/{}: {}", spec_.ns, spec_.name, e.message());
    }
    co_await async::sleep_for(
        std::min(std::chrono::milliseconds(100) * (1 << std::min(attempt, 8)), std::chrono::milliseconds(10'000)));
  }
}

std::chrono::seconds PodWorker::remaining_grace() const {
  return state_.deleting || state_.failed_reason.empty() ? spec_.grace
                                                         : std::min(spec_.grace, std::chrono::seconds(30));
}

void PodWorker::record_event(ContainerRef ref, std::string type, std::string reason, std::string message) {
  json::value about =
      json::object{{"apiVersion", "v1"},
                   {"kind", "Pod"},
                   {"metadata", json::object{{"namespace", spec_.ns}, {"name", spec_.name}, {"uid", spec_.uid}}}};
  static_cast<void>(ref);
  node_->tasks.spawn(
      "event", node_->client.event(std::move(about), std::move(type), std::move(reason), base::utf8_text(message)));
}

std::optional<ContainerRef> PodWorker::find(std::string_view container) const {
  for (std::size_t i = 0; i < spec_.containers.size(); ++i) {
    if (spec_.containers[i].name == container) return ContainerRef{false, i};
  }
  for (std::size_t i = 0; i < spec_.init.size(); ++i) {
    if (spec_.init[i].name == container) return ContainerRef{true, i};
  }
  return std::nullopt;
}

std::optional<fs::path> PodWorker::log_file(std::string_view container, bool previous) const {
  const auto ref = find(container);
  if (!ref) return std::nullopt;
  const ContainerState& c = at(state_, *ref);
  // While it waits to be started again, the one that ended is both.
  const bool waits = c.stage == ContainerState::Stage::kWaiting || c.stage == ContainerState::Stage::kStarting;
  const int attempt = c.attempts - 1 - (previous && !waits ? 1 : 0);
  if (attempt < 0) return std::nullopt;
  return bundle_of(directory(), container, attempt).log();
}

std::string PodWorker::address_for(const Handler& handler) const {
  if (!handler.host.empty()) return handler.host;
  return state_.ip.empty() || spec_.host_network ? "127.0.0.1" : state_.ip;
}

void PodWorker::probe_result(ContainerRef ref, const std::string& id, ProbeKind kind, bool ok,
                             const std::string& message) {
  ContainerState& c = at(state_, ref);
  if (!c.running() || c.id != id) return;
  const char* name = kind == ProbeKind::kStartup ? "Startup" : kind == ProbeKind::kLiveness ? "Liveness" : "Readiness";
  if (!ok) record_event(ref, "Warning", "Unhealthy", fmt::format("{} probe failed: {}", name, message));
  if (kind == ProbeKind::kStartup && ok) {
    c.started = true;
    if (!at(spec_, ref).readiness) c.ready = true;
  } else if (kind == ProbeKind::kReadiness) {
    c.ready = ok;
  } else if (!ok && !c.stopping) {
    const auto& probe = kind == ProbeKind::kStartup ? at(spec_, ref).startup : at(spec_, ref).liveness;
    stop_container(ref,
                   fmt::format("Container {} failed {} probe, will be restarted", at(spec_, ref).name,
                               kind == ProbeKind::kStartup ? "startup" : "liveness"),
                   probe && probe->grace ? *probe->grace : spec_.grace);
  }
  changed();
}

async::Task<> PodWorker::follow_rotated(Self self, ContainerRef ref, Bundle bundle) {
  std::error_code missing;
  for (int i = 0; i < 100 && !fs::exists(bundle.log(), missing); ++i)
    co_await async::sleep_for(std::chrono::milliseconds(20));
  if (self->node_->logs) self->node_->logs->follow(self->log_identity(ref, bundle));
}

void PodWorker::rotate_logs(std::uint64_t max_bytes) {
  const auto rotate = [&](ContainerRef ref) {
    const ContainerState& c = at(state_, ref);
    if (!c.running()) return;
    const Bundle bundle = bundle_of(directory(), at(spec_, ref).name, c.attempts - 1);
    std::error_code missing;
    if (fs::file_size(bundle.log(), missing) < max_bytes || missing) return;
    fs::rename(bundle.log(), bundle.log().string() + ".1", missing);
    if (missing) return;
    node_->runtime.reopen_log(bundle.directory);
    // Once conmon has made the new file: what keeps the logs watches that one from now on.
    node_->tasks.spawn("rotated log", follow_rotated(shared_from_this(), ref, bundle));
  };
  for (std::size_t i = 0; i < state_.main.size(); ++i) rotate({false, i});
  for (std::size_t i = 0; i < state_.init.size(); ++i) rotate({true, i});
}

}  // namespace mainstay::compute
