// The workload controllers against the real API server and store in this process; only the node agent is played.
#include <gtest/gtest.h>

#include <filesystem>

#include "base/status.h"
#include "base/yaml.h"
#include "capabilities/compute/controllers/controllers.h"
#include "capabilities/compute/controllers/pods.h"
#include "platform/platform.h"

namespace mainstay::compute {
namespace {
namespace fs = std::filesystem;
namespace rs = client::resources;
using namespace std::chrono_literals;

// Runs every bound pod at once and makes it ready, unless its image is "broken"; ends deleted ones.
class FakeAgent : public std::enable_shared_from_this<FakeAgent> {
 public:
  explicit FakeAgent(platform::Host& host)
      : host_(host), client_(host.client("fake-agent")), pods_(host.caches().of(rs::kPods)) {}
  static void add_to(platform::Host& host) {
    auto self = std::make_shared<FakeAgent>(host);
    host.add_controller({"fake-agent", rs::kPods, {}, 4},
                        [self](reconcile::Name name) { return self->reconcile(std::move(name)); });
    host.on_start("node", [self] { return self->make_node(); });
  }

 private:
  async::Task<> make_node() {
    const json::value node = json::parse(R"({"apiVersion":"v1","kind":"Node","metadata":{"name":"mainstay"}})");
    co_await client_.apply(rs::kNodes, node);
    co_await client_.merge_patch(rs::kNodes, "", "mainstay",
                                 json::parse(R"({"status":{"allocatable":{"cpu":"4","memory":"8Gi","pods":"110"},
      "conditions":[{"type":"Ready","status":"True","reason":"Test","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]}})"),
                                 "status");
  }
  async::Task<reconcile::Outcome> reconcile(reconcile::Name name) {
    const auto pod = pods_->get(name.ns, name.name);
    if (!pod || base::get_string(*pod, "spec.nodeName").empty()) co_return reconcile::Outcome::done();
    if (being_deleted(*pod)) {
      co_await client_.remove_with(rs::kPods, name.ns, name.name, {{"gracePeriodSeconds", 0}});
      co_return reconcile::Outcome::done();
    }
    if (pod_ready(*pod) || base::get_string(base::get_array(*pod, "spec.containers")[0], "image") == "broken")
      co_return reconcile::Outcome::done();
    reconcile::Pass pass(client_, rs::kPods, pod);
    base::set(pass.object(), "status.phase", "Running");
    base::set(pass.object(), "status.podIP", json::string(fmt::format("10.244.0.{}", ++last_)));
    pass.set_condition("Ready", true, "", "", host_.clock());
    co_await pass.commit();
    co_return reconcile::Outcome::done();
  }
  platform::Host& host_;
  client::ApiClient client_;
  std::shared_ptr<client::Cache> pods_;
  int last_ = 1;
};

class ControllersTest : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/mainstay-controllers-XXXXXX";
    config_.data_dir = ::mkdtemp(pattern);
    config_.listen = {"127.0.0.1", 0};
  }
  void TearDown() override { fs::remove_all(config_.data_dir); }

  void run(std::function<async::Task<>(client::ApiClient)> body) {
    async::Runtime runtime;
    platform::Platform platform(runtime, config_);
    platform.register_capability(&register_workload_controllers);
    platform.register_capability(&FakeAgent::add_to);
    struct Main {
      static async::Task<> body_then_stop(platform::Platform* platform,
                                          std::function<async::Task<>(client::ApiClient)> body) {
        client::ApiClient client = platform->client("test");
        for (int i = 0; i < 500; ++i) {  // until the start hooks are through
          if (co_await client.find(rs::kServices, "default", "kubernetes")) break;
          co_await async::sleep_for(10ms);
        }
        try {
          co_await body(client);
        } catch (const std::exception& e) {
          ADD_FAILURE() << e.what();
        }
        platform->stop();
      }
      static async::Task<> go(async::Runtime* runtime, platform::Platform* platform,
                              std::function<async::Task<>(client::ApiClient)> body) {
        async::TaskGroup group(runtime->executor(), "test");
        platform->on_start("test", [&group, platform, body]() -> async::Task<> {
          group.spawn("body", body_then_stop(platform, body));
          co_return;
        });
        co_await platform->run();
        co_await group.join();
      }
    };
    runtime.run(Main::go(&runtime, &platform, std::move(body)));
  }

  static async::Task<json::value> until(client::ApiClient client, client::Resource resource, std::string ns,
                                        std::string name, std::function<bool(const json::value&)> condition) {
    json::value last;
    for (int i = 0; i < 1000; ++i) {
      auto found = co_await client.find(resource, ns, name);
      if (found && condition(*found)) co_return std::move(*found);
      if (found) last = std::move(*found);
      co_await async::sleep_for(5ms);
    }
    ADD_FAILURE() << resource.plural << "/" << name << " did not come: " << base::to_json(last);
    co_return last;
  }
  static json::value deployment(std::string image, int replicas = 3) {
    return *base::parse_yaml(fmt::format(R"(
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: default}}
spec:
  replicas: {}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 2
      containers: [{{name: web, image: {}, ports: [{{name: http, containerPort: 8080}}]}}]
)",
                                         replicas, image));
  }
  static bool complete(const json::value& d) {
    const json::value* progressing = reconcile::find_condition(d, "Progressing");
    return base::get_int(d, "status.observedGeneration") == base::get_int(d, "metadata.generation") &&
           progressing != nullptr && base::get_string(*progressing, "reason") == "NewReplicaSetAvailable" &&
           base::get_int(d, "status.updatedReplicas") == base::get_int(d, "spec.replicas") &&
           base::get_int(d, "status.replicas") == base::get_int(d, "spec.replicas");
  }
  base::Config config_;
};

TEST_F(ControllersTest, RollsOutUpdatesScalesAndRollsBack) {
  run([](client::ApiClient client) -> async::Task<> {
    json::value service = *base::parse_yaml(
        "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: default}, spec: {selector: {app: web}, "
        "ports: [{name: http, port: 80, targetPort: http}]}}");
    service = co_await client.create(rs::kServices, "default", service);
    EXPECT_TRUE(base::get_string(service, "spec.clusterIP").starts_with("10.96.")) << base::to_json(service);
    const auto begun = std::chrono::steady_clock::now();
    co_await client.create(rs::kDeployments, "default", deployment("one"));
    json::value d = co_await until(client, rs::kDeployments, "default", "web", complete);
    std::printf("first rollout of 3: %.0f ms\n",
                std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun).count());
    EXPECT_EQ(base::annotation(d, "deployment.kubernetes.io/revision"), "1");
    EXPECT_TRUE(reconcile::condition_true(d, "Available"));
    EXPECT_EQ((co_await client.list_objects(rs::kPods, "default")).items.size(), 3u) << "never a pod too many";

    const json::value two = deployment("two");
    co_await client.merge_patch(rs::kDeployments, "default", "web",
                                json::object{{"spec", json::object{{"template", *base::find(two, "spec.template")}}}});
    d = co_await until(client, rs::kDeployments, "default", "web", complete);
    EXPECT_EQ(base::annotation(d, "deployment.kubernetes.io/revision"), "2");
    for (const auto& pod : (co_await client.list_objects(rs::kPods, "default")).items) {
      if (pod_active(*pod)) EXPECT_EQ(base::get_string(base::get_array(*pod, "spec.containers")[0], "image"), "two");
    }
    co_await client.merge_patch(rs::kDeployments, "default", "web", json::parse(R"({"spec":{"replicas":5}})"));
    co_await until(client, rs::kDeployments, "default", "web", [](const json::value& v) {
      return complete(v) && base::get_int(v, "status.availableReplicas") == 5;
    });

    const json::value one = deployment("one");  // as kubectl rollout undo does it
    co_await client.merge_patch(rs::kDeployments, "default", "web",
                                json::object{{"spec", json::object{{"template", *base::find(one, "spec.template")}}}});
    d = co_await until(client, rs::kDeployments, "default", "web", complete);
    EXPECT_EQ(base::annotation(d, "deployment.kubernetes.io/revision"), "3");
    EXPECT_EQ((co_await client.list_objects(rs::kReplicaSets, "default")).items.size(), 2u)
        << "the old set is used again";

    const auto slices =
        co_await client.list_objects(rs::kEndpointSlices, "default", {"kubernetes.io/service-name=web", "", 0, ""});
    if (slices.items.size() != 1) throw std::runtime_error("one EndpointSlice was expected");
    // The last pod of the old set may still be on its way out of it.
    co_await until(client, rs::kEndpointSlices, "default", base::get_string(*slices.items[0], "metadata.name"),
                   [](const json::value& slice) {
                     return std::ranges::count_if(base::get_array(slice, "endpoints"), [](const json::value& endpoint) {
                              return base::get_bool(endpoint, "conditions.ready");
                            }) == 5;
                   });
  });
}

TEST_F(ControllersTest, ABrokenImageStopsTheRolloutAndKeepsServing) {
  run([](client::ApiClient client) -> async::Task<> {
    co_await client.create(rs::kDeployments, "default", deployment("one", 2));
    co_await until(client, rs::kDeployments, "default", "web", complete);
    const json::value broken = deployment("broken");
    co_await client.merge_patch(
        rs::kDeployments, "default", "web",
        json::object{{"spec", json::object{{"progressDeadlineSeconds", 1},
                                           {"template", *base::find(broken, "spec.template")}}}});
    const json::value d = co_await until(client, rs::kDeployments, "default", "web", [](const json::value& v) {
      const json::value* c = reconcile::find_condition(v, "Progressing");
      return c != nullptr && base::get_string(*c, "reason") == "ProgressDeadlineExceeded";
    });
    EXPECT_EQ(base::get_int(d, "status.availableReplicas"), 2);
    EXPECT_TRUE(reconcile::condition_true(d, "Available"));
  });
}

TEST_F(ControllersTest, RecreateStopsTheOldFirst) {
  run([](client::ApiClient client) -> async::Task<> {
    json::value d = deployment("one", 2);
    base::set(d, "spec.strategy", json::object{{"type", "Recreate"}});
    co_await client.create(rs::kDeployments, "default", d);
    co_await until(client, rs::kDeployments, "default", "web", complete);
    const json::value two = deployment("two");
    co_await client.merge_patch(rs::kDeployments, "default", "web",
                                json::object{{"spec", json::object{{"template", *base::find(two, "spec.template")}}}});
    co_await until(client, rs::kDeployments, "default", "web", complete);
    for (const auto& pod : (co_await client.list_objects(rs::kPods, "default")).items) {
      EXPECT_EQ(base::get_string(base::get_array(*pod, "spec.containers")[0], "image"), "two");
    }
  });
}

TEST_F(ControllersTest, SaysWhyAPodWaits) {
  run([](client::ApiClient client) -> async::Task<> {
    json::value d = deployment("one", 1);
    d.at("spec").at("template").at("spec").at("containers").at(0).as_object()["resources"] =
        json::parse(R"({"requests":{"memory":"64Gi"}})");
    co_await client.create(rs::kDeployments, "default", d);
    for (int i = 0; i < 500; ++i) {
      const auto pods = co_await client.list_objects(rs::kPods, "default");
      if (!pods.items.empty()) {
        if (const json::value* c = reconcile::find_condition(*pods.items[0], "PodScheduled")) {
          EXPECT_EQ(base::get_string(*c, "reason"), "Unschedulable");
          EXPECT_NE(base::get_string(*c, "message").find("Insufficient memory"), std::string::npos);
          // Room comes: the node is larger now.
          co_await client.merge_patch(rs::kNodes, "", "mainstay",
                                      json::parse(R"({"status":{"allocatable":{"memory":"128Gi"}}})"), "status");
          co_await until(client, rs::kDeployments, "default", "web", complete);
          co_return;
        }
      }
      co_await async::sleep_for(5ms);
    }
    ADD_FAILURE() << "no PodScheduled condition came";
  });
}

TEST_F(ControllersTest, ServiceAddressesAreUniqueAndStay) {
  run([](client::ApiClient client) -> async::Task<> {
    std::set<std::string> given;
    for (int i = 0; i < 30; ++i) {
      const json::value s =
          *base::parse_yaml(fmt::format("{{apiVersion: v1, kind: Service, metadata: {{name: s{}, namespace: default}}, "
                                        "spec: {{ports: [{{port: 80}}]}}}}",
                                        i));
      EXPECT_TRUE(
          given.insert(base::get_string(co_await client.create(rs::kServices, "default", s), "spec.clusterIP")).second);
    }
    const std::string first = base::get_string(co_await client.get(rs::kServices, "default", "s0"), "spec.clusterIP");
    const auto refused = [&client](std::string yaml) -> async::Task<std::string> {
      try {
        co_await client.create(rs::kServices, "default", *base::parse_yaml(yaml));
      } catch (const base::StatusError& e) {
        co_return e.message();
      }
      co_return "";
    };
    EXPECT_NE((co_await refused(
                   "{apiVersion: v1, kind: Service, metadata: {name: x, namespace: default}, spec: {clusterIP: " +
                   first + ", ports: [{port: 80}]}}"))
                  .find("already allocated"),
              std::string::npos);
    EXPECT_NE((co_await refused("{apiVersion: v1, kind: Service, metadata: {name: x, namespace: default}, spec: "
                                "{clusterIP: 10.1.1.1, ports: [{port: 80}]}}"))
                  .find("not in the service range"),
              std::string::npos);
    EXPECT_NE((co_await refused("{apiVersion: v1, kind: Service, metadata: {name: x, namespace: default}, spec: {type: "
                                "NodePort, ports: [{port: 80}]}}"))
                  .find("NodePort is not supported"),
              std::string::npos);
    // An ExternalName Service that changes its type asks for an address then, and has none before.
    EXPECT_NE((co_await refused("{apiVersion: v1, kind: Service, metadata: {name: x, namespace: default}, spec: {type: "
                                "ExternalName, externalName: example.com, clusterIP: " +
                                first + "}}"))
                  .find("an ExternalName Service has no address"),
              std::string::npos);
    json::value outside =
        co_await client.create(rs::kServices, "default",
                               *base::parse_yaml("{apiVersion: v1, kind: Service, metadata: {name: e, namespace: "
                                                 "default}, spec: {type: ExternalName, externalName: example.com}}"));
    outside.at("spec") =
        json::object{{"type", "ClusterIP"}, {"clusterIP", first}, {"ports", json::array{json::object{{"port", 80}}}}};
    std::string why;
    try {
      co_await client.update(rs::kServices, outside);
    } catch (const base::StatusError& e) {
      why = e.message();
    }
    EXPECT_NE(why.find("already allocated"), std::string::npos) << why;
    const json::value headless =
        co_await client.create(rs::kServices, "default",
                               *base::parse_yaml("{apiVersion: v1, kind: Service, metadata: {name: h, namespace: "
                                                 "default}, spec: {clusterIP: None, ports: [{port: 80}]}}"));
    EXPECT_EQ(base::get_string(headless, "spec.clusterIP"), "None");
    // An update by somebody who does not know the address keeps it.
    json::value replaced = co_await client.get(rs::kServices, "default", "s0");
    base::erase(replaced, "spec.clusterIP");
    base::erase(replaced, "spec.clusterIPs");
    base::set(replaced, "spec.ports", json::parse(R"([{"port":81}])"));
    co_await client.update(rs::kServices, replaced);
    EXPECT_EQ(base::get_string(co_await client.get(rs::kServices, "default", "s0"), "spec.clusterIP"), first);
    EXPECT_EQ(base::get_string(co_await client.get(rs::kServices, "default", "kubernetes"), "spec.clusterIP"),
              "10.96.0.1");
  });
}

}  // namespace
}  // namespace mainstay::compute
