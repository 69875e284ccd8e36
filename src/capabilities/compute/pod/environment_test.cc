#include "capabilities/compute/pod/environment.h"

#include <gtest/gtest.h>

#include "capabilities/compute/pod/service_links.h"

namespace mainstay::compute {
namespace {

TEST(Expand, FollowsKubernetesRules) {
  const Variables known{{"A", "1"}, {"B_C", "two"}, {"X", "$(A)"}};
  EXPECT_EQ(expand("$(A)-$(B_C)", known), "1-two");
  EXPECT_EQ(expand("$$(A)", known), "$(A)");
  EXPECT_EQ(expand("$(NONE) $A $", known), "$(NONE) $A $");
  EXPECT_EQ(expand("$(X)", known), "$(A)") << "values are not expanded again";
  EXPECT_EQ(expand("$(A", known), "$(A");
  EXPECT_EQ(expand("$$$$", known), "$$");
}

class Environment : public ::testing::Test {
 protected:
  Environment() {
    pod_ = *base::parse_json(
        R"({"metadata":{"name":"web","namespace":"shop","labels":{"app/x":"1"}},"spec":{"serviceAccountName":"sa"}})");
    sources_.pod = &pod_;
    sources_.pod_ip = "10.1.2.3";
    sources_.config_map = [](std::string_view name) {
      return name == "cm"
                 ? std::make_shared<const json::value>(*base::parse_json(R"({"data":{"k":"v","bad=key":"x"}})"))
                 : nullptr;
    };
    sources_.secret = [](std::string_view name) {
      return name == "s" ? std::make_shared<const json::value>(*base::parse_json(R"({"data":{"pw":"aHVudGVy"}})"))
                         : nullptr;
    };
  }
  base::Result<Variables> of(std::string_view container) {
    return environment(*base::parse_json(container), sources_, {{"PATH", "/bin"}});
  }
  json::value pod_;
  EnvironmentSources sources_;
};

TEST_F(Environment, TakesValuesFromEverywhere) {
  const auto env = of(R"j({"envFrom":[{"configMapRef":{"name":"cm"},"prefix":"CM_"}],
    "resources":{"limits":{"memory":"64Mi"}},
    "env":[{"name":"A","value":"$(PATH):/x"},{"name":"B","value":"$(A)"},
           {"name":"IP","valueFrom":{"fieldRef":{"fieldPath":"status.podIP"}}},
           {"name":"L","valueFrom":{"fieldRef":{"fieldPath":"metadata.labels['app/x']"}}},
           {"name":"PW","valueFrom":{"secretKeyRef":{"name":"s","key":"pw"}}},
           {"name":"M","valueFrom":{"resourceFieldRef":{"resource":"limits.memory","divisor":"1Mi"}}},
           {"name":"O","valueFrom":{"secretKeyRef":{"name":"none","key":"x","optional":true}}}]
})j");
  ASSERT_TRUE(env) << env.error().message;
  EXPECT_EQ(env->at("CM_k"), "v");
  EXPECT_FALSE(env->contains("CM_bad=key"));
  EXPECT_EQ(env->at("B"), "/bin:/x");
  EXPECT_EQ(env->at("IP"), "10.1.2.3");
  EXPECT_EQ(env->at("L"), "1");
  EXPECT_EQ(env->at("PW"), "hunter");
  EXPECT_EQ(env->at("M"), "64");
  EXPECT_FALSE(env->contains("O"));
}

TEST_F(Environment, NamesWhatIsMissing) {
  const auto none = of(R"({"env":[{"name":"A","valueFrom":{"configMapKeyRef":{"name":"nope","key":"x"}}}]})");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, base::ErrorCode::kNotFound);
  EXPECT_NE(none.error().message.find("configmap \"nope\" not found"), std::string::npos);
  const auto key = of(R"({"env":[{"name":"A","valueFrom":{"secretKeyRef":{"name":"s","key":"other"}}}]})");
  ASSERT_FALSE(key);
  EXPECT_NE(key.error().message.find("has no key \"other\""), std::string::npos);
}

TEST(ServiceLinks, TellEachServiceWithAnAddress) {
  const auto service = [](std::string_view text) {
    return std::make_shared<const json::value>(*base::parse_json(text));
  };
  const Variables links =
      service_links({service(R"({"metadata":{"name":"redis-a"},"spec":{"clusterIP":"10.96.0.11","ports":[
           {"name":"main","port":6379,"protocol":"TCP"},{"name":"dns","port":53,"protocol":"UDP"}]}})"),
                     service(R"({"metadata":{"name":"headless"},"spec":{"clusterIP":"None","ports":[{"port":80}]}})")});
  EXPECT_EQ(links.at("REDIS_A_SERVICE_HOST"), "10.96.0.11");
  EXPECT_EQ(links.at("REDIS_A_SERVICE_PORT"), "6379");
  EXPECT_EQ(links.at("REDIS_A_SERVICE_PORT_DNS"), "53");
  EXPECT_EQ(links.at("REDIS_A_PORT"), "tcp://10.96.0.11:6379");
  EXPECT_EQ(links.at("REDIS_A_PORT_53_UDP_PROTO"), "udp");
  EXPECT_EQ(links.at("REDIS_A_PORT_53_UDP_ADDR"), "10.96.0.11");
  EXPECT_FALSE(links.contains("HEADLESS_SERVICE_HOST"));
}

}  // namespace
}  // namespace mainstay::compute
