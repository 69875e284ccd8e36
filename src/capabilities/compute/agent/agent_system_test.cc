// The node agent with real containers, networks and mounts, against the API server in this process. Needs root, crun
// and conmon.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/ids.h"
#include "base/status.h"
#include "base/yaml.h"
#include "capabilities/compute/capability.h"
#include "capabilities/compute/fs.h"
#include "capabilities/compute/runtime/runtime.h"
#include "platform/platform.h"

namespace mainstay::compute {
namespace {
namespace fs = std::filesystem;
namespace json = boost::json;
namespace rs = client::resources;
using namespace std::chrono_literals;

using Body = std::function<async::Task<>(client::ApiClient)>;

class AgentTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0 || ::access("/usr/bin/conmon", X_OK) != 0 || ::access("/usr/bin/crun", X_OK) != 0)
      GTEST_SKIP() << "containers need root, crun and conmon";
    char pattern[] = "/tmp/mainstay-agent-XXXXXX";
    config_.data_dir = ::mkdtemp(pattern);
    config_.listen = {"127.0.0.1", 0};
    config_.http.port = config_.https.port = 0;
    config_.bridge = "mst" + base::random_hex(4);
    config_.pod_cidr = "10.199.32.0/22";
    config_.service_cidr = "10.98.0.0/16";
  }
  void TearDown() override {
    if (config_.data_dir.empty()) return;
    compute_down(config_);
    EXPECT_TRUE(mounts_below(config_.data_dir).empty());
    EXPECT_FALSE(fs::exists(RunPaths(config_).root));
    EXPECT_FALSE(fs::exists("/sys/class/net/" + config_.bridge));
    EXPECT_FALSE(fs::exists("/sys/fs/cgroup/memory" + RunPaths(config_).cgroup));
    fs::remove_all(config_.data_dir);
  }

  static async::Task<> body_then_stop(platform::Platform* platform, Body body) {
    client::ApiClient client = platform->client("test");
    for (int i = 0; i < 1000; ++i) {  // until the start hooks are through
      const auto node = co_await client.find(rs::kNodes, "", "mainstay");
      if (node && base::find(*node, "status.allocatable") != nullptr) break;
      co_await async::sleep_for(10ms);
    }
    try {
      co_await body(client);
    } catch (const std::exception& e) {
      ADD_FAILURE() << e.what();
    }
    platform->stop();
  }
  static async::Task<> go(async::Runtime* runtime, platform::Platform* platform, Body body) {
    async::TaskGroup group(runtime->executor(), "test");
    platform->on_start("test", [&group, platform, body]() -> async::Task<> {
      group.spawn("body", body_then_stop(platform, body));
      co_return;
    });
    co_await platform->run();
    co_await group.join();
  }
  // One life of the program on the same data directory.
  void run(Body body) {
    async::Runtime runtime;
    platform::Platform platform(runtime, config_);
    platform.register_capability(&register_compute);
    runtime.run(go(&runtime, &platform, std::move(body)));
  }

  static async::Task<json::value> until(client::ApiClient client, std::string name,
                                        std::function<bool(const json::value&)> condition) {
    json::value last;
    for (int i = 0; i < 1500; ++i) {
      auto found = co_await client.find(rs::kPods, "default", name);
      if (found && condition(*found)) co_return std::move(*found);
      if (found) last = std::move(*found);
      co_await async::sleep_for(10ms);
    }
    ADD_FAILURE() << "pod " << name << ": " << base::to_json(last);
    co_return last;
  }
  static async::Task<> until_gone(client::ApiClient client, std::string name) {
    for (int i = 0; i < 1500; ++i) {
      if (!co_await client.find(rs::kPods, "default", name)) co_return;
      co_await async::sleep_for(10ms);
    }
    ADD_FAILURE() << "pod " << name << " is still there";
  }
  static async::Task<> create(client::ApiClient client, std::string name, std::string spec, std::string more = "") {
    const std::string text = fmt::format(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {}, namespace: default}}\nspec: {{terminationGracePeriodSeconds: "
        "1, {}containers: "
        "[{{name: c, image: mainstay.dev/runner, {}}}]}}\n",
        name, more, spec);
    co_await client.create(rs::kPods, "default", *base::parse_yaml(text));
  }
  static async::Task<std::string> log_of(client::ApiClient client, std::string name, std::string query = "") {
    net::ClientRequest request;
    request.target = "/api/v1/namespaces/default/pods/" + name + "/log?" + query;
    auto response = co_await client.raw(std::move(request));
    co_return co_await response.body->read_all(1u << 20);
  }
  static std::string phase(const json::value& pod) { return base::get_string(pod, "status.phase"); }
  static const json::value& status_of(const json::value& pod) {
    static const json::value none;
    const auto& all = base::get_array(pod, "status.containerStatuses");
    return all.empty() ? none : all[0];
  }
  static bool over(const json::value& pod) { return phase(pod) == "Succeeded" || phase(pod) == "Failed"; }

  base::Config config_;
};

TEST_F(AgentTest, RunsAContainerToItsEnd) {
  struct Test : AgentTest {
    static async::Task<> body(client::ApiClient client) {
      co_await create(
          client, "one",
          R"y(command: [sh, -c, 'echo "$GREETING from $(hostname)"; echo $POD_IP; echo last words > /dev/termination-log; exit 3'],
                         env: [{name: GREETING, value: hello}, {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}])y",
          "restartPolicy: Never, ");
      const json::value pod = co_await until(client, "one", over);
      EXPECT_EQ(phase(pod), "Failed");
      const json::value& status = status_of(pod);
      EXPECT_EQ(base::get_int(status, "state.terminated.exitCode"), 3);
      EXPECT_EQ(base::get_string(status, "state.terminated.message"), "last words\n");
      EXPECT_EQ(co_await log_of(client, "one"),
                fmt::format("hello from one\n{}\n", base::get_string(pod, "status.podIP")));
      co_await client.remove(rs::kPods, "default", "one");
      co_await until_gone(client, "one");
    }
    void TestBody() override {}
  };
  run(Test::body);
}

TEST_F(AgentTest, NamesWhyAContainerDoesNotRun) {
  struct Test : AgentTest {
    static async::Task<> body(client::ApiClient client) {
      co_await create(client, "missing", "command: [/no/such/program]", "restartPolicy: Never, ");
      co_await create(client, "greedy", "command: [tail, /dev/zero], resources: {limits: {memory: 24Mi}}",
                      "restartPolicy: Never, ");
      co_await create(client, "loop", "command: [sh, -c, 'exit 1']");
      co_await create(client, "config", "command: [sleep, '1'], envFrom: [{configMapRef: {name: nowhere}}]");
      const json::value missing = co_await until(client, "missing", over);
      EXPECT_EQ(base::get_string(status_of(missing), "state.terminated.reason"), "StartError");
      const json::value greedy = co_await until(client, "greedy", over);
      EXPECT_EQ(base::get_string(status_of(greedy), "state.terminated.reason"), "OOMKilled");
      const json::value loop = co_await until(
          client, "loop", [](const json::value& pod) { return base::get_int(status_of(pod), "restartCount") >= 2; });
      EXPECT_EQ(base::get_string(status_of(loop), "lastState.terminated.reason"), "Error");
      const json::value config = co_await until(client, "config", [](const json::value& pod) {
        return base::get_string(status_of(pod), "state.waiting.reason") == "CreateContainerConfigError";
      });
      EXPECT_NE(base::get_string(status_of(config), "state.waiting.message").find("configmap \"nowhere\" not found"),
                std::string::npos);
      // What was missing comes: the pod goes on by itself.
      co_await client.create(
          rs::kConfigMaps, "default",
          json::object{{"apiVersion", "v1"}, {"kind", "ConfigMap"}, {"metadata", json::object{{"name", "nowhere"}}}});
      co_await until(client, "config", [](const json::value& pod) { return phase(pod) == "Running"; });
    }
    void TestBody() override {}
  };
  run(Test::body);
}

TEST_F(AgentTest, ContainersOutliveTheProgramAndAreTakenUpAgain) {
  struct Test : AgentTest {
    static async::Task<> first(client::ApiClient client) {
      co_await create(client, "stays", "command: [sh, -c, 'echo started; sleep 1000']");
      co_await create(client, "ends", "command: [sh, -c, 'sleep 0.3; exit 7']", "restartPolicy: Never, ");
      co_await until(client, "stays", [](const json::value& pod) { return phase(pod) == "Running"; });
      co_await until(client, "ends", [](const json::value& pod) { return phase(pod) == "Running"; });
    }
    static async::Task<> second(client::ApiClient client) {
      const json::value ends = co_await until(client, "ends", over);
      EXPECT_EQ(base::get_int(status_of(ends), "state.terminated.exitCode"), 7) << "it ended while nobody was there";
      const json::value stays =
          co_await until(client, "stays", [](const json::value& pod) { return phase(pod) == "Running"; });
      EXPECT_EQ(base::get_int(status_of(stays), "restartCount"), 0);
      EXPECT_EQ(co_await log_of(client, "stays"), "started\n");
      co_await client.remove(rs::kPods, "default", "stays");
      co_await until_gone(client, "stays");
    }
    void TestBody() override {}
  };
  run(Test::first);
  ::usleep(500'000);
  run(Test::second);
}

TEST_F(AgentTest, VolumesProbesAndRestartsByLiveness) {
  struct Test : AgentTest {
    static async::Task<> body(client::ApiClient client) {
      co_await client.create(
          rs::kConfigMaps, "default",
          *base::parse_json(
              R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"cm"},"data":{"greeting":"hi"}})"));
      co_await create(
          client, "vol",
          R"(command: [sh, -c, 'cat /etc/cm/greeting; echo; touch /scratch/ok; sleep 1; echo gone; rm /scratch/ok; sleep 1000'],
                         volumeMounts: [{name: cm, mountPath: /etc/cm}, {name: scratch, mountPath: /scratch}],
                         readinessProbe: {exec: {command: [test, -f, /scratch/ok]}},
                         livenessProbe: {exec: {command: [test, -f, /scratch/ok]}, periodSeconds: 1, failureThreshold: 2, terminationGracePeriodSeconds: 1})",
          "volumes: [{name: cm, configMap: {name: cm}}, {name: scratch, emptyDir: {medium: Memory}}], ");
      co_await until(client, "vol", [](const json::value& pod) { return base::get_bool(status_of(pod), "ready"); });
      EXPECT_EQ((co_await log_of(client, "vol")).substr(0, 3), "hi\n");
      co_await until(client, "vol",
                     [](const json::value& pod) { return base::get_int(status_of(pod), "restartCount") == 1; });
      EXPECT_EQ(co_await log_of(client, "vol", "previous=true"), "hi\ngone\n");
      co_await client.remove(rs::kPods, "default", "vol");
      co_await until_gone(client, "vol");
    }
    void TestBody() override {}
  };
  run(Test::body);
}

}  // namespace
}  // namespace mainstay::compute
