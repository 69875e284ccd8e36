#include "capabilities/routing/route.h"

#include <gtest/gtest.h>

#include "capabilities/routing/routing_controller.h"

namespace mainstay::routing {
namespace {

json::value service(std::string_view extra = "{}") {
  json::value out = json::parse(R"({"metadata":{"name":"web","namespace":"shop-dev","annotations":{}},
    "spec":{"ports":[{"name":"metrics","port":9090},{"name":"http","port":80}]}})");
  base::apply_merge_patch(out, json::parse(json::string_view(extra.data(), extra.size())));
  return out;
}
const json::value kNamespace = json::parse(
    R"({"metadata":{"name":"shop-dev","labels":{"mainstay.dev/team":"shop","mainstay.dev/environment":"dev"}}})");

client::ObjectPtr slice(std::string_view endpoints) {
  json::value out = json::parse(R"({"metadata":{"labels":{"kubernetes.io/service-name":"web"}},"addressType":"IPv4",
    "ports":[{"name":"metrics","port":9090},{"name":"http","port":8080}]})");
  base::set(out, "endpoints", json::parse(json::string_view(endpoints.data(), endpoints.size())));
  return std::make_shared<const json::value>(std::move(out));
}

TEST(Route, HostFromTheNamespacesLabels) {
  const auto decision = decide_route(service(), &kNamespace, {}, base::Config{});
  ASSERT_TRUE(decision.route);
  EXPECT_EQ(decision.route->host, "web.dev.shop.localhost");
  EXPECT_EQ(decision.route->certificate, "dev.shop");
  EXPECT_EQ(decision.reason, "NoReadyEndpoints");
  EXPECT_EQ(route_url(*decision.route, base::Config{}), "https://web.dev.shop.localhost:8443");
}

TEST(Route, OnlyEnvironments) {
  const json::value team = json::parse(R"({"metadata":{"name":"shop","labels":{"mainstay.dev/team":"shop"}}})");
  EXPECT_TRUE(decide_route(service(), &team, {}, base::Config{}).reason.empty());
  EXPECT_TRUE(decide_route(service(), nullptr, {}, base::Config{}).reason.empty());
}

TEST(Route, OptOutAndPortsThatAreNotHttp) {
  EXPECT_EQ(decide_route(service(R"({"metadata":{"annotations":{"mainstay.dev/expose":"false"}}})"), &kNamespace, {},
                         base::Config{})
                .reason,
            "OptedOut");
  EXPECT_EQ(
      decide_route(
          service(
              R"({"spec":{"ports":[{"name":"pg","port":5432,"appProtocol":"postgresql"},{"port":53,"protocol":"UDP"}]}})"),
          &kNamespace, {}, base::Config{})
          .reason,
      "NoHTTPPort");
}

TEST(Route, EndpointsOfTheHttpPortByReadiness) {
  const auto decision = decide_route(service(), &kNamespace, {slice(R"([
      {"addresses":["10.0.0.1"],"conditions":{"ready":true},"targetRef":{"kind":"Pod","name":"web-1"}},
      {"addresses":["10.0.0.2"],"conditions":{"ready":false,"serving":true,"terminating":true},"targetRef":{"kind":"Pod","name":"web-2"}},
      {"addresses":["10.0.0.3"]},
      {"addresses":["10.0.0.4; del server x"]},
      {"addresses":["10.0.0.5"],"targetRef":{"kind":"Pod","name":"evil name; shutdown"}},
      {"addresses":[]}])")},
                                     base::Config{});
  ASSERT_TRUE(decision.route);
  EXPECT_EQ(decision.reason, "Serving");
  const std::vector<Endpoint> expected{{"ip-10.0.0.3:8080", "10.0.0.3", 8080, true},
                                       {"ip-10.0.0.5:8080", "10.0.0.5", 8080, true},
                                       {"web-1:8080", "10.0.0.1", 8080, true},
                                       {"web-2:8080", "10.0.0.2", 8080, false}};
  EXPECT_EQ(decision.route->endpoints, expected);
}

TEST(Route, SaysWhatKeepsPodsFromBeingReady) {
  const auto pod = [](std::string_view text) {
    return std::make_shared<const json::value>(json::parse(json::string_view(text.data(), text.size())));
  };
  const std::vector<client::ObjectPtr> pods{
      pod(R"({"metadata":{"labels":{"app":"web"}},"status":{"containerStatuses":[{"state":{"waiting":{"reason":"CrashLoopBackOff","message":"secret"}}}]}})"),
      pod(R"({"metadata":{"labels":{"app":"web"}},"status":{"conditions":[{"type":"PodScheduled","status":"False","reason":"Unschedulable"}]}})"),
      pod(R"({"metadata":{"labels":{"app":"web"}},"status":{"containerStatuses":[{"state":{"waiting":{"reason":"<b>x"}}}]}})"),
      pod(R"({"metadata":{"labels":{"app":"other"}},"status":{"containerStatuses":[{"state":{"waiting":{"reason":"ImagePullBackOff"}}}]}})")};
  const auto decision =
      decide_route(service(R"({"spec":{"selector":{"app":"web"}}})"), &kNamespace, {}, base::Config{}, pods);
  ASSERT_TRUE(decision.route);
  EXPECT_EQ(decision.route->why_not_ready(),
            "no pod with an address stands behind it (CrashLoopBackOff, Unschedulable)");
}

TEST(Route, AppProtocolAndPlainHttp) {
  const auto decision = decide_route(
      service(
          R"({"metadata":{"annotations":{"mainstay.dev/http":"serve"}},"spec":{"ports":[{"name":"a","port":1},{"name":"b","port":2,"appProtocol":"kubernetes.io/h2c"}]}})"),
      &kNamespace, {}, base::Config{});
  ASSERT_TRUE(decision.route);
  EXPECT_TRUE(decision.route->http2);
  EXPECT_TRUE(decision.route->plain_http);
}

TEST(RouteStatus, WrittenOnceAndTakenBack) {
  const base::SystemTime now{std::chrono::seconds(1'700'000'000)};
  json::value s = service();
  RouteDecision decision = decide_route(s, &kNamespace, {slice(R"([{"addresses":["10.0.0.1"]}])")}, base::Config{});
  write_route_status(s, decision, base::Config{}, now);
  EXPECT_EQ(base::annotation(s, "mainstay.dev/url"), "https://web.dev.shop.localhost:8443");
  EXPECT_TRUE(reconcile::condition_true(s, "Routed"));
  EXPECT_EQ(base::get_string(base::get_array(s, "status.loadBalancer.ingress")[0], "hostname"),
            "web.dev.shop.localhost");
  const json::value before = s;
  write_route_status(s, decision, base::Config{}, now + std::chrono::seconds(9));
  EXPECT_EQ(s, before) << "the same decision writes nothing";
  write_route_status(s, {}, base::Config{}, now);
  EXPECT_EQ(base::annotation(s, "mainstay.dev/url"), "");
  EXPECT_EQ(reconcile::find_condition(s, "Routed"), nullptr);
  json::value stranger = service();
  const json::value untouched = stranger;
  write_route_status(stranger, {}, base::Config{}, now);
  EXPECT_EQ(stranger, untouched);
}

}  // namespace
}  // namespace mainstay::routing
