#include "capabilities/pipelines/score.h"

#include <gtest/gtest.h>

namespace mainstay::pipelines {
namespace {

DeployTarget target() {
  return {"shop", "dev", "web", "c0ffee", "web-c0ffee-1", "127.0.0.1:6443/shop/web@sha256:1", 0, ".dev.shop.localhost"};
}

constexpr const char* kScore = R"(apiVersion: score.dev/v1b1
metadata:
  name: front
  annotations: {tier: web, mainstay.dev/replicas: "2"}
service:
  ports:
    www: {port: 80, targetPort: 8080}
containers:
  front:
    image: .
    command: [/bin/front]
    args: ["--name", "${metadata.name}"]
    variables:
      HOST: ${resources.dns.host}
      COMMIT: ${metadata.annotations.mainstay\.dev/commit}
      TIER: ${metadata.annotations.tier}
      PLAIN: $${x}
      PORT: 8080
    resources:
      limits: {cpu: 500m, memory: 128Mi}
    livenessProbe:
      httpGet: {path: /live, port: 8080}
resources:
  dns: {type: dns}
)";

TEST(Score, Renders) {
  auto workload = render_score("score.yaml", kScore, target());
  ASSERT_TRUE(workload) << workload.error().message;
  EXPECT_EQ(workload->name, "front");
  EXPECT_EQ(workload->ns, "shop-dev");
  const json::value& d = workload->deployment;
  EXPECT_EQ(base::get_int(d, "spec.replicas"), 2);
  const json::value& c = d.at_pointer("/spec/template/spec/containers/0");
  EXPECT_EQ(base::get_string(c, "image"), target().image);
  EXPECT_EQ(c.at_pointer("/args/1"), json::value("front"));
  std::map<std::string, std::string> env;
  for (const json::value& variable : c.at("env").as_array())
    env[base::get_string(variable, "name")] = base::get_string(variable, "value");
  EXPECT_EQ(env["HOST"], "front.dev.shop.localhost");
  EXPECT_EQ(env["COMMIT"], "c0ffee");
  EXPECT_EQ(env["TIER"], "web");
  EXPECT_EQ(env["PLAIN"], "${x}");
  EXPECT_EQ(env["PORT"], "8080");
  EXPECT_EQ(base::get_int(c, "readinessProbe.tcpSocket.port"), 8080);
  EXPECT_EQ(base::get_string(c, "livenessProbe.httpGet.path"), "/live");
  EXPECT_EQ(d.at_pointer("/spec/template/metadata/annotations/mainstay.dev~1commit"), json::value("c0ffee"));
  EXPECT_EQ(workload->service.at_pointer("/spec/ports/0/targetPort"), json::value(8080));
}

TEST(Score, FaultsNameTheField) {
  const auto fault = [](std::string text, std::string_view from, std::string_view to) {
    text.replace(text.find(from), from.size(), to);
    auto workload = render_score("score.yaml", text, target());
    return workload ? "none" : workload.error().message;
  };
  EXPECT_TRUE(
      fault(kScore, "{type: dns}", "{type: postgres}")
          .starts_with("score.yaml:24:3: resources.dns: resources of type \"postgres\" are not in this version"))
      << fault(kScore, "{type: dns}", "{type: postgres}");
  EXPECT_TRUE(fault(kScore, "score.dev/v1b1", "v2").contains("apiVersion must be score.dev/v1b1"));
  EXPECT_TRUE(fault(kScore, "name: front", "name: Front").contains("metadata.name"));
  EXPECT_TRUE(fault(kScore, "${metadata.name}", "${metadata.nope}").contains("there is no value for ${metadata.nope}"));
  EXPECT_TRUE(fault(kScore, "500m", "lots").contains("containers.front.resources.limits.cpu"));
  EXPECT_TRUE(fault(kScore, "command:", "files:").contains("containers.front.files is not in this version"));
  EXPECT_TRUE(fault(kScore, "port: 80,", "port: 0,").contains("ports are 1 to 65535"));
  EXPECT_FALSE(render_score("s", "[", target()));
  DeployTarget none = target();
  none.image.clear();
  EXPECT_TRUE(render_score("s", kScore, none).error().message.contains("no step of this run built an image"));
}

TEST(Score, TheDefaultListensOnTheExposedPort) {
  DeployTarget with = target();
  EXPECT_EQ(render_default(with).port, 8080);
  with.exposed_port = 3000;
  const RenderedWorkload workload = render_default(with);
  EXPECT_EQ(workload.name, "web");
  EXPECT_EQ(workload.service.at_pointer("/spec/ports/0/targetPort"), json::value(3000));
  EXPECT_EQ(workload.deployment.at_pointer("/spec/template/spec/containers/0/readinessProbe/tcpSocket/port"),
            json::value(3000));
  EXPECT_FALSE(workload.deployment.at("spec").as_object().contains("replicas")) << "whoever scaled it keeps the number";
}

}  // namespace
}  // namespace mainstay::pipelines
