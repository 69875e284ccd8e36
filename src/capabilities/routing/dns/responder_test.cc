#include "capabilities/routing/dns/responder.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include "capabilities/routing/dns/records.h"

namespace mainstay::routing::dns {
namespace {

net::Peer peer(const char* address) {
  net::Peer out;
  out.v4 = {};
  out.v4.sin_family = AF_INET;
  ::inet_pton(AF_INET, address, &out.v4.sin_addr);
  out.size = sizeof out.v4;
  return out;
}

class Doors : public testing::Test {
 protected:
  Doors()
      : tasks_(runtime_.executor(), "test"),
        forwarder_(std::make_shared<Forwarder>(base::real_clock(), [] { return std::vector<base::HostPort>{}; })),
        responder_(std::make_shared<Responder>(tasks_, forwarder_, metrics_, "10.244.0.0/16")) {
    Zones& zones = responder_->zones();
    zones.add_zone(*wire_name("cluster.local"), *wire_name("ns.dns.cluster.local"), true);
    zones.add_zone(*wire_name("example.org"), *wire_name("ns.example.org"), false);
    zones.set("a", host_records("web.cluster.local", "10.0.0.1"));
    zones.set("b", host_records("web.example.org", "192.0.2.1"));
  }
  Rcode ask(std::string_view name, const char* from, Door door, std::uint16_t type = kA) {
    std::string out(1232, '\0');
    const std::string query = write_query(1, *wire_name(name), type, true, false);
    out.resize(responder_->answer(query, peer(from), door, out, [](std::string) {}));
    const auto layout = read_layout(out);
    return layout ? layout->rcode : kBadVers;
  }
  async::Runtime runtime_;
  async::TaskGroup tasks_;
  base::Metrics metrics_;
  std::shared_ptr<Forwarder> forwarder_;
  std::shared_ptr<Responder> responder_;
};

TEST_F(Doors, InnerNamesAreForPodsAndThisMachine) {
  EXPECT_EQ(ask("web.cluster.local", "10.244.3.4", Door::kPods), kNoError);
  EXPECT_EQ(ask("web.cluster.local", "127.0.0.1", Door::kOutside), kNoError);
  EXPECT_EQ(ask("web.cluster.local", "192.0.2.9", Door::kOutside), kRefused);
  EXPECT_EQ(ask("web.example.org", "192.0.2.9", Door::kOutside), kNoError);
}

TEST_F(Doors, NobodyButPodsIsForwardedFor) {
  EXPECT_EQ(ask("example.com", "127.0.0.1", Door::kOutside), kRefused);
  EXPECT_EQ(ask("example.com", "10.244.3.4", Door::kOutside), kRefused) << "a source address alone proves nothing";
  EXPECT_EQ(ask("example.com", "192.0.2.9", Door::kPods), kRefused);
}

TEST_F(Doors, NoTransfers) {
  EXPECT_EQ(ask("cluster.local", "127.0.0.1", Door::kOutside, kAxfr), kRefused);
  EXPECT_EQ(ask("example.org", "10.244.3.4", Door::kPods, kIxfr), kRefused);
}

// A reply of another server: one A record and one OPT, as it would be made.
std::string upstream_reply(std::uint32_t ttl) {
  const std::string query = write_query(9, *wire_name("example.com"), kA, true, false);
  Reply reply;
  reply.answers = {{*wire_name("example.com"), kA, ttl, "abcd"}};
  std::string out(512, '\0');
  out.resize(write_reply(*parse_query(query).query, query, reply, out, 512));
  return out;
}

TEST(Forwarded, LifetimeFollowsTheRecords) {
  const auto lifetime = [](const std::string& message) { return lifetime_of(message, *read_layout(message)).count(); };
  EXPECT_EQ(lifetime(upstream_reply(60)), 60);
  EXPECT_EQ(lifetime(upstream_reply(90'000)), 300);
  EXPECT_EQ(lifetime(upstream_reply(0)), 0);
  std::string failed = upstream_reply(60);
  failed[3] = kServFail;
  EXPECT_EQ(lifetime(failed), 0);
  std::string aged = upstream_reply(60);
  age(aged, *read_layout(aged), 50);
  EXPECT_EQ(lifetime(aged), 10);
  std::string old = upstream_reply(60);
  age(old, *read_layout(old), 500);
  EXPECT_EQ(read_layout(old)->records[0].ttl, 0u);
}

TEST(Forwarded, ResolversOfTheMachine) {
  const auto found = upstreams_of(
      "# nameserver 1.1.1.1\nsearch x\nnameserver 192.0.2.1\n nameserver\t192.0.2.2 # office\nnameserver 10.244.0.1\n"
      "nameserver ::1\nnameserver 192.0.2.4\n",
      "10.244.0.1");
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].host, "192.0.2.1");
  EXPECT_EQ(found[1].host, "192.0.2.2");
  EXPECT_EQ(found[2].host, "::1");
}

}  // namespace
}  // namespace mainstay::routing::dns
