// From objects to DNS records, after the specification of Kubernetes' DNS-based service discovery (version 1.1.0).
// Pure.
#pragma once
#include <string>
#include <vector>

#include "capabilities/routing/dns/message.h"
#include "client/cache.h"

namespace mainstay::routing::dns {
namespace json = boost::json;

inline constexpr std::string_view kClusterDomain = "cluster.local";

// A Service with its EndpointSlices: its address, its named ports, and for a headless one each of its ready endpoints
// (by the pod's hostname, else by its address: 10-244-0-5). ExternalName gives a CNAME.
std::vector<Record> service_records(const json::value& service, const std::vector<client::ObjectPtr>& slices);
// "10-244-0-5.<namespace>.pod.cluster.local" and the way back.
std::vector<Record> pod_records(const json::value& pod);
// A host at an address ("10.0.0.1" or "::1").
std::vector<Record> host_records(std::string_view host, std::string_view address);
// The zones of addresses in a network, "10.244.0.0/16" gives {"244.10.in-addr.arpa"}.
std::vector<std::string> reverse_zones(std::string_view cidr);

}  // namespace mainstay::routing::dns
