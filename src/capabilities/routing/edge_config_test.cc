#include "capabilities/routing/edge_config.h"

#include <gtest/gtest.h>

namespace mainstay::routing {
namespace {

EdgeSettings settings() {
  EdgeSettings s;
  s.dir = "/data/edge";
  s.http = {"127.0.0.1", 8080};
  s.https = {"::1", 8443};
  s.domain = "localhost";
  s.user = "haproxy";
  s.group = "haproxy";
  return s;
}

TEST(EdgeConfig, ReadyEndpointsStandInTheirSlot) {
  Route route;
  route.host = "web.dev.shop.localhost";
  route.service = "shop-dev/web";
  route.http2 = true;
  route.endpoints = {{"web-1", "10.0.0.1", 8080, true}, {"web-2", "10.0.0.2", 8080, false}};
  const std::string text = render_config(settings(), 4, {{2, &route}});
  EXPECT_NE(text.find("backend s2\n    balance leastconn\n    server web-1 10.0.0.1:8080 proto h2\nbackend s3"),
            std::string::npos);
  EXPECT_EQ(text.find("web-2"), std::string::npos);
  EXPECT_NE(text.find("bind [::1]:8443 ssl"), std::string::npos);
  EXPECT_NE(text.find("chroot /data/edge/empty"), std::string::npos);
  EXPECT_EQ(route_value(route, 2), "s2|shop-dev/web|redirect");
}

TEST(EdgeConfig, NeverAsRootsUserWhereNotRoot) {
  EdgeSettings s = settings();
  s.user = s.group = "";
  EXPECT_EQ(render_frame(s).find("chroot"), std::string::npos);
}

TEST(EdgeConfig, WithoutHttpsNothingRedirects) {
  EdgeSettings s = settings();
  s.https.port = 0;
  EXPECT_EQ(render_frame(s).find("redirect code"), std::string::npos);
  EXPECT_EQ(render_frame(s).find(" ssl crt-list"), std::string::npos);
}

TEST(EdgeConfig, DescriptionFollowsTheFrame) {
  EdgeSettings other = settings();
  other.http.port = 8081;
  EXPECT_EQ(frame_description(settings(), 256), frame_description(settings(), 256));
  EXPECT_NE(frame_description(settings(), 256), frame_description(other, 256));
}

TEST(EdgeConfig, ConnectionsStayBelowTheDescriptorLimit) {
  EXPECT_EQ(connections_for(20'000), 4000u);
  EXPECT_LT(connections_for(4096) * 2, 4096u);
  EXPECT_GT(connections_for(64), 0u);
}

}  // namespace
}  // namespace mainstay::routing
