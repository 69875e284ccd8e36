#include "capabilities/cloud/usage/reports.h"

#include <fmt/format.h>
#include <sys/statvfs.h>

#include <algorithm>

#include "base/quantity.h"
#include "base/status.h"
#include "capabilities/cloud/usage/accounting.h"
#include "capabilities/cloud/usage/machine.h"
#include "platform/interfaces/stats.h"
#include "platform/interfaces/usage.h"

namespace mainstay::cloud {
namespace {
namespace resources = client::resources;

const client::Resource kVolumeClaims{"", "v1", "persistentvolumeclaims", true, "PersistentVolumeClaim"};
const client::Resource kClaims{"mainstay.dev", "v1", "resourceclaims", true, "ResourceClaim"};
const client::Resource kPriceLists{"mainstay.dev", "v1", "pricelists", false, "PriceList"};
const client::Resource kBuckets{"mainstay.dev", "v1", "buckets", true, "Bucket"};
const client::Resource kQuotas{"", "v1", "resourcequotas", true, "ResourceQuota"};
const client::Resource kPools{"mainstay.dev", "v1", "addresspools", false, "AddressPool"};
const client::Resource kUsageReports{"mainstay.dev", "v1", "usagereports", true, "UsageReport"};
const client::Resource kCapacityReports{"mainstay.dev", "v1", "capacityreports", false, "CapacityReport"};

json::value report_object(const client::Resource& resource, const std::string& ns, const std::string& name,
                          const json::value& owner) {
  json::object metadata{{"name", name}};
  if (!ns.empty()) metadata["namespace"] = ns;
  if (!owner.is_null()) metadata["ownerReferences"] = json::array{reconcile::owner_reference(owner, false)};
  return json::object{
      {"apiVersion", resource.api_version()}, {"kind", resource.kind}, {"metadata", std::move(metadata)}};
}

// The report is made on first need; its status is written only where it says something new.
async::Task<> write(client::ApiClient client, client::Resource resource, std::string ns, std::string name,
                    json::value status, json::value owner) {
  std::optional<json::value> present = co_await client.find(resource, ns, name);
  if (!present) present = co_await client.apply(resource, report_object(resource, ns, name, owner));
  const json::value* before = base::find(*present, "status");
  if (before != nullptr && *before == status) co_return;
  json::value patch = json::object{{"status", std::move(status)}};
  co_await client.merge_patch(resource, ns, name, std::move(patch), "status");
}

constexpr std::chrono::seconds kSampleEvery{15};

struct Part {
  std::int64_t total = 0, requested = 0, used = 0;
};

json::object part_json(const Part& part, bool cpu) {
  // Bytes in whole MiB: what the kernel keeps for itself makes odd numbers of the total.
  const auto text = [cpu](std::int64_t value) {
    return cpu ? cpu_text(value) : base::format_bytes(value / (1 << 20) * (1 << 20));
  };
  return {{"total", text(part.total)},
          {"requested", text(part.requested)},
          {"used", text(std::min(part.total, base::coarse(part.used, cpu ? 10 : 1 << 20)))},
          {"free", text(std::max<std::int64_t>(part.total - part.requested, 0))}};
}

class Reports : public std::enable_shared_from_this<Reports> {
 public:
  explicit Reports(platform::Host& host)
      : host_(host),
        client_(host.client("usage")),
        teams_(host.caches().of(resources::kTeams)),
        namespaces_(host.caches().of(resources::kNamespaces)),
        pods_(host.caches().of(resources::kPods)),
        services_(host.caches().of(resources::kServices)),
        volumes_(host.caches().of(kVolumeClaims)),
        claims_(host.caches().of(kClaims)),
        prices_(host.caches().of(kPriceLists)),
        nodes_(host.caches().of(resources::kNodes)),
        pools_(host.caches().of(kPools)),
        buckets_(host.caches().of(kBuckets)),
        quotas_(host.caches().of(kQuotas)) {}

  // What runs is asked of the kernel, and then every report is made anew: there is no event for use.
  static async::Task<> sample(std::shared_ptr<Reports> self, reconcile::Controller& usage,
                              reconcile::Controller& capacity) {
    for (;;) {
      if (const auto source = self->host_.find<platform::StatsSource>()) self->take(co_await source->pods());
      self->machine_ =
          co_await self->host_.runtime().blocking([before = self->machine_] { return read_machine("/proc", before); });
      for (reconcile::Name& team : self->all_teams()) usage.enqueue(std::move(team));
      capacity.enqueue({"", "mainstay"});
      co_await async::sleep_for(kSampleEvery);
    }
  }

  async::Task<reconcile::Outcome> team(reconcile::Name name) {
    auto keep = shared_from_this();
    const client::ObjectPtr team = teams_->get("", name.name);
    if (!team || !base::get_string(*team, "metadata.deletionTimestamp").empty()) co_return reconcile::Outcome::done();
    const client::ObjectPtr own = namespaces_->get("", name.name);
    if (!own || base::label(*own, "mainstay.dev/team") != name.name) co_return reconcile::Outcome::done();
    const client::ObjectPtr prices = prices_->get("", "default");
    json::value status = usage_status(objects_of(name.name), prices ? *prices : json::value(json::object()));
    co_await write(client_, kUsageReports, name.name, "current", std::move(status), *team);
    co_return reconcile::Outcome::done();
  }

  async::Task<reconcile::Outcome> capacity(reconcile::Name) {
    auto keep = shared_from_this();
    json::value status = capacity_status();
    co_await write(client_, kCapacityReports, "", "platform", std::move(status), nullptr);
    co_return reconcile::Outcome::after(std::chrono::minutes(5));  // the disk fills without an event
  }

  // The team that an object in a namespace belongs to.
  std::vector<reconcile::Name> team_of(const json::value& object) const {
    const client::ObjectPtr ns = namespaces_->get("", base::get_string(object, "metadata.namespace"));
    const std::string team = ns ? base::label(*ns, "mainstay.dev/team") : "";
    return team.empty() ? std::vector<reconcile::Name>() : std::vector<reconcile::Name>{{"", team}};
  }
  std::vector<reconcile::Name> all_teams() const {
    std::vector<reconcile::Name> out;
    for (const auto& team : teams_->list()) out.push_back({"", base::get_string(*team, "metadata.name")});
    return out;
  }

 private:
  struct PodUse {
    double cpu_seconds = 0;
    base::SystemTime at;
    Amount amount;
  };

  void take(const std::vector<platform::PodStats>& pods) {
    const base::SystemTime now = host_.clock().now();
    std::map<reconcile::Name, PodUse> next;
    for (const platform::PodStats& pod : pods) {
      PodUse use;
      use.at = now;
      for (const platform::ContainerStats& container : pod.containers) {
        use.cpu_seconds += container.cpu_seconds;
        use.amount.memory_bytes += static_cast<std::int64_t>(container.memory_working_set);
      }
      const auto before = pod_use_.find({pod.ns, pod.name});
      if (before != pod_use_.end() && now > before->second.at) {
        const double seconds = std::chrono::duration<double>(now - before->second.at).count();
        // A container that was started anew counts from nothing.
        const double spent = std::max(0.0, use.cpu_seconds - before->second.cpu_seconds);
        use.amount.cpu_milli = static_cast<std::int64_t>(spent / seconds * 1000);
      }
      next[{pod.ns, pod.name}] = use;
    }
    pod_use_ = std::move(next);
  }

  TeamObjects::Environment environment_of(const std::string& ns, std::string name) const {
    TeamObjects::Environment out;
    out.name = std::move(name);
    out.ns = ns;
    out.pods = pods_->list(ns);
    out.services = services_->list(ns);
    out.volumes = volumes_->list(ns);
    out.claims = claims_->list(ns);
    out.buckets = buckets_->list(ns);
    out.quotas = quotas_->list(ns);
    for (const auto& [pod, use] : pod_use_)
      if (pod.ns == ns) out.pods_used[pod.name] = use.amount;
    return out;
  }

  TeamObjects objects_of(const std::string& team) const {
    TeamObjects out;
    for (const auto& ns : namespaces_->list()) {
      if (base::label(*ns, "mainstay.dev/team") != team) continue;
      const std::string name = base::get_string(*ns, "metadata.name");
      out.environments.push_back(environment_of(name, base::label(*ns, "mainstay.dev/environment")));
    }
    std::ranges::sort(out.environments, {}, &TeamObjects::Environment::ns);
    const auto storage = host_.find<platform::StorageUsage>();
    const auto volumes = storage ? storage->volumes() : std::vector<platform::VolumeFigures>();
    const auto claims = storage ? storage->claims() : std::vector<platform::ClaimFigures>();
    for (TeamObjects::Environment& environment : out.environments) {
      for (const auto& volume : volumes)
        if (volume.ns == environment.ns)
          environment.volumes_used[volume.name].storage_bytes = static_cast<std::int64_t>(volume.used_bytes);
      for (const auto& claim : claims)  // a volume's claim is measured as the volume
        if (claim.ns == environment.ns && !environment.volumes_used.contains(claim.name))
          environment.claims_used[claim.name].storage_bytes = bytes_of(claim);
    }
    if (const auto images = host_.find<platform::ImageUsage>()) {
      const auto all = images->bytes_by_team();
      if (const auto own = all.find(team); own != all.end()) out.image_bytes = own->second;
    }
    return out;
  }

  static std::int64_t bytes_of(const platform::ClaimFigures& claim) {
    const auto at = claim.values.find("size_bytes");
    return at == claim.values.end() ? 0 : static_cast<std::int64_t>(at->second);
  }

  // What the disk is used for, as far as it is the teams'.
  json::object stored() const {
    std::map<std::string, std::int64_t> sums{{"volumes", 0}, {"buckets", 0}, {"images", 0}};
    if (const auto storage = host_.find<platform::StorageUsage>()) {
      for (const auto& volume : storage->volumes()) sums["volumes"] += static_cast<std::int64_t>(volume.used_bytes);
      for (const auto& claim : storage->claims())
        if (claim.type != "volume" && claim.type != "s3") sums[claim.type] += bytes_of(claim);
    }
    for (const auto& bucket : buckets_->list()) sums["buckets"] += base::get_int(*bucket, "status.bytes");
    if (const auto images = host_.find<platform::ImageUsage>())
      for (const auto& [team, bytes] : images->bytes_by_team()) sums["images"] += static_cast<std::int64_t>(bytes);
    json::object out;
    for (const auto& [name, bytes] : sums) out[name] = base::format_bytes(base::coarse(bytes, 1 << 20));
    return out;
  }

  json::value capacity_status() const {
    Part cpu, memory, disk;
    for (const auto& node : nodes_->list()) {
      cpu.total += base::parse_quantity_milli(base::get_string(*node, "status.allocatable.cpu")).value_or(0);
      memory.total += base::parse_quantity(base::get_string(*node, "status.allocatable.memory")).value_or(0);
    }
    for (const auto& pod : pods_->list()) {
      if (!holds_resources(*pod)) continue;
      const Amount amount = pod_amount(*pod);
      cpu.requested += amount.cpu_milli;
      memory.requested += amount.memory_bytes;
    }
    cpu.used = machine_.cpu_milli;
    memory.used = machine_.memory_bytes;
    for (const auto& volume : volumes_->list()) disk.requested += volume_amount(*volume).storage_bytes;
    struct statvfs room{};
    if (::statvfs(host_.config().data_dir.c_str(), &room) == 0) {
      // In whole GiB: the report is for planning, and need not change with each log line.
      constexpr std::int64_t kStep = 1ll << 30;
      disk.total = static_cast<std::int64_t>(room.f_blocks * room.f_frsize) / kStep * kStep;
      disk.used = disk.total - static_cast<std::int64_t>(room.f_bavail * room.f_frsize) / kStep * kStep;
    }
    json::object disk_json = part_json(disk, false);
    disk_json["used"] = base::format_bytes(disk.used);  // coarse already
    disk_json["free"] = base::format_bytes(std::max<std::int64_t>(disk.total - disk.used, 0));
    disk_json["stored"] = stored();
    json::array addresses;
    for (const auto& pool : pools_->list()) {
      const std::int64_t size = base::get_int(*pool, "status.size"), used = base::get_int(*pool, "status.used");
      addresses.push_back(json::object{{"pool", base::get_string(*pool, "metadata.name")},
                                       {"total", size},
                                       {"used", used},
                                       {"free", std::max<std::int64_t>(size - used, 0)}});
    }
    return json::object{{"cpu", part_json(cpu, true)},
                        {"memory", part_json(memory, false)},
                        {"disk", std::move(disk_json)},
                        {"addresses", std::move(addresses)}};
  }

  platform::Host& host_;
  client::ApiClient client_;
  std::shared_ptr<client::Cache> teams_, namespaces_, pods_, services_, volumes_, claims_, prices_, nodes_, pools_,
      buckets_, quotas_;
  std::map<reconcile::Name, PodUse> pod_use_;
  MachineUse machine_;
};

async::Task<> start(platform::Host* host, std::shared_ptr<Reports> reports, reconcile::Controller* usage,
                    reconcile::Controller* capacity) {
  host->tasks().spawn("usage sampler", Reports::sample(reports, *usage, *capacity));
  co_return;
}

}  // namespace

void add_reports(platform::Host& host) {
  auto reports = std::make_shared<Reports>(host);
  const auto team_of = [reports](const json::value& object) { return reports->team_of(object); };
  reconcile::ControllerOptions usage;
  usage.name = "usage";
  usage.primary = resources::kTeams;
  for (const client::Resource& resource :
       {resources::kPods, resources::kServices, kVolumeClaims, kClaims, kQuotas, kUsageReports})
    usage.also.push_back({resource, team_of});
  usage.also.push_back({resources::kNamespaces, [](const json::value& ns) {
                          const std::string team = base::label(ns, "mainstay.dev/team");
                          return team.empty() ? std::vector<reconcile::Name>()
                                              : std::vector<reconcile::Name>{{"", team}};
                        }});
  usage.also.push_back({kPriceLists, [reports](const json::value&) { return reports->all_teams(); }});
  reconcile::Controller& by_team =
      host.add_controller(std::move(usage), [reports](reconcile::Name name) { return reports->team(std::move(name)); });

  reconcile::ControllerOptions capacity;
  capacity.name = "capacity";
  capacity.primary = resources::kNodes;
  capacity.workers = 1;
  const auto platform = [](const json::value&) { return std::vector<reconcile::Name>{{"", "mainstay"}}; };
  capacity.also = {{resources::kPods, platform}, {kPools, platform}};
  reconcile::Controller& of_machine = host.add_controller(
      std::move(capacity), [reports](reconcile::Name name) { return reports->capacity(std::move(name)); });
  host.on_start("usage",
                [&host, reports, &by_team, &of_machine] { return start(&host, reports, &by_team, &of_machine); });
}

}  // namespace mainstay::cloud
