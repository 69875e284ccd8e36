// HAProxy's configuration as text. Pure.
//
// HAProxy 2.6 can add servers while it runs, but no backends. So there are empty backends ("slots") in advance, a map
// from host to slot, and servers come and go over the runtime API; only a change of the frame itself, or running out of
// slots, needs a new process. Whatever was changed at run time is written here again first: a reload forgets it
// otherwise.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/config.h"
#include "capabilities/routing/gateway/compile.h"
#include "capabilities/routing/gateway/rules.h"
#include "capabilities/routing/route.h"

namespace mainstay::routing {

struct EdgeSettings {
  std::filesystem::path dir;   // DIR/edge
  base::HostPort http, https;  // port 0: not served
  std::string domain;
  unsigned threads = 2;
  unsigned max_connections = 4000;
  std::string user, group;  // to run as, with a chroot; empty where we are not root
  RuleTexts rules;
  std::map<std::string, HostCertificate> host_certificates;  // by name: beside those of the environments
  std::filesystem::path admin_socket() const { return dir / "admin.sock"; }
  std::filesystem::path config_file() const { return dir / "haproxy.cfg"; }
  std::filesystem::path routes_map() const { return dir / "routes.map"; }
  std::filesystem::path reasons_map() const { return dir / "reasons.map"; }
  std::filesystem::path certificate_list() const { return dir / "certificates.list"; }
  std::filesystem::path certificate_file(const std::string& name) const {
    return dir / "certificates" / (name + ".pem");
  }
  std::filesystem::path page(std::string_view file) const { return dir / "pages" / file; }
  std::filesystem::path access_log() const { return dir / "access.log"; }
};

// At most what the descriptor limit carries: two a connection, and some for HAProxy itself.
unsigned connections_for(std::uint64_t descriptor_limit);

std::string slot_name(int slot);  // "s12"
// The value of a host in routes.map: "<slot>|<ns/service>|<serve or redirect>", with "|broken" where it is.
std::string route_value(const Route& route, int slot);
std::string certificate_list_line(const EdgeSettings& settings, const std::string& certificate);
// The hosts a certificate is for: "*.dev.shop.localhost", or what the rules say.
std::vector<std::string> certificate_hosts(const EdgeSettings& settings, const std::string& certificate);

// What does not change while a process lives, without the slots.
std::string render_frame(const EdgeSettings& settings);
// "mainstay <hash of the frame> <slots>": what `show info` of a running process answers, to tell whether it can be
// adopted.
std::string frame_description(const EdgeSettings& settings, int slots);
// The whole file; `by_slot` are the routes that have a slot. Only ready endpoints: a new process has nothing to drain.
std::string render_config(const EdgeSettings& settings, int slots, const std::map<int, const Route*>& by_slot);
std::string server_arguments(const Route& route, const Endpoint& endpoint);  // "10.244.0.5:8080 proto h2"

// File name to text: 404, 500 and 503, HTML and plain, with HAProxy's log-format expressions in them.
std::map<std::string, std::string> error_pages(const EdgeSettings& settings);

}  // namespace mainstay::routing
