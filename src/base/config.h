// What `mainstay up` was started with. Read-only after start.
#pragma once
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mainstay::base {

struct HostPort {
  std::string host;  // an address, never a name
  std::uint16_t port = 0;
  std::string to_string() const;                                  // brackets around IPv6
  bool any() const { return host == "0.0.0.0" || host == "::"; }  // all addresses of the machine
  static Result<HostPort> parse(std::string_view text);
};

struct Config {
  std::filesystem::path data_dir;
  HostPort listen{"127.0.0.1", 6443};
  // How others reach the API where that is not `listen`: "https://mainstay.example.com:6443", "" otherwise.
  std::string url;
  HostPort http{"127.0.0.1", 8080};
  HostPort https{"127.0.0.1", 8443};
  std::string domain = "localhost";
  HostPort dns{"127.0.0.1", 5353};  // the name server's address for others than pods; port 0: none
  // Pods' network. The first address is the node's on the bridge; the API listens there too, for pods.
  std::string pod_cidr = "10.244.0.0/16";
  std::string service_cidr = "10.96.0.0/16";
  std::string bridge = "mainstay0";
  // Holds the passphrase that protects the master key; empty: the key's file is plain.
  std::filesystem::path master_passphrase_file;
  std::chrono::seconds mesh_certificate_lifetime{3600};  // renewed at half of it
  bool compute = true;  // false: no pods on this machine (tests of the API alone; a host without privileges)

  std::filesystem::path dir(std::string_view child) const { return data_dir / child; }
  std::string server_url() const { return url.empty() ? "https://" + listen.to_string() : url; }  // the OIDC issuer
  std::string local_url() const;       // the same endpoint as this machine reaches it: never a name, never 0.0.0.0
  std::string node_address() const;    // the bridge's address: "10.244.0.1"
  std::string pod_server_url() const;  // the same endpoint as pods reach it: "https://10.244.0.1:6443"
  // The registry part of images kept here, as written in pod specs: "127.0.0.1:6443".
  std::string registry_host() const { return server_url().substr(sizeof("https://") - 1); }
  bool is_own_registry(std::string_view host) const;  // any name this endpoint goes by
};

// An endpoint's URL as --url takes it: https, a name or an address, a port where it is not 443, and nothing else. Gives
// its one spelling. kInvalid says what is wrong.
Result<std::string> parse_endpoint_url(std::string_view text);

}  // namespace mainstay::base
