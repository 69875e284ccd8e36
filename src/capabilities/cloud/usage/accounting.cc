#include "capabilities/cloud/usage/accounting.h"

#include <fmt/format.h>

#include <algorithm>

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

json::object report_line(std::string_view name, const Amount& amount, const json::value& prices) {
  return {{"name", name}, {"requested", amount_json(amount)}, {"monthlyCost", money(monthly_cost(amount, prices))}};
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

json::value usage_status(const TeamObjects& team, const json::value& prices) {
  Amount total;
  json::array environments;
  for (const TeamObjects::Environment& environment : team.environments) {
    std::map<std::string, Amount> workloads;
    for (const auto& pod : environment.pods) {
      if (holds_resources(*pod)) workloads[workload_of(*pod)] += pod_amount(*pod);
    }
    for (const auto& service : environment.services) {
      const std::string ip = base::get_string(*service, "spec.clusterIP");
      if (!ip.empty() && ip != "None") workloads[workload_of(*service)].addresses += 1;
    }
    for (const auto& volume : environment.volumes) workloads[workload_of(*volume)] += volume_amount(*volume);
    for (const auto& claim : environment.claims) {
      std::string workload = base::get_string(*claim, "spec.workload");
      workloads[workload.empty() ? workload_of(*claim) : workload] += claim_amount(*claim, prices);
    }
    Amount sum;
    json::array lines;
    for (const auto& [name, amount] : workloads) {
      sum += amount;
      lines.push_back(report_line(name, amount, prices));
    }
    json::object line = report_line(environment.name, sum, prices);
    line["namespace"] = environment.ns;
    line["workloads"] = std::move(lines);
    environments.push_back(std::move(line));
    total += sum;
  }
  return json::object{{"requested", amount_json(total)},
                      {"monthlyCost", money(monthly_cost(total, prices))},
                      {"currency", base::get_string(prices, "spec.currency", "EUR")},
                      {"environments", std::move(environments)}};
}

}  // namespace mainstay::cloud
