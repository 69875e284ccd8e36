// What the metrics engine scrapes, as its configuration. Pure.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace mainstay::observe {

struct PodTarget {
  std::string address;  // "10.244.0.7:8080"
  std::string scheme = "http", path = "/metrics";
  std::string ns, team, pod, workload;
  auto operator<=>(const PodTarget&) const = default;
};
// Where a running pod asks to be scraped (annotations prometheus.io/scrape, port, path, scheme, as everywhere).
// nullopt: it does not, or what it says makes no sense, or its address is not one of the pods' network: its annotations
// are its team's, and may not aim the engine at anything but the pod itself.
std::optional<PodTarget> pod_target(const boost::json::value& pod, std::string_view team, std::string_view pod_cidr);

struct ScrapeSettings {
  std::string api;  // "127.0.0.1:6443"
  std::filesystem::path ca, certificate, key;
  std::string interval = "10s";
};
// A Prometheus configuration, in JSON (which is YAML). The platform's own endpoints say whose their samples are; a
// pod's samples are labelled from outside, whatever they claim: what clashes is renamed exported_….
boost::json::object scrape_config(const ScrapeSettings& settings, const std::vector<PodTarget>& pods);

}  // namespace mainstay::observe
