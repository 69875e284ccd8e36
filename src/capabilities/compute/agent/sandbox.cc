// What a pod has before its containers: directory, network, volumes, tokens. And its end.
#include <arpa/inet.h>
#include <sys/stat.h>

#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "base/strings.h"
#include "capabilities/compute/agent/pod_files.h"
#include "capabilities/compute/agent/pod_worker.h"
#include "capabilities/compute/fs.h"
#include "capabilities/compute/pod/status.h"
#include "capabilities/compute/pod_fields.h"
#include "capabilities/compute/volume/claims.h"
#include "capabilities/compute/volume/volumes.h"

namespace mainstay::compute {
namespace fs = std::filesystem;
namespace {

async::Task<> warm_up(NodeContext* node) {
  co_await node->host.runtime().run_blocking([node] { node->warm.kick(); });
}

// A little later: the pod that took from the reserve goes first.
async::Task<> refill(NodeContext* node) {
  co_await async::sleep_for(std::chrono::milliseconds(200));
  co_await node->host.runtime().run_blocking([node] { node->network.refill(); });
}

using Objects = std::map<std::string, client::ObjectPtr>;

}  // namespace

bool PodWorker::wants_token() const {
  // After a restart of ours the files are there, though we do not know their tokens.
  std::error_code ignored;
  const bool have =
      tokens_.contains(TokenWish{"", kTokenLifetime}) || fs::exists(directory() / "sealed" / kTokenVolume, ignored);
  const json::value* own = base::find(*spec_.object, "spec.automountServiceAccountToken");
  if (own != nullptr && own->is_bool()) return own->as_bool() && have;
  const client::ObjectPtr account = node_->accounts->get(spec_.ns, spec_.service_account);
  return have && (!account || base::get_bool(*account, "automountServiceAccountToken", true));
}

EnvironmentSources PodWorker::sources() const {
  auto maps = std::make_shared<Objects>(), secrets = std::make_shared<Objects>();
  const auto collect = [this](std::string_view kind, const client::Cache& cache, Objects& out) {
    for (const std::string& name : referenced_objects(spec_, kind)) {
      client::ObjectPtr object = cache.get(spec_.ns, name);
      if (const auto fetched = fetched_.find(fmt::format("{}/{}", kind, name)); !object && fetched != fetched_.end())
        object = fetched->second;
      out[name] = object;
    }
  };
  collect("ConfigMap", *node_->config_maps, *maps);
  collect("Secret", *node_->secrets, *secrets);
  const auto lookup = [](std::shared_ptr<Objects> objects) {
    return [objects](std::string_view name) {
      const auto found = objects->find(std::string(name));
      return found == objects->end() ? nullptr : found->second;
    };
  };
  auto claims = std::make_shared<Objects>();
  for (const std::string& name : claims_of(*spec_.object))
    (*claims)[name] = node_->host.caches().of(kVolumeClaims)->get(spec_.ns, name);
  EnvironmentSources out;
  out.volume_claim = lookup(claims);
  out.config_map = lookup(maps);
  out.secret = lookup(secrets);
  out.pod = spec_.object.get();
  out.pod_ip = net_.ip;
  out.host_ip = node_->host_ip;
  out.node_name = kNodeName;
  out.node_cpu_milli = node_->cpu_milli;
  out.node_memory = node_->memory;
  return out;
}

// A ConfigMap made just before its pod may not have reached the cache yet.
async::Task<base::Result<>> PodWorker::fetch_missing_objects() {
  for (const auto& [kind, resource, cache] :
       {std::tuple{"ConfigMap", client::resources::kConfigMaps, node_->config_maps},
        std::tuple{"Secret", client::resources::kSecrets, node_->secrets}}) {
    for (const std::string& name : referenced_objects(spec_, kind)) {
      const std::string key = fmt::format("{}/{}", kind, name);
      if (cache->get(spec_.ns, name)) {
        fetched_.erase(key);
        continue;
      }
      try {
        auto object = co_await node_->client.find(resource, spec_.ns, name);
        fetched_.erase(key);
        if (object) fetched_[key] = std::make_shared<const json::value>(*std::move(object));
      } catch (const base::StatusError& e) {
        co_return base::fail(base::ErrorCode::kUnavailable, fmt::format("reading {} {}: {}", kind, name, e.message()));
      }
    }
  }
  co_return base::Result<>{};
}

async::Task<base::Result<>> PodWorker::request_tokens() {
  std::vector<TokenWish> wishes;
  for (const json::value& volume :
       volumes_of(spec_, base::get_bool(*spec_.object, "spec.automountServiceAccountToken", true))) {
    for (TokenWish& wish : tokens_wanted(volume)) wishes.push_back(std::move(wish));
  }
  for (const TokenWish& wish : wishes) {
    json::object body{
        {"apiVersion", "authentication.k8s.io/v1"},
        {"kind", "TokenRequest"},
        {"metadata", json::object{{"labels", base::get_object(*spec_.object, "metadata.labels")}}},
        {"spec", json::object{
                     {"expirationSeconds", wish.expiration_seconds},
                     {"boundObjectRef",
                      json::object{{"apiVersion", "v1"}, {"kind", "Pod"}, {"name", spec_.name}, {"uid", spec_.uid}}}}}};
    json::value request(std::move(body));
    if (!wish.audience.empty()) base::set(request, "spec.audiences", json::array{json::string(wish.audience)});
    try {
      const json::value answer = co_await node_->client.create_subresource(
          client::resources::kServiceAccounts, spec_.ns, spec_.service_account, "token", std::move(request));
      tokens_[wish] = base::get_string(answer, "status.token");
      const auto expires = base::parse_rfc3339(base::get_string(answer, "status.expirationTimestamp"));
      const base::SystemTime now = node_->now();
      // At four fifths of its life, like the kubelet.
      const base::SystemTime renew = expires ? now + (*expires - now) * 4 / 5 : now + std::chrono::minutes(40);
      if (!tokens_renew_at_ || renew < *tokens_renew_at_) tokens_renew_at_ = renew;
    } catch (const base::StatusError& e) {
      // A namespace without accounts of its own: pods run there without a token.
      if (e.is_not_found() && spec_.service_account == "default") continue;
      co_return base::fail(
          e.is_not_found() ? base::ErrorCode::kNotFound : base::ErrorCode::kUnavailable,
          fmt::format("no token for service account {}/{}: {}", spec_.ns, spec_.service_account, e.message()));
    }
  }
  co_return base::Result<>{};
}

async::Task<base::Result<>> PodWorker::prepare_sandbox() {
  node_->tasks.spawn("warm up", warm_up(node_.get()));
  MAINSTAY_CO_TRY_VOID(co_await request_tokens());
  MAINSTAY_CO_TRY_VOID(co_await fetch_missing_objects());
  auto source = std::make_shared<EnvironmentSources>(sources());
  auto net = std::make_shared<PodNet>(net_);
  NodeContext* node = node_.get();
  auto result = co_await node_->host.runtime().blocking(
      [node, net, source, name_server = node_->pod_dns ? node_->pod_dns->nameserver() : std::string(), spec = spec_,
       tokens = tokens_, directory = directory(), volumes = volumes_of(spec_, wants_token())]() -> base::Result<> {
        MAINSTAY_TRY_VOID(base::make_directories(directory, 0711));
        // Only a user namespace's root needs a way through; secrets of others are behind a closed door.
        ::chmod(directory.c_str(), spec.builds ? 0711 : 0700);
        if (!spec.host_network && (net->name.empty() || !PodNetwork::exists(*net))) {
          MAINSTAY_TRY(*net, node->network.take());
        }
        const std::string ip = spec.host_network ? node->host_ip : net->ip;
        MAINSTAY_TRY_VOID(write_pod_files(spec, directory, ip, name_server));
        source->pod_ip = ip;
        MAINSTAY_TRY_VOID(
            prepare_volumes(spec, volumes, directory, *source, tokens, node->host.authority().certificate_pem()));
        // Last: with this record a restarted agent takes all of it for made.
        return write_pod_record(directory, {spec.ns, spec.name, *net});
      });
  net_ = *net;
  node_->tasks.spawn("refill", refill(node_.get()));
  if (!result) co_return std::unexpected(result.error());
  if (tokens_renew_at_ && !renewing_) {
    renewing_ = true;
    node_->tasks.spawn("tokens", renew_tokens(shared_from_this()));
  }
  co_return base::Result<>{};
}

async::Task<> PodWorker::make_sandbox() {
  const auto ready = co_await prepare_sandbox();
  if (ready) {
    for (const UnservedField& field : unserved_fields(base::get_object(*spec_.object, "spec"), "spec")) {
      if (!field.refused)
        record_event({}, "Warning", "FieldNotServed", fmt::format("{} has no effect: {}", field.field, field.why));
    }
    if (!spec_.host_network) node_->tasks.spawn("network of " + spec_.name, admit_task(shared_from_this()));
    on_sandbox(state_, spec_.host_network ? node_->host_ip : net_.ip);
    co_return;
  }
  const bool mount =
      ready.error().code == base::ErrorCode::kNotFound || ready.error().code == base::ErrorCode::kInvalid;
  record_event({}, "Warning", mount ? "FailedMount" : "FailedCreatePodSandBox", ready.error().message);
  on_sandbox_failed(state_, ready.error().message, node_->now());
}

// One at a time; network_ready() waits for the one under way.
async::Task<> PodWorker::admit_task(Self self) {
  PodWorker& w = *self;
  if (w.admitting_) co_return;
  w.admitting_ = true;
  const PodNet net = w.net_;
  w.admitted_ = co_await w.node_->policies->admit(w.spec_.uid, net.ip);
  if (*w.admitted_ && w.node_->mesh) {
    w.admitted_ = co_await w.node_->mesh->admit(
        {w.spec_.ns, w.spec_.name, w.spec_.uid, w.spec_.service_account, net.ip, net.path()});
  }
  w.admitting_ = false;
  if (!*w.admitted_)
    base::log::warn("compute", "pod {}/{}: {}", w.spec_.ns, w.spec_.name, w.admitted_->error().message);
  w.changed();
}

async::Task<base::Result<>> PodWorker::network_ready() {
  if (!admitting_ && !(admitted_ && *admitted_))
    node_->tasks.spawn("network of " + spec_.name, admit_task(shared_from_this()));
  while (!admitted_ || admitting_) co_await changed_.wait();
  co_return *admitted_;
}

async::Task<> PodWorker::renew_tokens(Self self) {
  PodWorker& w = *self;
  while (!w.ended_ && !w.state_.torn_down) {
    const base::SystemTime now = w.node_->now();
    if (now < *w.tokens_renew_at_) {
      co_await w.changed_.wait_for(*w.tokens_renew_at_ - now);
      continue;
    }
    w.tokens_renew_at_.reset();
    const auto renewed = co_await w.request_tokens();
    if (!renewed) base::log::warn("compute", "pod {}/{}: {}", w.spec_.ns, w.spec_.name, renewed.error().message);
    if (!w.tokens_renew_at_) w.tokens_renew_at_ = w.node_->now() + std::chrono::seconds(30);
    w.refresh_volumes();
  }
}

bool PodWorker::shows(std::string_view kind, const std::string& name) const {
  return mounted_objects(spec_, kind).contains(name);
}

void PodWorker::refresh_volumes() {
  if (!state_.sandbox || state_.torn_down || state_.deleting) return;
  refresh_again_ = true;
  if (refreshing_) return;
  refreshing_ = true;
  node_->tasks.spawn("volumes", refresh_task(shared_from_this()));
}

async::Task<> PodWorker::refresh_task(Self self) {
  PodWorker& w = *self;
  NodeContext* node = w.node_.get();
  ++w.busy_;
  while (w.refresh_again_ && !w.state_.torn_down) {
    w.refresh_again_ = false;
    auto source = std::make_shared<EnvironmentSources>(w.sources());
    const auto result = co_await node->host.runtime().blocking([node, source, spec = w.spec_, tokens = w.tokens_,
                                                                directory = w.directory(),
                                                                volumes = volumes_of(w.spec_, w.wants_token())] {
      return prepare_volumes(spec, volumes, directory, *source, tokens, node->host.authority().certificate_pem());
    });
    if (!result) w.record_event({}, "Warning", "FailedMount", result.error().message);
  }
  w.refreshing_ = false;
  --w.busy_;
  w.changed();
}

async::Task<> PodWorker::tear_down() {
  while (busy_ > 0) co_await changed_.wait();
  NodeContext* node = node_.get();
  while (admitting_) co_await changed_.wait();
  admitted_.reset();
  if (!net_.name.empty()) {
    node->policies->leave(spec_.uid);
    if (node->mesh) node->mesh->leave(spec_.uid);
  }
  co_await node->host.runtime().run_blocking(
      [node, net = net_, directory = directory(), uid = spec_.uid, all = state_.deleting] {
        if (!net.name.empty()) node->network.release(net);
        unmount_below(directory);
        remove_cgroup(node->cgroup(uid));
        if (all) {
          remove_tree(directory);
        } else {
          for (const char* part : {"volumes", "sealed", "subpaths"}) remove_tree(directory / part);
          ::unlink((directory / "pod.json").c_str());
        }
      });
  net_ = {};
}

}  // namespace mainstay::compute
