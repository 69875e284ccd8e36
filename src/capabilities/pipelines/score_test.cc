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
  EXPECT_TRUE(fault(kScore, "{type: dns}", "{class: big}").contains("resources.dns.type is missing"))
      << fault(kScore, "{type: dns}", "{class: big}");
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

constexpr const char* kWithResources = R"(apiVersion: score.dev/v1b1
metadata: {name: book}
containers:
  book:
    image: .
    variables:
      HOST: ${resources.db.host}
      PASSWORD: ${resources.db.password}
      URI: postgres://${resources.db.username}:${resources.db.password}@${resources.db.host}/$x
    volumes:
      /data: {source: "${resources.disk}", readOnly: true}
resources:
  db: {type: postgres, class: big, params: {owner: "${metadata.name}", connections: 7}}
  disk: {type: volume}
)";

DeployTarget with_resources() {
  DeployTarget t = target();
  t.resources = std::make_shared<const ResourceValues>(
      ResourceValues{{"db",
                      {{"host", {"10.1.0.1", "", "", ""}},
                       {"username", {"c_1", "", "", ""}},
                       {"password", {"", "secretKeyRef", "book-db", "password"}}}},
                     {"disk", {{"source", {"book-disk", "", "", ""}}}}});
  return t;
}

TEST(Score, AsksForResourcesBeforeTheyAreThere) {
  auto workload = render_score("score.yaml", kWithResources, target());
  ASSERT_TRUE(workload) << workload.error().message;
  ASSERT_EQ(workload->resources.size(), 2u);
  EXPECT_EQ(workload->resources[0].name, "db");
  EXPECT_EQ(workload->resources[0].type, "postgres");
  EXPECT_EQ(workload->resources[0].cls, "big");
  EXPECT_EQ(workload->resources[0].params, (json::object{{"owner", "book"}, {"connections", 7}}));
}

TEST(Score, SecretsStayReferences) {
  auto workload = render_score("score.yaml", kWithResources, with_resources());
  ASSERT_TRUE(workload) << workload.error().message;
  const json::value& pod = workload->deployment.at_pointer("/spec/template/spec");
  const json::value& env = pod.at_pointer("/containers/0/env");
  EXPECT_EQ(env.at_pointer("/0"), (json::value{{"name", "HOST"}, {"value", "10.1.0.1"}}));
  EXPECT_EQ(env.at_pointer("/1/valueFrom/secretKeyRef"), (json::value{{"name", "book-db"}, {"key", "password"}}));
  EXPECT_EQ(env.at_pointer("/2/name"), json::value("MAINSTAY_BOOK_DB_PASSWORD")) << "before the one that uses it";
  EXPECT_EQ(env.at_pointer("/3/value"), json::value("postgres://c_1:$(MAINSTAY_BOOK_DB_PASSWORD)@10.1.0.1/$$x"));
  EXPECT_EQ(pod.at_pointer("/volumes/0/persistentVolumeClaim/claimName"), json::value("book-disk"));
  EXPECT_EQ(pod.at_pointer("/containers/0/volumeMounts/0"),
            (json::value{{"name", "book-disk"}, {"mountPath", "/data"}, {"readOnly", true}}));
}

TEST(Score, SecretsAreForVariablesAlone) {
  std::string text = kWithResources;
  text.replace(text.find("image: ."), 8, "image: .\n    args: [\"${resources.db.password}\"]");
  const auto refused = render_score("score.yaml", text, with_resources());
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().message.contains("it can be used in variables only")) << refused.error().message;
  text = kWithResources;
  text.replace(text.find("db.username"), 11, "db.nothing!");
  const auto missing = render_score("score.yaml", text, with_resources());
  ASSERT_FALSE(missing);
  EXPECT_TRUE(missing.error().message.contains("(of db there are: host, password, username)"))
      << missing.error().message;
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
