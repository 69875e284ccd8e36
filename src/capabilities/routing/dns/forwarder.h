// Names that are not ours, asked of the machine's resolvers on behalf of pods. Bounded in what is under way and in what
// is remembered; a fresh socket (a random port) and a random id a question make answers hard to forge (RFC 5452).
#pragma once
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "async/runtime.h"
#include "base/clock.h"
#include "base/config.h"
#include "capabilities/routing/dns/message.h"

namespace mainstay::routing::dns {

// The addresses of `nameserver` lines, at most three (resolv.conf(5)), without `except`.
std::vector<base::HostPort> upstreams_of(std::string_view resolv_conf, std::string_view except);
// How long a message may be remembered (RFC 2181 section 5.2; RFC 2308 section 5), at most 5 minutes; 0: not at all.
std::chrono::seconds lifetime_of(std::string_view message, const Layout& layout);
// Takes `by` seconds from each record's time to live.
void age(std::string& message, const Layout& layout, std::uint32_t by);

class Forwarder : public std::enable_shared_from_this<Forwarder> {
 public:
  Forwarder(const base::Clock& clock, std::function<std::vector<base::HostPort>()> upstreams)
      : clock_(clock), upstreams_(std::move(upstreams)) {}
  // What is remembered, as an answer to this query; "" where nothing is. `tcp`: the client takes any length.
  std::string remembered(const Query& query, std::string_view request, bool tcp);
  // Asks. The reply is to be sent as it is; SERVFAIL where nobody answers or too much is under way.
  async::Task<std::string> ask(Query query, std::string request, bool tcp, std::uint32_t client);
  // The records of the answer section with addresses and aliases, decompressed: what stands behind a CNAME.
  async::Task<std::vector<Record>> addresses(std::string name, std::uint16_t type, std::uint32_t client);

 private:
  struct Kept {
    std::string message;
    Layout layout;
    base::SteadyTime at, until;
  };
  struct Place;  // one of the bounded number of questions under way
  async::Task<base::Result<std::string>> exchange(std::string name, std::uint16_t type, bool edns, bool dnssec_ok,
                                                  bool tcp);
  void remember(std::string key, std::string message, Layout layout);

  const base::Clock& clock_;
  std::function<std::vector<base::HostPort>()> upstreams_;
  std::unordered_map<std::string, Kept> kept_;
  std::map<std::uint32_t, int> by_client_;
  int under_way_ = 0;
};

}  // namespace mainstay::routing::dns
