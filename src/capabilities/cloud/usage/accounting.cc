#include "capabilities/cloud/usage/accounting.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/quantity.h"

namespace mainstay::cloud {
namespace {

constexpr double kGiB = 1024.0 * 1024 * 1024;

std::string text_of(const json::object& from, std::string_view key) {
  const json::value* value = from.if_contains(key);
  if (value == nullptr) return "";
  return value->is_string() ? std::string(value->as_string()) : base::to_json(*value);
}

Amount container_amount(const json::value& container) {
  const json::object& requests = base::get_object(container, "resources.requests");
  const json::object& limits = base::get_object(container, "resources.limits");
  const auto asked = [&](std::string_view key) { return text_of(requests.contains(key) ? requests : limits, key); };
  Amount out;
  out.cpu_milli = base::parse_quantity_milli(asked("cpu")).value_or(0);
  out.memory_bytes = base::parse_quantity(asked("memory")).value_or(0);
  out.cpu_limit_milli = base::parse_quantity_milli(text_of(limits, "cpu")).value_or(0);
  out.memory_limit_bytes = base::parse_quantity(text_of(limits, "memory")).value_or(0);
  return out;
}

double number_at(const json::value& from, std::string_view path) {
  const json::value* value = base::find(from, path);
  return value != nullptr && value->is_number() ? value->to_number<double>() : 0;
}

std::string workload_of(const json::value& object) {
  if (std::string name = base::label(object, "app.kubernetes.io/name"); !name.empty()) return name;
  if (std::string run = base::label(object, "mainstay.dev/workflow-run"); !run.empty()) return "workflow runs";
  return base::get_string(object, "metadata.name");
}

struct Holding {
  Amount requested, used;
  Holding& operator+=(const Holding& other) {
    requested += other.requested;
    used += other.used;
    return *this;
  }
};

json::object report_line(std::string_view name, const Holding& holding, std::int64_t cents) {
  return {{"name", name},
          {"requested", amount_json(holding.requested)},
          {"used", amount_json(coarse(holding.used))},
          {"monthlyCost", money(static_cast<double>(cents) / 100)}};
}

Amount used_of(const std::map<std::string, Amount>& all, const json::value& object) {
  const auto at = all.find(base::get_string(object, "metadata.name"));
  return at == all.end() ? Amount() : at->second;
}

std::map<std::string, Holding> holdings(const TeamObjects::Environment& environment, const json::value& prices) {
  std::map<std::string, Holding> out;
  for (const auto& pod : environment.pods) {
    if (!holds_resources(*pod)) continue;
    Holding one{pod_amount(*pod), used_of(environment.pods_used, *pod)};
    one.used.addresses = one.requested.addresses != 0 && !base::get_string(*pod, "status.podIP").empty() ? 1 : 0;
    out[workload_of(*pod)] += one;
  }
  for (const auto& service : environment.services) {
    const std::string ip = base::get_string(*service, "spec.clusterIP");
    if (ip.empty() || ip == "None") continue;
    Holding& one = out[workload_of(*service)];
    ++one.requested.addresses;
    ++one.used.addresses;
  }
  for (const auto& volume : environment.volumes)
    out[workload_of(*volume)] += {volume_amount(*volume), used_of(environment.volumes_used, *volume)};
  for (const auto& claim : environment.claims) {
    // What was refused from the start is not there.
    if (base::get_string(*claim, "status.phase") == "Failed" && base::get_string(*claim, "status.secretName").empty())
      continue;
    std::string workload = base::get_string(*claim, "spec.workload");
    out[workload.empty() ? workload_of(*claim) : workload] +=
        {claim_amount(*claim, prices), used_of(environment.claims_used, *claim)};
  }
  for (const auto& bucket : environment.buckets) {
    Amount held;
    held.storage_bytes = base::get_int(*bucket, "status.bytes");
    const auto& owners = base::get_array(*bucket, "metadata.ownerReferences");
    // A claim's is measured as the claim.
    if (owners.empty() || base::get_string(owners[0], "kind") != "ResourceClaim")
      out[workload_of(*bucket)] += {Amount(), held};
  }
  return out;
}

}  // namespace

Amount& Amount::operator+=(const Amount& other) {
  cpu_milli += other.cpu_milli;
  memory_bytes += other.memory_bytes;
  storage_bytes += other.storage_bytes;
  addresses += other.addresses;
  cpu_limit_milli += other.cpu_limit_milli;
  memory_limit_bytes += other.memory_limit_bytes;
  claims += other.claims;
  return *this;
}

bool holds_resources(const json::value& pod) {
  const std::string phase = base::get_string(pod, "status.phase");
  return phase != "Succeeded" && phase != "Failed";
}

Amount pod_amount(const json::value& pod) {
  Amount out;
  for (const json::value& container : base::get_array(pod, "spec.containers")) out += container_amount(container);
  for (const json::value& container : base::get_array(pod, "spec.initContainers")) {
    const Amount init = container_amount(container);
    out.cpu_milli = std::max(out.cpu_milli, init.cpu_milli);
    out.memory_bytes = std::max(out.memory_bytes, init.memory_bytes);
    out.cpu_limit_milli = std::max(out.cpu_limit_milli, init.cpu_limit_milli);
    out.memory_limit_bytes = std::max(out.memory_limit_bytes, init.memory_limit_bytes);
  }
  out.addresses = base::get_bool(pod, "spec.hostNetwork") ? 0 : 1;
  return out;
}

Amount volume_amount(const json::value& claim) {
  Amount out;
  out.storage_bytes =
      base::parse_quantity(text_of(base::get_object(claim, "spec.resources.requests"), "storage")).value_or(0);
  return out;
}

Amount claim_amount(const json::value& claim, const json::value& price_list) {
  Amount out;
  if (base::get_string(claim, "status.driver") == "volume") return out;
  const std::string shown = base::get_string(claim, "status.monthlyCost");
  if (const auto [end, error] = std::from_chars(shown.data(), shown.data() + shown.size(), out.claims);
      error == std::errc() && end != shown.data())
    return out;
  out.claims = 0;
  const json::object& prices = base::get_object(price_list, "spec.resources");
  for (const std::string& name : {base::get_string(claim, "status.class"), base::get_string(claim, "spec.class"),
                                  base::get_string(claim, "spec.type")}) {
    const json::value* price = prices.if_contains(name);
    if (price == nullptr || !price->is_number()) continue;
    out.claims = price->to_number<double>();
    break;
  }
  return out;
}

double monthly_cost(const Amount& amount, const json::value& prices) {
  return static_cast<double>(amount.cpu_milli) / 1000 * number_at(prices, "spec.cpuCoreMonth") +
         static_cast<double>(amount.memory_bytes) / kGiB * number_at(prices, "spec.memoryGiBMonth") +
         static_cast<double>(amount.storage_bytes) / kGiB * number_at(prices, "spec.storageGiBMonth") +
         static_cast<double>(amount.addresses) * number_at(prices, "spec.addressMonth") + amount.claims;
}

std::string money(double value) { return fmt::format("{:.2f}", value); }

std::string cpu_text(std::int64_t milli) {
  return milli % 1000 == 0 ? std::to_string(milli / 1000) : fmt::format("{}m", milli);
}

json::object amount_json(const Amount& amount) {
  return {{"cpu", cpu_text(amount.cpu_milli)},
          {"memory", base::format_bytes(amount.memory_bytes)},
          {"storage", base::format_bytes(amount.storage_bytes)},
          {"addresses", amount.addresses}};
}

Amount coarse(Amount amount) {
  amount.cpu_milli = base::coarse(amount.cpu_milli, 10);
  amount.memory_bytes = base::coarse(amount.memory_bytes, 64 << 10);
  amount.storage_bytes = base::coarse(amount.storage_bytes, 64 << 10);
  return amount;
}

json::object free_by_quota(const std::vector<client::ObjectPtr>& quotas) {
  std::map<std::string, std::int64_t> least;  // by the report's names, in thousandths
  const std::pair<std::string_view, const char*> names[] = {{"requests.cpu", "cpu"},         {"cpu", "cpu"},
                                                            {"requests.memory", "memory"},   {"memory", "memory"},
                                                            {"requests.storage", "storage"}, {"pods", "pods"}};
  for (const auto& quota : quotas) {
    const json::object &hard = base::get_object(*quota, "status.hard"), &used = base::get_object(*quota, "status.used");
    for (const auto& [name, shown] : names) {
      if (!hard.contains(name)) continue;
      const auto milli = [&](const json::object& from) {
        return base::parse_quantity_milli(text_of(from, name)).value_or(0);
      };
      const std::int64_t left = std::max<std::int64_t>(milli(hard) - milli(used), 0);
      const auto [at, fresh] = least.emplace(shown, left);
      if (!fresh) at->second = std::min(at->second, left);
    }
  }
  json::object out;
  for (const auto& [name, left] : least) {
    if (name == "cpu") {
      out[name] = cpu_text(left);
    } else if (name == "pods") {
      out[name] = left / 1000;
    } else {
      out[name] = base::format_bytes(left / 1000);
    }
  }
  return out;
}

json::value usage_status(const TeamObjects& team, const json::value& prices) {
  // Costs are rounded once, at the workloads: the lines of a bill add up to its sums.
  Holding total;
  std::int64_t total_cents = 0;
  json::array environments;
  for (const TeamObjects::Environment& environment : team.environments) {
    std::map<std::string, Holding> workloads = holdings(environment, prices);
    // Images are the team's, not an environment's.
    if (environment.name.empty() && team.image_bytes > 0)
      workloads["images"].used.storage_bytes += static_cast<std::int64_t>(team.image_bytes);
    Holding sum;
    std::int64_t cents = 0;
    json::array lines;
    for (const auto& [name, holding] : workloads) {
      const std::int64_t own = std::llround(monthly_cost(holding.requested, prices) * 100);
      sum += holding;
      cents += own;
      lines.push_back(report_line(name, holding, own));
    }
    json::object line = report_line(environment.name, sum, cents);
    line["namespace"] = environment.ns;
    line["workloads"] = std::move(lines);
    if (json::object left = free_by_quota(environment.quotas); !left.empty()) line["free"] = std::move(left);
    environments.push_back(std::move(line));
    total += sum;
    total_cents += cents;
  }
  return json::object{{"requested", amount_json(total.requested)},
                      {"used", amount_json(coarse(total.used))},
                      {"monthlyCost", money(static_cast<double>(total_cents) / 100)},
                      {"currency", base::get_string(prices, "spec.currency", "EUR")},
                      {"environments", std::move(environments)}};
}

}  // namespace mainstay::cloud
