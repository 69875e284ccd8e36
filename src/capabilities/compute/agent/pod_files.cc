#include "capabilities/compute/agent/pod_files.h"

#include <map>

#include "base/strings.h"
#include "capabilities/compute/fs.h"

namespace mainstay::compute {
namespace {

// The machine's resolvers: where a local stub (systemd-resolved) stands in front, those behind it.
std::string host_resolver() {
  std::string text = slurp("/etc/resolv.conf", 64 * 1024);
  if (text.find("nameserver 127.") == std::string::npos) return text;
  std::string behind = slurp("/run/systemd/resolve/resolv.conf", 64 * 1024);
  return behind.empty() ? text : behind;
}

}  // namespace

std::string hosts_file(const PodSpec& spec, std::string_view ip) {
  const std::string hostname = base::get_string(*spec.object, "spec.hostname", spec.name);
  std::string out = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
  if (!ip.empty()) out += fmt::format("{}\t{}\n", ip, hostname);
  for (const json::value& alias : base::get_array(*spec.object, "spec.hostAliases"))
    out += fmt::format("{}\t{}\n", base::get_string(alias, "ip"), base::join(string_list(alias, "hostnames"), "\t"));
  return out;
}

std::string resolver_file(const PodSpec& spec, std::string_view name_server, std::string_view host) {
  const std::string policy = base::get_string(*spec.object, "spec.dnsPolicy", "ClusterFirst");
  const bool cluster = policy == "ClusterFirstWithHostNet" ||
                       (policy == "ClusterFirst" && !base::get_bool(*spec.object, "spec.hostNetwork"));
  std::vector<std::string> servers, searches;
  std::map<std::string, std::string> options;  // name to the whole option: a pod's own replaces ours
  std::string rest;
  if (policy != "None" && cluster && !name_server.empty()) {
    servers.emplace_back(name_server);
    for (const std::string& prefix : {spec.ns + ".svc.", std::string("svc."), std::string()})
      searches.push_back(prefix + "cluster.local");
    options["ndots"] = "ndots:5";
  } else if (policy != "None") {
    for (std::string_view line : base::split(host, '\n')) {
      if (line.starts_with("nameserver 127.") || line.starts_with("nameserver ::1") || line.starts_with('#') ||
          base::trim(line).empty())
        continue;
      rest.append(line).append("\n");
    }
  }
  for (std::string& server : string_list(*spec.object, "spec.dnsConfig.nameservers"))
    servers.push_back(std::move(server));
  for (std::string& search : string_list(*spec.object, "spec.dnsConfig.searches"))
    searches.push_back(std::move(search));
  for (const json::value& option : base::get_array(*spec.object, "spec.dnsConfig.options")) {
    const std::string name = base::get_string(option, "name"), value = base::get_string(option, "value");
    options[name] = value.empty() ? name : name + ":" + value;
  }
  std::string out = rest;
  for (const std::string& server : servers) out += "nameserver " + server + "\n";
  if (!searches.empty()) out += "search " + base::join(searches, " ") + "\n";
  for (const auto& [name, option] : options) out += "options " + option + "\n";
  return out;
}

base::Result<> write_pod_files(const PodSpec& spec, const std::filesystem::path& directory, std::string_view ip,
                               std::string_view name_server) {
  MAINSTAY_TRY_VOID(write_light(directory / "hosts", hosts_file(spec, ip), 0644));
  MAINSTAY_TRY_VOID(
      write_light(directory / "hostname", base::get_string(*spec.object, "spec.hostname", spec.name) + "\n", 0644));
  return write_light(directory / "resolv.conf", resolver_file(spec, name_server, host_resolver()), 0644);
}

}  // namespace mainstay::compute
