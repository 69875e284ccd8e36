#include "capabilities/compute/agent/pod_files.h"

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

std::string resolver_file(const PodSpec& spec, std::string_view host) {
  std::string out;
  if (base::get_string(*spec.object, "spec.dnsPolicy") != "None") {
    for (std::string_view line : base::split(host, '\n')) {
      if (line.starts_with("nameserver 127.") || line.starts_with("nameserver ::1") || line.starts_with('#') ||
          base::trim(line).empty())
        continue;
      out.append(line).append("\n");
    }
  }
  for (const std::string& server : string_list(*spec.object, "spec.dnsConfig.nameservers"))
    out += "nameserver " + server + "\n";
  if (const auto searches = string_list(*spec.object, "spec.dnsConfig.searches"); !searches.empty())
    out += "search " + base::join(searches, " ") + "\n";
  for (const json::value& option : base::get_array(*spec.object, "spec.dnsConfig.options")) {
    const std::string value = base::get_string(option, "value");
    out += fmt::format("options {}{}{}\n", base::get_string(option, "name"), value.empty() ? "" : ":", value);
  }
  return out;
}

base::Result<> write_pod_files(const PodSpec& spec, const std::filesystem::path& directory, std::string_view ip) {
  MAINSTAY_TRY_VOID(write_light(directory / "hosts", hosts_file(spec, ip), 0644));
  MAINSTAY_TRY_VOID(
      write_light(directory / "hostname", base::get_string(*spec.object, "spec.hostname", spec.name) + "\n", 0644));
  return write_light(directory / "resolv.conf", resolver_file(spec, host_resolver()), 0644);
}

}  // namespace mainstay::compute
