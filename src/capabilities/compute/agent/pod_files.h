// /etc/hosts, /etc/hostname and /etc/resolv.conf of a pod.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"
#include "capabilities/compute/pod/pod_spec.h"

namespace mainstay::compute {

std::string hosts_file(const PodSpec& spec, std::string_view ip);
// `name_server` is the platform's, "" where it has none; `host` the machine's own resolv.conf, whose resolvers on its
// loopback cannot be reached from a pod and are left out. Which of them counts is said by dnsPolicy; dnsConfig is
// added.
std::string resolver_file(const PodSpec& spec, std::string_view name_server, std::string_view host);
base::Result<> write_pod_files(const PodSpec& spec, const std::filesystem::path& directory, std::string_view ip,
                               std::string_view name_server);

}  // namespace mainstay::compute
