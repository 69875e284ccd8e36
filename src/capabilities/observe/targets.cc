#include "capabilities/observe/targets.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <charconv>

namespace mainstay::observe {
namespace {
namespace json = boost::json;

constexpr int kMaxSamples = 20'000;  // of one pod
constexpr std::size_t kMaxPath = 1024;

std::optional<std::uint32_t> ipv4(std::string_view text) {
  in_addr address{};
  if (::inet_pton(AF_INET, std::string(text).c_str(), &address) != 1) return std::nullopt;
  return ntohl(address.s_addr);
}

bool within(std::string_view cidr, std::string_view address) {
  const auto slash = cidr.find('/');
  if (slash == std::string_view::npos) return false;
  const auto network = ipv4(cidr.substr(0, slash)), host = ipv4(address);
  int bits = -1;
  std::from_chars(cidr.data() + slash + 1, cidr.data() + cidr.size(), bits);
  if (!network || !host || bits < 1 || bits > 32) return false;
  const std::uint32_t mask = ~std::uint32_t{0} << (32 - bits);
  return (*network & mask) == (*host & mask);
}

// The first TCP port that a container declares.
int declared_port(const json::value& pod) {
  for (const auto& container : base::get_array(pod, "spec.containers")) {
    for (const auto& port : base::get_array(container, "ports")) {
      if (base::get_string(port, "protocol", "TCP") == "TCP")
        return static_cast<int>(base::get_int(port, "containerPort"));
    }
  }
  return 0;
}

json::object own_job(const ScrapeSettings& s, std::string_view job, std::string_view path) {
  return {
      {"job_name", job},
      {"metrics_path", path},
      {"scheme", "https"},
      {"honor_labels", true},
      {"honor_timestamps", false},
      {"follow_redirects", false},
      {"tls_config", {{"ca_file", s.ca.string()}, {"cert_file", s.certificate.string()}, {"key_file", s.key.string()}}},
      {"static_configs",
       json::array{{{"targets", json::array{json::value(s.api)}}, {"labels", {{"instance", "mainstay"}}}}}}};
}

}  // namespace

std::optional<PodTarget> pod_target(const json::value& pod, std::string_view team, std::string_view pod_cidr) {
  if (base::annotation(pod, "prometheus.io/scrape") != "true" || base::get_string(pod, "status.phase") != "Running" ||
      base::get_bool(pod, "spec.hostNetwork"))
    return std::nullopt;
  const std::string ip = base::get_string(pod, "status.podIP"), port_text = base::annotation(pod, "prometheus.io/port");
  if (!within(pod_cidr, ip)) return std::nullopt;
  int port = declared_port(pod);
  if (!port_text.empty()) {
    port = 0;
    const auto [end, error] = std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
    if (error != std::errc() || end != port_text.data() + port_text.size()) return std::nullopt;
  }
  if (port < 1 || port > 65535) return std::nullopt;
  PodTarget target;
  target.address = fmt::format("{}:{}", ip, port);
  if (const std::string path = base::annotation(pod, "prometheus.io/path"); !path.empty()) target.path = path;
  if (const std::string scheme = base::annotation(pod, "prometheus.io/scheme"); !scheme.empty()) target.scheme = scheme;
  if (target.scheme != "http" && target.scheme != "https") return std::nullopt;
  // "$" begins a variable of the configuration's, "%{" one of its environment's.
  if (!target.path.starts_with('/') || target.path.size() > kMaxPath ||
      target.path.find_first_of("$%\n") != std::string::npos)
    return std::nullopt;
  target.ns = base::get_string(pod, "metadata.namespace");
  target.team = team;
  target.pod = base::get_string(pod, "metadata.name");
  return target;
}

json::object scrape_config(const ScrapeSettings& s, const std::vector<PodTarget>& pods) {
  json::array jobs{own_job(s, "mainstay", "/metrics"), own_job(s, "kubelet", "/metrics/cadvisor"),
                   own_job(s, "kube-state-metrics", "/metrics/objects"), own_job(s, "node-exporter", "/metrics/node")};
  json::array targets;
  for (const PodTarget& t : pods) {
    json::object labels{{"namespace", t.ns},
                        {"pod", t.pod},
                        {"workload", t.workload},
                        {"__scheme__", t.scheme},
                        {"__metrics_path__", t.path}};
    if (!t.team.empty()) labels["team"] = t.team;
    targets.push_back(json::object{{"targets", json::array{json::value(t.address)}}, {"labels", std::move(labels)}});
  }
  jobs.push_back(json::object{{"job_name", "pods"},
                              {"honor_labels", false},
                              {"honor_timestamps", false},
                              {"follow_redirects", false},
                              {"sample_limit", kMaxSamples},
                              {"tls_config", {{"insecure_skip_verify", true}}},
                              {"static_configs", std::move(targets)}});
  return {{"global", {{"scrape_interval", s.interval}, {"scrape_timeout", "5s"}}}, {"scrape_configs", std::move(jobs)}};
}

}  // namespace mainstay::observe
