#include "capabilities/routing/dns/records.h"

#include <gtest/gtest.h>

#include "capabilities/routing/dns/zones.h"

namespace mainstay::routing::dns {
namespace {

json::value parse(std::string_view text) { return json::parse(json::string_view(text.data(), text.size())); }
client::ObjectPtr shared(std::string_view text) { return std::make_shared<const json::value>(parse(text)); }

class Names : public testing::Test {
 protected:
  Names() {
    zones_.add_zone(*wire_name("cluster.local"), *wire_name("ns.dns.cluster.local"), true);
    zones_.add_zone(*wire_name("0.10.in-addr.arpa"), *wire_name("ns.dns.cluster.local"), true);
  }
  Lookup ask(std::string_view name, std::uint16_t type) {
    Query query;
    query.name = *wire_name(name);
    query.type = type;
    query.klass = 1;
    return zones_.find(query);
  }
  std::vector<std::string> data(std::string_view name, std::uint16_t type) {
    std::vector<std::string> out;
    for (const Record& record : ask(name, type).reply.answers) {
      if (record.type == type) out.push_back(record.data);
    }
    return out;
  }
  Zones zones_;
};

constexpr std::string_view kService = R"({"metadata":{"name":"web","namespace":"shop"},
  "spec":{"clusterIP":"10.0.0.7","ports":[{"name":"http","port":80},{"port":81,"protocol":"UDP"}]}})";
constexpr std::string_view kHeadless = R"({"metadata":{"name":"db","namespace":"shop"},"spec":{"clusterIP":"None"}})";
constexpr std::string_view kSlice = R"({"ports":[{"name":"pg","port":5432}],"endpoints":[
  {"addresses":["10.0.1.1"],"hostname":"db-0"},{"addresses":["10.0.1.2"]},
  {"addresses":["10.0.1.3"],"conditions":{"ready":false}}]})";

TEST_F(Names, AServicesAddressPortsAndWayBack) {
  zones_.set("service/shop/web", service_records(parse(kService), {}));
  EXPECT_EQ(data("web.shop.svc.cluster.local", kA), std::vector{std::string("\x0a\0\0\7", 4)});
  const Lookup srv = ask("_http._tcp.web.shop.svc.cluster.local", kSrv);
  ASSERT_EQ(srv.reply.answers.size(), 1u);
  EXPECT_EQ(srv.reply.answers[0].data, std::string("\0\0\0\x64\0\x50", 6) + *wire_name("web.shop.svc.cluster.local"));
  EXPECT_EQ(srv.reply.additional.size(), 1u) << "with the address that is asked for next";
  EXPECT_EQ(data("7.0.0.10.in-addr.arpa", kPtr), std::vector{*wire_name("web.shop.svc.cluster.local")});
}

TEST_F(Names, MissingNamesAndMissingTypesDiffer) {
  zones_.set("service/shop/web", service_records(parse(kService), {}));
  const Lookup no_type = ask("web.shop.svc.cluster.local", kAaaa);
  EXPECT_EQ(no_type.reply.rcode, kNoError);
  ASSERT_EQ(no_type.reply.authority.size(), 1u);
  EXPECT_EQ(no_type.reply.authority[0].type, kSoa);
  const Lookup no_name = ask("nope.shop.svc.cluster.local", kA);
  EXPECT_EQ(no_name.reply.rcode, kNxDomain);
  EXPECT_EQ(no_name.reply.authority.size(), 1u);
  EXPECT_EQ(ask("shop.svc.cluster.local", kA).reply.rcode, kNoError) << "there are names below it (RFC 8020)";
  EXPECT_FALSE(ask("example.com", kA).ours);
  EXPECT_EQ(ask("cluster.local", kSoa).reply.answers.size(), 1u);
  EXPECT_EQ(ask("cluster.local", kNs).reply.answers.size(), 1u);
}

TEST_F(Names, HeadlessServicesNameTheirPods) {
  zones_.set("service/shop/db", service_records(parse(kHeadless), {shared(kSlice)}));
  EXPECT_EQ(data("db.shop.svc.cluster.local", kA).size(), 2u) << "only those that are ready";
  EXPECT_EQ(data("db-0.db.shop.svc.cluster.local", kA), std::vector{std::string("\x0a\0\1\1", 4)});
  EXPECT_EQ(data("10-0-1-2.db.shop.svc.cluster.local", kA), std::vector{std::string("\x0a\0\1\2", 4)});
  EXPECT_EQ(data("_pg._tcp.db.shop.svc.cluster.local", kSrv).size(), 2u);
  zones_.set("service/shop/db", {});
  EXPECT_EQ(ask("db-0.db.shop.svc.cluster.local", kA).reply.rcode, kNxDomain);
  EXPECT_EQ(ask("shop.svc.cluster.local", kA).reply.rcode, kNxDomain) << "nothing is left below it";
  EXPECT_EQ(zones_.names(), 0u);
}

TEST_F(Names, AliasesAreFollowedInsideAndHandedOutside) {
  zones_.set("service/shop/web", service_records(parse(kService), {}));
  const auto alias = [](std::string_view target) {
    json::value out = parse(R"({"metadata":{"name":"alias","namespace":"shop"},"spec":{"type":"ExternalName"}})");
    base::set(out, "spec.externalName", json::string(target));
    return out;
  };
  zones_.set("service/shop/alias", service_records(alias("web.shop.svc.cluster.local"), {}));
  const Lookup inside = ask("alias.shop.svc.cluster.local", kA);
  EXPECT_EQ(inside.reply.answers.size(), 2u);
  zones_.set("service/shop/alias", service_records(alias("example.com"), {}));
  const Lookup outside = ask("alias.shop.svc.cluster.local", kA);
  EXPECT_EQ(outside.chase, *wire_name("example.com"));
  EXPECT_EQ(outside.reply.answers.size(), 1u);
  zones_.set("service/shop/alias", service_records(alias("alias.shop.svc.cluster.local"), {}));
  EXPECT_LE(ask("alias.shop.svc.cluster.local", kA).reply.answers.size(), 8u) << "a loop ends";
}

TEST_F(Names, PodsByTheirAddress) {
  const json::value pod =
      parse(R"({"metadata":{"name":"p","namespace":"shop"},"status":{"podIP":"10.0.1.9","phase":"Running"}})");
  zones_.set("pod/shop/p", pod_records(pod));
  EXPECT_EQ(data("10-0-1-9.shop.pod.cluster.local", kA), std::vector{std::string("\x0a\0\1\x09", 4)});
  EXPECT_EQ(data("9.1.0.10.in-addr.arpa", kPtr), std::vector{*wire_name("10-0-1-9.shop.pod.cluster.local")});
  json::value ended = pod;
  base::set(ended, "status.phase", "Succeeded");
  EXPECT_TRUE(pod_records(ended).empty());
}

TEST_F(Names, WhatTwoSourcesSayStaysUntilBothWithdraw) {
  zones_.set("a", host_records("x.cluster.local", "10.0.0.1"));
  zones_.set("b", host_records("x.cluster.local", "10.0.0.1"));
  EXPECT_EQ(data("x.cluster.local", kA).size(), 1u);
  zones_.set("a", {});
  EXPECT_EQ(data("x.cluster.local", kA).size(), 1u);
  zones_.set("b", {});
  EXPECT_EQ(ask("x.cluster.local", kA).reply.rcode, kNxDomain);
}

TEST_F(Names, AStarAnswersForWhatIsNotThere) {
  zones_.set("star", host_records("*.apps.cluster.local", "10.0.0.1"));
  zones_.set("own", host_records("web.apps.cluster.local", "10.0.0.2"));
  const Lookup found = ask("any.thing.apps.cluster.local", kA);
  ASSERT_EQ(found.reply.answers.size(), 1u);
  EXPECT_EQ(found.reply.answers[0].name, *wire_name("any.thing.apps.cluster.local"));
  EXPECT_EQ(data("web.apps.cluster.local", kA), std::vector{std::string("\x0a\0\0\2", 4)});
  EXPECT_EQ(ask("any.apps.cluster.local", kAaaa).reply.rcode, kNoError);
  EXPECT_EQ(ask("below.web.apps.cluster.local", kA).reply.rcode, kNxDomain) << "the closest name there is has no star";
  EXPECT_EQ(ask("cluster.local", kA).reply.rcode, kNoError);
  EXPECT_EQ(ask("other.cluster.local", kA).reply.rcode, kNxDomain);
}

TEST(ReverseZones, OfNetworks) {
  EXPECT_EQ(reverse_zones("10.244.0.0/16"), std::vector<std::string>{"244.10.in-addr.arpa"});
  EXPECT_EQ(reverse_zones("10.1.2.0/23"), (std::vector<std::string>{"2.1.10.in-addr.arpa", "3.1.10.in-addr.arpa"}));
  EXPECT_TRUE(reverse_zones("nonsense").empty());
}

}  // namespace
}  // namespace mainstay::routing::dns
