#include "capabilities/compute/pod/service_links.h"

#include <cctype>

#include "base/strings.h"

namespace mainstay::compute {
namespace {

std::string variable_name(std::string_view name) {
  std::string out;
  for (const char c : name) out += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return out;
}

void add_port(const std::string& service, const std::string& address, const json::value& port, bool first,
              Variables& out) {
  const std::string number = std::to_string(base::get_int(port, "port"));
  const std::string name = base::get_string(port, "name"), protocol = base::get_string(port, "protocol", "TCP");
  const std::string url = fmt::format("{}://{}:{}", base::lower(protocol), address, number);
  if (first) {
    out[service + "_SERVICE_PORT"] = number;
    out[service + "_PORT"] = url;
  }
  if (!name.empty()) out[fmt::format("{}_SERVICE_PORT_{}", service, variable_name(name))] = number;
  const std::string link = fmt::format("{}_PORT_{}_{}", service, number, protocol);
  out[link] = url;
  out[link + "_PROTO"] = base::lower(protocol);
  out[link + "_PORT"] = number;
  out[link + "_ADDR"] = address;
}

}  // namespace

Variables service_links(const std::vector<client::ObjectPtr>& services) {
  Variables out;
  for (const client::ObjectPtr& service : services) {
    const std::string address = base::get_string(*service, "spec.clusterIP");
    const json::array& ports = base::get_array(*service, "spec.ports");
    if (address.empty() || address == "None" || ports.empty()) continue;
    const std::string name = variable_name(base::get_string(*service, "metadata.name"));
    out[name + "_SERVICE_HOST"] = address;
    for (std::size_t i = 0; i < ports.size(); ++i) add_port(name, address, ports[i], i == 0, out);
  }
  return out;
}

}  // namespace mainstay::compute
