#include "capabilities/cloud/usage/quota.h"

#include <fmt/format.h>

#include "base/quantity.h"
#include "base/status.h"
#include "base/strings.h"
#include "capabilities/cloud/usage/accounting.h"

namespace mainstay::cloud {
namespace {
namespace resources = client::resources;

const client::Resource kQuotas{"", "v1", "resourcequotas", true, "ResourceQuota"};
const client::Resource kVolumeClaims{"", "v1", "persistentvolumeclaims", true, "PersistentVolumeClaim"};
const client::Resource kClaims{"mainstay.dev", "v1", "resourceclaims", true, "ResourceClaim"};

// What can be counted. The names of Kubernetes' quotas without a group, and count/<resource>.<group> of the others.
const std::vector<client::Resource>& counted() {
  static const std::vector<client::Resource> list{resources::kPods,
                                                  resources::kServices,
                                                  resources::kSecrets,
                                                  resources::kConfigMaps,
                                                  resources::kDeployments,
                                                  kVolumeClaims,
                                                  kClaims};
  return list;
}

std::string count_name(const std::string& plural, const std::string& group) {
  return group.empty() ? plural : fmt::format("count/{}.{}", plural, group);
}

// "cpu" means requests.cpu, "count/pods" the same as "pods".
std::string canonical(std::string_view name) {
  if (name == "cpu" || name == "memory") return fmt::format("requests.{}", name);
  if (name.starts_with("count/") && !name.contains('.')) return std::string(name.substr(6));
  return std::string(name);
}

std::int64_t quantity(const json::value& value) {
  const std::string text = value.is_string() ? std::string(value.as_string()) : base::to_json(value);
  return base::parse_quantity_milli(text).value_or(0);
}

std::string text_of(std::string_view name, std::int64_t milli) {
  if (name.ends_with("cpu")) return cpu_text(milli);
  if (name.ends_with("memory") || name.ends_with("storage")) return base::format_bytes(milli / 1000);
  return std::to_string(milli / 1000);
}

bool is_pod_resource(std::string_view name) {
  return name == "requests.cpu" || name == "requests.memory" || name == "limits.cpu" || name == "limits.memory";
}

constexpr std::chrono::seconds kPendingFor{5};

bool grows(const Holdings& now, const Holdings& before) {
  return std::ranges::any_of(now, [&](const auto& entry) {
    const auto at = before.find(entry.first);
    return entry.second > (at == before.end() ? 0 : at->second);
  });
}

class Quotas : public std::enable_shared_from_this<Quotas> {
 public:
  explicit Quotas(platform::Host& host) : host_(host), quotas_(host.caches().of(kQuotas)) {
    for (const client::Resource& resource : counted()) caches_.emplace_back(resource, host.caches().of(resource));
  }

  Holdings held(const std::string& ns) const {
    Holdings out;
    for (const auto& [resource, cache] : caches_) {
      for (const client::ObjectPtr& object : cache->list(ns)) {
        for (const auto& [name, amount] : holdings_of(resource.plural, resource.group, *object)) out[name] += amount;
      }
    }
    return out;
  }

  void check(const api::AdmissionRequest& request) {
    const auto quotas = quotas_->list(request.ns);
    if (quotas.empty()) return;
    const std::string& plural = request.type->plural;
    const std::string& group = request.type->group;
    Pending asked{request.ns, plural, group, base::get_string(*request.object, "metadata.name", request.name)};
    asked.more = holdings_of(plural, group, *request.object);
    asked.until = host_.clock().now() + kPendingFor;
    const bool update = request.operation == api::Operation::kUpdate;
    if (update) {
      if (!grows(asked.more, holdings_of(plural, group, *request.old_object))) return;
      asked.whole = asked.more;
      // Than what is counted of it already, so that trying again counts once.
      if (const client::ObjectPtr counted = cached(asked))
        for (const auto& [name, amount] : holdings_of(plural, group, *counted)) asked.more[name] -= amount;
    }
    forget_known();
    Holdings used = held(request.ns);
    for (const Pending& pending : pending_) {
      if (pending.ns != request.ns || (update && pending.same_object(asked))) continue;
      for (const auto& [name, amount] : pending.more) used[name] += amount;
    }
    for (const client::ObjectPtr& quota : quotas) {
      const std::string why = over_quota(*quota, used, asked.more);
      if (!why.empty())
        throw base::forbidden(fmt::format("{} \"{}\" is forbidden: exceeded quota: {}, {}", plural, asked.name,
                                          base::get_string(*quota, "metadata.name"), why));
    }
    if (request.dry_run) return;
    if (update) std::erase_if(pending_, [&](const Pending& pending) { return pending.same_object(asked); });
    pending_.push_back(std::move(asked));
  }

  async::Task<reconcile::Outcome> reconcile(reconcile::Name name) {
    auto keep = shared_from_this();
    const client::ObjectPtr quota = quotas_->get(name.ns, name.name);
    if (!quota) co_return reconcile::Outcome::done();
    reconcile::Pass pass(host_.client("quota"), kQuotas, quota);
    base::set(pass.object(), "status.hard", base::get_object(*quota, "spec.hard"));
    base::set(pass.object(), "status.used", used_json(*quota, held(name.ns)));
    co_await pass.commit();
    co_return reconcile::Outcome::done();
  }

  std::vector<reconcile::Name> quotas_beside(const json::value& object) const {
    std::vector<reconcile::Name> out;
    for (const auto& quota : quotas_->list(base::get_string(object, "metadata.namespace")))
      out.push_back({base::get_string(*quota, "metadata.namespace"), base::get_string(*quota, "metadata.name")});
    return out;
  }

 private:
  void forget_known() {
    const base::SystemTime now = host_.clock().now();
    std::erase_if(pending_, [&](const Pending& pending) {
      return pending.until <= now || is_known(pending, cached(pending).get());
    });
  }

  client::ObjectPtr cached(const Pending& pending) const {
    for (const auto& [resource, cache] : caches_) {
      if (resource.plural == pending.plural && resource.group == pending.group && !pending.name.empty())
        return cache->get(pending.ns, pending.name);
    }
    return nullptr;
  }

  platform::Host& host_;
  std::shared_ptr<client::Cache> quotas_;
  std::vector<std::pair<client::Resource, std::shared_ptr<client::Cache>>> caches_;
  std::vector<Pending> pending_;
};

bool is_counted(const api::Type& type) {
  return std::ranges::any_of(counted(), [&](const client::Resource& resource) {
    return resource.plural == type.plural && resource.group == type.group;
  });
}

}  // namespace

Holdings holdings_of(const std::string& plural, const std::string& group, const json::value& object) {
  Holdings out;
  const bool pod = plural == "pods" && group.empty();
  if (pod && !holds_resources(object)) return out;
  out[count_name(plural, group)] = 1000;
  if (pod) {
    const Amount amount = pod_amount(object);
    out["requests.cpu"] = amount.cpu_milli;
    out["requests.memory"] = amount.memory_bytes * 1000;
    out["limits.cpu"] = amount.cpu_limit_milli;
    out["limits.memory"] = amount.memory_limit_bytes * 1000;
  }
  if (plural == "persistentvolumeclaims" && group.empty())
    out["requests.storage"] = volume_amount(object).storage_bytes * 1000;
  return out;
}

bool is_known(const Pending& pending, const json::value* object) {
  return object != nullptr &&
         (pending.whole.empty() || holdings_of(pending.plural, pending.group, *object) == pending.whole);
}

std::vector<std::string> unknown_names(const json::value& quota) {
  std::vector<std::string> out;
  for (const auto& entry : base::get_object(quota, "spec.hard")) {
    const std::string name = canonical(entry.key());
    const bool known =
        is_pod_resource(name) || name == "requests.storage" ||
        std::ranges::any_of(counted(), [&](const auto& r) { return count_name(r.plural, r.group) == name; });
    if (!known) out.emplace_back(entry.key());
  }
  return out;
}

std::string over_quota(const json::value& quota, const Holdings& used, const Holdings& more) {
  const auto at = [](const Holdings& from, const std::string& name) {
    const auto found = from.find(name);
    return found == from.end() ? std::int64_t{0} : found->second;
  };
  std::vector<std::string> missing, asked, have, limited;
  for (const auto& entry : base::get_object(quota, "spec.hard")) {
    const std::string name = canonical(entry.key());
    if (!more.contains(name)) continue;
    const std::int64_t hard = quantity(entry.value()), wanted = at(more, name), taken = at(used, name);
    if (is_pod_resource(name) && wanted == 0) missing.push_back(name);
    if (wanted <= 0 || taken + wanted <= hard) continue;
    asked.push_back(fmt::format("{}={}", name, text_of(name, wanted)));
    have.push_back(fmt::format("{}={}", name, text_of(name, taken)));
    limited.push_back(fmt::format("{}={}", name, text_of(name, hard)));
  }
  if (!missing.empty())
    return fmt::format("must specify {} for every container, since the quota limits it", base::join(missing, ","));
  if (asked.empty()) return "";
  return fmt::format("requested: {}, used: {}, limited: {}; free some, or ask the platform team for more",
                     base::join(asked, ","), base::join(have, ","), base::join(limited, ","));
}

json::object used_json(const json::value& quota, const Holdings& used) {
  json::object out;
  for (const auto& entry : base::get_object(quota, "spec.hard")) {
    const std::string name = canonical(entry.key());
    const auto found = used.find(name);
    out[entry.key()] = text_of(name, found == used.end() ? 0 : found->second);
  }
  return out;
}

void add_quotas(platform::Host& host) {
  auto quotas = std::make_shared<Quotas>(host);
  api::AdmissionPlugin names;
  names.name = "quota-names";
  names.matches = [](const api::AdmissionRequest& request) {
    return request.type != nullptr && request.type->group.empty() && request.type->kind == "ResourceQuota" &&
           request.subresource.empty() && request.object != nullptr && request.operation != api::Operation::kDelete;
  };
  names.admit = [](api::AdmissionRequest& request) -> async::Task<> {
    const auto unknown = unknown_names(*request.object);
    if (!unknown.empty())
      throw base::invalid("ResourceQuota", request.name,
                          {{"spec.hard", "FieldValueNotSupported",
                            fmt::format("{} cannot be counted; supported are pods, requests.cpu, requests.memory, "
                                        "limits.cpu, limits.memory, requests.storage, services, secrets, configmaps, "
                                        "persistentvolumeclaims, count/deployments.apps, "
                                        "count/resourceclaims.mainstay.dev",
                                        base::join(unknown, ", "))}});
    co_return;
  };
  host.api().add_admission(std::move(names));
  api::AdmissionPlugin limits;
  limits.name = "quota";
  limits.matches = [](const api::AdmissionRequest& request) {
    if (request.type == nullptr || !request.subresource.empty() || request.object == nullptr || request.ns.empty())
      return false;
    // A volume may grow after it was made; a pod's resources do not change.
    return (request.operation == api::Operation::kCreate && is_counted(*request.type)) ||
           (request.operation == api::Operation::kUpdate && request.old_object != nullptr &&
            request.type->group.empty() && request.type->plural == kVolumeClaims.plural);
  };
  limits.admit = [quotas](api::AdmissionRequest& request) -> async::Task<> {
    quotas->check(request);
    co_return;
  };
  host.api().add_admission(std::move(limits));

  reconcile::ControllerOptions options;
  options.name = "quota";
  options.primary = kQuotas;
  for (const client::Resource& resource : counted())
    options.also.push_back({resource, [quotas](const json::value& object) { return quotas->quotas_beside(object); }});
  host.add_controller(std::move(options),
                      [quotas](reconcile::Name name) { return quotas->reconcile(std::move(name)); });
}

}  // namespace mainstay::cloud
