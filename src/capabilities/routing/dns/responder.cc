#include "capabilities/routing/dns/responder.h"

#include <arpa/inet.h>

#include <charconv>

namespace mainstay::routing::dns {
namespace {

// Over UDP never more than crosses any network in one piece (the DNS flag day of 2020).
constexpr std::size_t kLargestUdp = 1232;

std::size_t udp_limit(const Query& query) {
  return query.edns ? std::min<std::size_t>(query.payload, kLargestUdp) : 512;
}

base::Counter& counter(base::Metrics& metrics, const char* result) {
  return metrics.counter("mainstay_dns_queries_total", "DNS queries by what came of them.", {{"result", result}});
}

}  // namespace

Responder::Responder(async::TaskGroup& tasks, std::shared_ptr<Forwarder> forwarder, base::Metrics& metrics,
                     std::string_view pod_cidr)
    : tasks_(tasks),
      forwarder_(std::move(forwarder)),
      answered_(counter(metrics, "answered")),
      missing_(counter(metrics, "nxdomain")),
      forwarded_(counter(metrics, "forwarded")),
      refused_(counter(metrics, "refused")) {
  const auto slash = pod_cidr.find('/');
  in_addr raw{};
  unsigned prefix = 32;
  if (slash == std::string_view::npos) return;
  ::inet_pton(AF_INET, std::string(pod_cidr.substr(0, slash)).c_str(), &raw);
  std::from_chars(pod_cidr.data() + slash + 1, pod_cidr.data() + pod_cidr.size(), prefix);
  pod_mask_ = prefix == 0 ? 0 : prefix >= 32 ? 0xffffffff : ~((1u << (32 - prefix)) - 1);
  pod_network_ = ntohl(raw.s_addr) & pod_mask_;
}

bool Responder::is_pod(const net::Peer& from) const {
  const auto address = from.ipv4();
  return address && (*address & pod_mask_) == pod_network_;
}

Responder::Decision Responder::decide(std::string_view request, const net::Peer& from, Door door) {
  Decision out;
  ParsedQuery parsed = parse_query(request);
  if (!parsed.query) {
    out.way = Way::kDrop;
    return out;
  }
  out.query = *std::move(parsed.query);
  out.reply.rcode = parsed.rcode;
  if (parsed.rcode != kNoError) return out;
  const Query& query = out.query;
  const bool pod = door == Door::kPods && is_pod(from);
  if (query.klass == 1 && query.type != kAxfr && query.type != kIxfr) {
    Lookup found = zones_.find(query);
    if (found.ours && (!found.inner || pod || from.is_loopback())) {
      (found.reply.rcode == kNxDomain ? missing_ : answered_).add();
      out.reply = std::move(found.reply);
      out.reply.recursion_available = pod;
      if (pod && !found.chase.empty() && (query.type == kA || query.type == kAaaa)) {
        out.way = Way::kChase;
        out.chase = std::move(found.chase);
      }
      return out;
    }
    if (pod && !found.ours && query.recursion_desired) {
      forwarded_.add();
      out.way = Way::kForward;
      return out;
    }
  }
  refused_.add();
  out.reply.rcode = kRefused;
  return out;
}

async::Task<> Responder::forward(std::shared_ptr<Responder> self, Query query, std::string request,
                                 std::uint32_t client, std::function<void(std::string)> later) {
  later(co_await self->forwarder_->ask(std::move(query), std::move(request), false, client));
}

async::Task<> Responder::chase(std::shared_ptr<Responder> self, Decision decision, std::string request,
                               std::uint32_t client, std::function<void(std::string)> later) {
  auto more = co_await self->forwarder_->addresses(decision.chase, decision.query.type, client);
  for (Record& record : more) decision.reply.answers.push_back(std::move(record));
  std::string out(kLargestUdp, '\0');
  out.resize(write_reply(decision.query, request, decision.reply, out, udp_limit(decision.query)));
  later(std::move(out));
}

std::size_t Responder::answer(std::string_view request, const net::Peer& from, Door door, std::span<char> out,
                              std::function<void(std::string)> later) {
  Decision decision = decide(request, from, door);
  switch (decision.way) {
    case Way::kDrop:
      return 0;
    case Way::kNow:
      return write_reply(decision.query, request, decision.reply, out, udp_limit(decision.query));
    case Way::kForward: {
      const std::string kept = forwarder_->remembered(decision.query, request, false);
      if (!kept.empty() && kept.size() <= out.size()) {
        std::copy(kept.begin(), kept.end(), out.begin());
        return kept.size();
      }
      tasks_.spawn("dns forward", forward(shared_from_this(), std::move(decision.query), std::string(request),
                                          from.ipv4().value_or(0), std::move(later)));
      return 0;
    }
    case Way::kChase:
      tasks_.spawn("dns chase", chase(shared_from_this(), std::move(decision), std::string(request),
                                      from.ipv4().value_or(0), std::move(later)));
      return 0;
  }
  return 0;
}

async::Task<std::string> Responder::answer_whole(std::string request, net::Peer from, Door door) {
  auto self = shared_from_this();
  Decision decision = decide(request, from, door);
  const std::uint32_t client = from.ipv4().value_or(0);
  if (decision.way == Way::kDrop) co_return "";
  if (decision.way == Way::kForward) {
    std::string kept = forwarder_->remembered(decision.query, request, true);
    if (!kept.empty()) co_return kept;
    co_return co_await forwarder_->ask(decision.query, std::move(request), true, client);
  }
  if (decision.way == Way::kChase) {
    auto more = co_await forwarder_->addresses(decision.chase, decision.query.type, client);
    for (Record& record : more) decision.reply.answers.push_back(std::move(record));
  }
  std::string out(65535, '\0');
  out.resize(write_reply(decision.query, request, decision.reply, out, out.size()));
  co_return out;
}

}  // namespace mainstay::routing::dns
