// Starting containers: image, environment, launch, and what begins with a running container.
#include "async/foreign_process.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/status.h"
#include "capabilities/compute/agent/launch.h"
#include "capabilities/compute/agent/pod_worker.h"
#include "capabilities/compute/fs.h"
#include "capabilities/compute/pod/service_links.h"
#include "capabilities/compute/volume/volumes.h"

namespace mainstay::compute {
namespace {

constexpr const char* kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::string workload_of(const json::value& pod) {
  const std::string name = base::label(pod, "app.kubernetes.io/name");
  if (!name.empty()) return name;
  for (const json::value& owner : base::get_array(pod, "metadata.ownerReferences")) {
    std::string owner_name = base::get_string(owner, "name");
    if (base::get_string(owner, "kind") != "ReplicaSet") return owner_name;
    // A Deployment's ReplicaSet is named <deployment>-<hash of the template>.
    const std::string hash = base::label(pod, "pod-template-hash");
    if (!hash.empty() && owner_name.ends_with("-" + hash)) owner_name.resize(owner_name.size() - hash.size() - 1);
    return owner_name;
  }
  return base::get_string(pod, "metadata.name");
}

}  // namespace

async::Task<base::Result<>> PodWorker::resolve_image(ContainerRef ref, std::shared_ptr<Launch> launch) {
  const std::string image = at(spec_, ref).image;
  if (image == kRunnerImage || image.starts_with(std::string(kRunnerImage) + ":")) {
    launch->runner = true;
    launch->image = node_->runner.config();
    launch->image_id = node_->runner.id();
    co_return base::Result<>{};
  }
  auto reference = platform::ImageReference::parse(image);
  if (!reference) co_return std::unexpected(reference.error());
  if (!node_->images)
    co_return base::fail(base::ErrorCode::kUnavailable, "there is no artifact store, so images cannot be fetched");
  auto found = co_await node_->images->image(*reference);
  if (!found) co_return std::unexpected(found.error());
  launch->image = read_image_config(found->config);
  launch->image_id =
      (reference->registry.empty() ? "" : reference->registry + "/") + found->repository + "@" + found->digest;
  for (const auto& layer : found->layers) launch->blobs.emplace_back(layer.digest, layer.path);
  co_return base::Result<>{};
}

base::Result<> PodWorker::fill_spec(Launch& launch) const {
  const ContainerSpec& container = at(launch.pod, launch.ref);
  const json::value& pod = *launch.pod.object;
  SpecInput& spec = launch.spec;
  Variables known = launch.image.env;
  if (base::get_bool(pod, "spec.enableServiceLinks", true)) {
    for (auto& [name, value] : service_links(node_->services->list(spec_.ns))) known[name] = std::move(value);
  }
  known.try_emplace("PATH", kDefaultPath);
  known["HOSTNAME"] = base::get_string(pod, "spec.hostname", launch.pod.name);
  known["KUBERNETES_SERVICE_HOST"] = node_->config.node_address();
  known["KUBERNETES_SERVICE_PORT"] = std::to_string(node_->config.listen.port);
  known["KUBERNETES_SERVICE_PORT_HTTPS"] = known["KUBERNETES_SERVICE_PORT"];
  if (container.tty) known.try_emplace("TERM", "xterm");
  MAINSTAY_TRY(spec.env, environment(*container.source, sources(), std::move(known)));
  std::vector<std::string> command = string_list(*container.source, "command"),
                           args = string_list(*container.source, "args");
  for (std::string& word : command) word = expand(word, spec.env);
  for (std::string& word : args) word = expand(word, spec.env);
  spec.args = merge_command(launch.image, command, args);
  if (spec.args.empty())
    return base::fail(base::ErrorCode::kInvalid,
                      "no command: neither the container nor its image says what to run; set command");
  spec.cwd = base::get_string(*container.source, "workingDir", launch.image.working_dir);
  if (spec.cwd.empty()) spec.cwd = "/";
  spec.security = read_security(pod, *container.source);
  spec.hostname = base::get_string(pod, "spec.hostname", launch.pod.name).substr(0, 63);
  spec.cgroup_path = node_->cgroup(launch.pod.uid, launch.id);
  spec.netns = launch.pod.host_network ? "" : net_.path();
  spec.host_pid = base::get_bool(pod, "spec.hostPID");
  spec.host_ipc = base::get_bool(pod, "spec.hostIPC");
  spec.resources = read_resources(*container.source);
  spec.oom_score_adj = oom_score_adj(qos_class(pod), spec.resources, node_->memory, node_->own_oom_score);
  spec.terminal = container.tty;
  spec.builds = launch.pod.builds;
  return {};
}

void PodWorker::launch_failed(const Launch& launch, const base::Error& error) {
  const ContainerRef ref = launch.ref;
  const ContainerState& c = at(state_, ref);
  node_->by_container.erase(launch.id);
  const std::string image = at(spec_, ref).image;
  if (launch.step == Launch::Step::kImage) {
    const bool again = c.waiting_reason == "ErrImagePull" || c.waiting_reason == "ImagePullBackOff";
    std::string reason = error.code == base::ErrorCode::kInvalid ? "InvalidImageName"
                         : again                                 ? "ImagePullBackOff"
                                                                 : "ErrImagePull";
    record_event(ref, "Warning", "Failed", fmt::format("Failed to pull image \"{}\": {}", image, error.message));
    on_start_failed(state_, ref, std::move(reason),
                    again ? fmt::format("Back-off pulling image \"{}\": {}", image, error.message) : error.message,
                    node_->now());
  } else if (launch.step == Launch::Step::kPrepare) {
    const bool config = error.code == base::ErrorCode::kNotFound || error.code == base::ErrorCode::kInvalid;
    record_event(ref, "Warning", "Failed", "Error: " + error.message);
    on_start_failed(state_, ref, config ? "CreateContainerConfigError" : "CreateContainerError", error.message,
                    node_->now());
  } else {
    // The program could not be run: an end of the container like others, so that restart policy and job limits apply.
    record_event(ref, "Warning", "Failed", "Error: " + error.message);
    const base::SystemTime now = node_->now();
    on_started(spec_, state_, ref, launch.id, launch.image_id, now);
    Termination how{128, "StartError", error.message, now, now, launch.id};
    node_->tasks.spawn("note the end", note_end(shared_from_this(), launch.bundle, launch.id, launch.image_id, how));
    on_exited(spec_, state_, ref, std::move(how));
  }
  changed();
}

async::Task<> PodWorker::note_end(Self self, Bundle bundle, std::string id, std::string image_id, Termination how) {
  co_await self->node_->host.runtime().run_blocking(
      [bundle, id, image_id, how] { static_cast<void>(bundle.write(BundleState{id, image_id, how.started, how})); });
}

async::Task<> PodWorker::start_task(Self self, ContainerRef ref) {
  PodWorker& w = *self;
  auto launch = std::make_shared<Launch>();
  launch->pod = w.spec_;
  launch->ref = ref;
  launch->pod_directory = w.directory();
  launch->id = base::random_hex(12);
  launch->bundle = bundle_of(launch->pod_directory, at(w.spec_, ref).name, at(w.state_, ref).attempts);
  launch->volumes = volumes_of(w.spec_, w.wants_token());
  auto ready = co_await w.resolve_image(ref, launch);
  if (ready) {
    launch->step = Launch::Step::kPrepare;
    ready = co_await w.fetch_missing_objects();
    if (ready) ready = w.fill_spec(*launch);
  }
  if (!ready) {
    w.launch_failed(*launch, ready.error());
    co_return;
  }
  launch->step = Launch::Step::kImage;
  w.node_->by_container[launch->id] = self;
  NodeContext* node = w.node_.get();
  auto created = co_await node->host.runtime().blocking([node, launch] { return create_container(*node, *launch); });
  if (created && !w.spec_.host_network) {
    // Admitted while the container was made: nothing of it runs before its network knows it.
    created = co_await w.network_ready();
    if (!created) {
      launch->step = Launch::Step::kPrepare;
      co_await node->host.runtime().run_blocking([node, launch] { discard_container(*node, *launch); });
    }
  }
  if (!created) {
    w.launch_failed(*launch, created.error());
    co_return;
  }
  auto result = co_await node->host.runtime().blocking([node, launch] { return start_container(*node, *launch); });
  if (!result) {
    w.launch_failed(*launch, result.error());
    co_return;
  }
  w.launched(*launch, *result);
}

void PodWorker::launched(const Launch& launch, const BundleState& written) {
  const ContainerSpec& container = at(spec_, launch.ref);
  if (launch.pulled) {
    record_event(launch.ref, "Normal", "Pulled", fmt::format("Successfully pulled image \"{}\"", container.image));
  } else {
    record_event(launch.ref, "Normal", "Pulled",
                 fmt::format("Container image \"{}\" already present on machine", container.image));
  }
  record_event(launch.ref, "Normal", "Created", "Created container: " + container.name);
  record_event(launch.ref, "Normal", "Started", "Started container " + container.name);
  stop_signals_[launch.ref] = launch.image.stop_signal;
  on_started(spec_, state_, launch.ref, written.id, written.image_id, written.started.value_or(node_->now()));
  follow(launch.ref, launch.bundle, written.id);
  if (container.post_start) node_->tasks.spawn("postStart", post_start(shared_from_this(), launch.ref, written.id));
  changed();
}

platform::ContainerLog PodWorker::log_identity(ContainerRef ref, const Bundle& bundle) const {
  return {spec_.ns,       spec_.name,  spec_.uid, at(spec_, ref).name, workload_of(*spec_.object),
          bundle.attempt, bundle.log()};
}

// What goes with a running container, just started or taken up again.
void PodWorker::follow(ContainerRef ref, const Bundle& bundle, const std::string& id) {
  const ContainerSpec& container = at(spec_, ref);
  node_->by_container[id] = weak_from_this();
  if (node_->logs) node_->logs->follow(log_identity(ref, bundle));
  if (node_->runtime.exit_code(id)) {
    container_exited(id);  // it ended before anybody watched
    return;
  }
  node_->tasks.spawn("conmon", watch_conmon(shared_from_this(), id, node_->runtime.conmon_pid(bundle.directory, id)));
  const auto probe = [&](ProbeKind kind, const std::optional<ProbeSpec>& spec) {
    if (spec) node_->tasks.spawn("probe", run_probe(shared_from_this(), ref, id, kind, *spec));
  };
  probe(ProbeKind::kStartup, container.startup);
  probe(ProbeKind::kReadiness, container.readiness);
  probe(ProbeKind::kLiveness, container.liveness);
}

// conmon writes the exit file before it ends. When it is killed there is none, and the container's end is unknown.
async::Task<> PodWorker::watch_conmon(Self self, std::string id, pid_t pid) {
  if (pid > 0) {
    auto process = async::ForeignProcess::open(self->node_->tasks.executor(), pid);
    if (process) co_await (*process)->ended();
  }
  self->container_exited(id);
}

async::Task<> PodWorker::post_start(Self self, ContainerRef ref, std::string id) {
  const Handler handler = *at(self->spec_, ref).post_start;
  const auto result = co_await ask(self, ref, handler, std::chrono::seconds(60));
  const ContainerState& c = at(self->state_, ref);
  if (result || !c.running() || c.id != id) co_return;
  self->record_event(ref, "Warning", "FailedPostStartHook", "PostStartHook failed: " + result.error().message);
  self->stop_container(ref, "FailedPostStartHook", self->spec_.grace);
}

}  // namespace mainstay::compute
