#include <gtest/gtest.h>

#include "async/runtime.h"
#include "base/json.h"
#include "base/status.h"
#include "capabilities/observe/exposition.h"
#include "capabilities/observe/metrics_engine.h"
#include "capabilities/observe/prometheus_routes.h"
#include "capabilities/observe/targets.h"

namespace mainstay::observe {
namespace {

boost::json::value pod(std::string_view annotations, std::string_view ip = "10.244.0.7") {
  return *base::parse_json(fmt::format(
      R"({{"metadata":{{"name":"web-1","namespace":"shop-dev","annotations":{}}},"spec":{{"containers":[{{"ports":[{{"containerPort":8080}}]}}]}},
          "status":{{"phase":"Running","podIP":"{}"}}}})",
      annotations, ip));
}

TEST(Exposition, EscapesAndLeavesEmptyLabelsOut) {
  Exposition out;
  out.family("x", "gauge", "Help");
  out.sample({{"a", "q\"b\\c\nd"}, {"team", ""}}, 1.5);
  out.sample({}, 2);
  EXPECT_EQ(out.take(), "# HELP x Help\n# TYPE x gauge\nx{a=\"q\\\"b\\\\c\\nd\"} 1.5\nx 2\n");
}

TEST(Targets, FollowAnnotations) {
  const auto target = pod_target(pod(R"({"prometheus.io/scrape":"true"})"), "shop", "10.244.0.0/16");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->address, "10.244.0.7:8080");
  EXPECT_EQ(target->path, "/metrics");
  EXPECT_EQ(target->team, "shop");
  const auto other =
      pod_target(pod(R"({"prometheus.io/scrape":"true","prometheus.io/port":"9000","prometheus.io/path":"/m"})"), "",
                 "10.244.0.0/16");
  ASSERT_TRUE(other);
  EXPECT_EQ(other->address, "10.244.0.7:9000");
  EXPECT_EQ(other->path, "/m");
}

TEST(Targets, AimAtNothingButThePod) {
  const char* cidr = "10.244.0.0/16";
  EXPECT_FALSE(pod_target(pod("{}"), "", cidr));
  EXPECT_FALSE(pod_target(pod(R"({"prometheus.io/scrape":"true"})", "127.0.0.1"), "", cidr));
  EXPECT_FALSE(pod_target(pod(R"({"prometheus.io/scrape":"true"})", ""), "", cidr));
  for (const char* bad :
       {R"("prometheus.io/port":"80@127.0.0.1")", R"("prometheus.io/port":"0")", R"("prometheus.io/port":"70000")",
        R"("prometheus.io/path":"metrics")", R"("prometheus.io/path":"/%{MAINSTAY_httpAuth_password}")",
        R"("prometheus.io/scheme":"file")"})
    EXPECT_FALSE(pod_target(pod(fmt::format(R"({{"prometheus.io/scrape":"true",{}}})", bad)), "", cidr)) << bad;
}

TEST(Targets, PodsCannotClaimToBeOthers) {
  const auto config = scrape_config({}, {{"10.244.0.7:80", "http", "/metrics", "shop-dev", "shop", "web-1", "web"}});
  const auto& jobs = config.at("scrape_configs").as_array();
  const auto& pods = jobs.back().as_object();
  EXPECT_FALSE(pods.at("honor_labels").as_bool());
  EXPECT_FALSE(pods.at("follow_redirects").as_bool());
  EXPECT_EQ(base::get_string(pods.at("static_configs").as_array()[0], "labels.namespace"), "shop-dev");
}

TEST(Confinement, DropsWhatIsNotOfThePrometheusApi) {
  const std::string form = confined_form({{"query", "up{a=\"b\"}"},
                                          {"extra_filters", "{namespace=\"rival\"}"},
                                          {"extra_filters[]", "{namespace=\"rival\"}"},
                                          {"extra_label", "namespace=rival"},
                                          {"match[]", "x"},
                                          {"trace", "1"}},
                                         "{namespace=~\"shop|shop-dev\"}");
  EXPECT_EQ(form.find("rival"), std::string::npos);
  EXPECT_EQ(form.find("trace"), std::string::npos);
  EXPECT_NE(form.find("match%5B%5D=x"), std::string::npos);
  EXPECT_TRUE(form.ends_with("&extra_filters%5B%5D=%7Bnamespace%3D~%22shop%7Cshop-dev%22%7D")) << form;
}

TEST(Confinement, NeverMatchesWhatBelongsToNobody) {
  EXPECT_EQ(series_filter({true, {}}), "");
  EXPECT_EQ(series_filter({false, {"shop", "shop-dev"}}), "{namespace=~\"shop|shop-dev\"}");
  EXPECT_FALSE((Scope{false, {"shop"}}.sees("")));
  EXPECT_FALSE((Scope{false, {"shop"}}.sees("shop-dev")));
}

async::Task<> reads_an_answer() {
  EXPECT_EQ(*co_await whole_answer(net::body_from_string("1234"), 4), "1234");
  const auto longer = co_await whole_answer(net::body_from_string("12345"), 4);
  EXPECT_FALSE(longer);
  if (!longer) EXPECT_EQ(longer.error().code, base::ErrorCode::kUnavailable);
}

TEST(EngineAnswer, ThatIsTooLongIsAnErrorAndNoException) {
  async::Runtime runtime;
  runtime.run(reads_an_answer());
}

}  // namespace
}  // namespace mainstay::observe
