#include "capabilities/routing/runtime_api.h"

#include <gtest/gtest.h>

#include "capabilities/routing/edge.h"

namespace mainstay::routing {
namespace {

constexpr std::string_view kServers =
    "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight "
    "srv_time_since_last_change ...\n"
    "4 s0 1 web-abc-1 127.0.0.1 2 0 1 1 1 1 0 0 0 0 0 0 - 19001 - 0 0 - - 0\n"
    "4 s0 2 web-abc-2 127.0.0.2 2 8 1 1 1 1 0 0 0 0 0 0 - 19002 - 0 0 - - 0\n"
    "5 s1 1 api-1 127.0.0.3 0 1 1 1 1 1 0 0 0 0 0 0 - 19003 - 0 0 - - 0\n\n";

TEST(RuntimeApi, ServersState) {
  const auto servers = parse_servers_state(kServers);
  ASSERT_EQ(servers.size(), 3u);
  EXPECT_EQ(servers[0].backend, "s0");
  EXPECT_EQ(servers[0].name, "web-abc-1");
  EXPECT_EQ(servers[0].port, 19001);
  EXPECT_FALSE(servers[0].drain || servers[0].maintenance);
  EXPECT_TRUE(servers[1].drain);
  EXPECT_TRUE(servers[2].maintenance);
}

TEST(RuntimeApi, MapsKeepValuesWhole) {
  const auto map = parse_map(
      "0x55 web.dev.shop.localhost s0|shop-dev/web|redirect\n0x56 a.b 1 of 2 pods are ready\n\ngarbage\n0x57\n");
  ASSERT_EQ(map.size(), 2u);
  EXPECT_EQ(map.at("web.dev.shop.localhost"), "s0|shop-dev/web|redirect");
  EXPECT_EQ(map.at("a.b"), "1 of 2 pods are ready");
}

TEST(RuntimeApi, ConnectionsAndInfo) {
  const auto used = parse_connections(
      "# bkname/svname bkid/svid addr port - purge_delay used_cur\ns0/web-1 4/1 127.0.0.1 19001 - 1000 3 1 1 0 0 0 "
      "0\n");
  EXPECT_EQ(used.at("s0/web-1"), 3u);
  EXPECT_EQ(parse_info("Name: HAProxy\nPid: 42\ndescription: mainstay ab 256\n", "Pid"), "42");
  EXPECT_EQ(parse_info("Name: HAProxy\nPid: 42\ndescription: mainstay ab 256\n", "description"), "mainstay ab 256");
  EXPECT_EQ(parse_info("", "Pid"), "");
}

TEST(RuntimeApi, LiveState) {
  EdgeSettings settings;
  settings.dir = "/d";
  const LiveState live = read_live_state(settings, kServers, "0x1 h s0|n/s|serve\n", "",
                                         "# /d/certificates.list\n/d/certificates/default.pem [alpn "
                                         "h2]\n/d/certificates/dev.shop.pem *.x\n/other/x.pem\n");
  EXPECT_TRUE(live.servers.at(0).at("web-abc-1").ready);
  EXPECT_FALSE(live.servers.at(0).at("web-abc-2").ready);
  EXPECT_TRUE(live.servers.at(1).at("api-1").retiring);
  EXPECT_EQ(live.certificates, (std::set<std::string>{"default", "dev.shop"}));
  EXPECT_EQ(live.routes.at("h"), "s0|n/s|serve");
}

TEST(RuntimeApi, NonsenseIsNothing) {
  for (std::string_view text : {"", "\n\n", "# x", "a b c", "0x"}) {
    EXPECT_TRUE(parse_servers_state(text).empty());
    EXPECT_TRUE(parse_map(text).empty());
    EXPECT_TRUE(parse_connections(text).empty());
  }
}

}  // namespace
}  // namespace mainstay::routing
