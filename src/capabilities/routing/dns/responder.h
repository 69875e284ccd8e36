// From one query to one reply: whose question it is, from our zones or, for pods, from the machine's resolvers.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "base/metrics.h"
#include "capabilities/routing/dns/forwarder.h"
#include "capabilities/routing/dns/zones.h"
#include "net/datagram.h"

namespace mainstay::routing::dns {

// Which of our addresses the query came to. Only at the pods' is anything forwarded: this is no open resolver.
enum class Door { kPods, kOutside };

class Responder : public std::enable_shared_from_this<Responder> {
 public:
  Responder(async::TaskGroup& tasks, std::shared_ptr<Forwarder> forwarder, base::Metrics& metrics,
            std::string_view pod_cidr);
  Zones& zones() { return zones_; }
  // Answers at once into `out` and gives the length. 0: not to be answered, or `later` will be called with the reply.
  std::size_t answer(std::string_view request, const net::Peer& from, Door door, std::span<char> out,
                     std::function<void(std::string)> later);
  async::Task<std::string> answer_whole(std::string request, net::Peer from, Door door);  // for TCP

 private:
  enum class Way { kDrop, kNow, kForward, kChase };
  struct Decision {
    Way way = Way::kNow;
    Query query;
    Reply reply;
    std::string chase;
  };
  Decision decide(std::string_view request, const net::Peer& from, Door door);
  // Parameters by value: these are spawned.
  static async::Task<> forward(std::shared_ptr<Responder> self, Query query, std::string request, std::uint32_t client,
                               std::function<void(std::string)> later);
  static async::Task<> chase(std::shared_ptr<Responder> self, Decision decision, std::string request,
                             std::uint32_t client, std::function<void(std::string)> later);
  bool is_pod(const net::Peer& from) const;

  async::TaskGroup& tasks_;
  std::shared_ptr<Forwarder> forwarder_;
  Zones zones_;
  std::uint32_t pod_network_ = 0, pod_mask_ = 0xffffffff;
  base::Counter &answered_, &missing_, &forwarded_, &refused_;
};

}  // namespace mainstay::routing::dns
