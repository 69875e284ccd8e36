// Taking up pods again after this program was restarted, or killed at any instant.
#include "base/log.h"
#include "capabilities/compute/agent/pod_worker.h"
#include "capabilities/compute/fs.h"
#include "capabilities/compute/pod/status.h"

namespace mainstay::compute {
namespace {

struct Found {
  ContainerRef ref;
  Bundle bundle;
  std::optional<BundleState> state;
};
struct Remains {
  std::optional<PodRecord> record;
  bool network = false;
  std::vector<Found> containers;
};

// What is half made is removed; what has ended and was not cleaned up is. Blocking.
Remains survey(const NodeContext& node, const PodSpec& spec, const std::filesystem::path& directory) {
  Remains out;
  out.record = read_pod_record(directory);
  out.network =
      out.record && (spec.host_network || (!out.record->net.name.empty() && PodNetwork::exists(out.record->net)));
  const auto look = [&](ContainerRef ref) {
    const auto bundles = bundles_of(directory, at(spec, ref).name);
    for (std::size_t i = 0; i < bundles.size(); ++i) {
      const auto state = bundles[i].read();
      const bool newest = i + 1 == bundles.size();
      const bool lives = newest && state && state->started && !state->ended;
      if (!lives) {
        if (state) node.runtime.remove(state->id);
        strip_bundle(bundles[i]);
      }
      if (newest && (!state || (!state->started && !state->ended))) {
        remove_tree(bundles[i].directory);
        out.containers.push_back({ref, bundles[i], std::nullopt});
      } else if (newest) {
        out.containers.push_back({ref, bundles[i], state});
      }
    }
  };
  for (std::size_t i = 0; i < spec.init.size(); ++i) look({true, i});
  for (std::size_t i = 0; i < spec.containers.size(); ++i) look({false, i});
  return out;
}

bool ready_in(const json::value& status, std::string_view container) {
  for (const json::value& entry : base::get_array(status, "containerStatuses")) {
    if (base::get_string(entry, "name") == container) return base::get_bool(entry, "ready");
  }
  return false;
}

}  // namespace

void PodWorker::take_up(ContainerRef ref, const Bundle& bundle, const BundleState& found, bool was_ready) {
  const int attempts = bundle.attempt;
  ContainerState& c = at(state_, ref);
  c.attempts = attempts;
  on_started(spec_, state_, ref, found.id, found.image_id, found.started.value_or(node_->now()));
  if (found.ended) {
    on_exited(spec_, state_, ref, *found.ended);
    std::error_code ignored;
    if (!std::filesystem::exists(bundle.kept_mark(), ignored))
      node_->tasks.spawn("rest of a log", keep_rest_of_log(shared_from_this(), ref, bundle, found.id));
    return;
  }
  // Traffic goes on as before until a probe says otherwise.
  if (was_ready) {
    c.started = true;
    c.ready = true;
  }
  follow(ref, bundle, found.id);
}

async::Task<> PodWorker::adopt() {
  const json::value status(base::get_object(*spec_.object, "status"));
  recall(status, spec_, state_);
  std::error_code ignored;
  if (!std::filesystem::exists(directory(), ignored)) co_return;
  const NodeContext* node = node_.get();
  Remains found = co_await node_->host.runtime().blocking(
      [node, spec = spec_, directory = directory()] { return survey(*node, spec, directory); });
  if (found.record) net_ = found.record->net;
  if (found.network) {
    on_sandbox(state_, spec_.host_network ? node_->host_ip : net_.ip);
    tokens_renew_at_ = node_->now();
    renewing_ = true;
    if (!spec_.host_network) node_->tasks.spawn("network of " + spec_.name, admit_task(shared_from_this()));
    node_->tasks.spawn("tokens", renew_tokens(shared_from_this()));
  }
  int running = 0;
  for (const Found& container : found.containers) {
    if (container.state) {
      take_up(container.ref, container.bundle, *container.state, ready_in(status, at(spec_, container.ref).name));
      running += at(state_, container.ref).running() ? 1 : 0;
    } else {
      ContainerState& c = at(state_, container.ref);
      const auto last = c.last;
      const std::string reason = spec_.init.empty() || container.ref.init ? "ContainerCreating" : "PodInitializing";
      c = ContainerState{};
      c.attempts = container.bundle.attempt;
      c.waiting_reason = reason;
      c.last = last;
    }
  }
  if (running > 0) base::log::info("compute", "pod {}/{} taken up again: {} containers", spec_.ns, spec_.name, running);
}

}  // namespace mainstay::compute
