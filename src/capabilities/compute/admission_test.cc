#include "capabilities/compute/admission.h"

#include <gtest/gtest.h>

#include "base/status.h"

namespace mainstay::compute {
namespace {

json::value pod(std::string_view spec) { return json::object{{"spec", *base::parse_json(spec)}}; }

TEST(HostAccess, OrdinaryPodsHaveNone) {
  EXPECT_TRUE(
      host_access(
          pod(R"({"containers":[{"name":"a","securityContext":{"capabilities":{"add":["NET_BIND_SERVICE"],"drop":["ALL"]}},
      "livenessProbe":{"httpGet":{"port":80}},"readinessProbe":{"tcpSocket":{"host":"","port":80}}}],
    "volumes":[{"name":"v","emptyDir":{}}]})"))
          .empty());
}

TEST(RunPods, AreEnteredByNobody) {
  const json::value plain = {{"metadata", {{"name", "web"}}}},
                    job = {{"metadata", {{"name", "job"}, {"labels", {{"mainstay.dev/workflow-run", "r"}}}}}};
  api::UserInfo admin;
  admin.name = "ann";
  admin.groups = {std::string(api::kAdminGroup)};
  EXPECT_NO_THROW(check_enterable(plain, admin));
  EXPECT_THROW(check_enterable(job, admin), base::StatusError);
}

TEST(HostAccess, NamesEachWay) {
  for (const char* spec :
       {R"({"hostNetwork":true})", R"({"hostPID":true})", R"({"hostIPC":true})",
        R"({"volumes":[{"name":"v","hostPath":{"path":"/"}}]})",
        R"({"containers":[{"name":"a","securityContext":{"privileged":true}}]})",
        R"({"initContainers":[{"name":"a","securityContext":{"privileged":true}}]})",
        R"({"containers":[{"name":"a","securityContext":{"capabilities":{"add":["SYS_ADMIN"]}}}]})",
        R"({"containers":[{"name":"a","securityContext":{"capabilities":{"add":["ALL"]}}}]})",
        R"({"containers":[{"name":"a","ports":[{"containerPort":80,"hostPort":80}]}]})",
        R"({"containers":[{"name":"a","securityContext":{"seccompProfile":{"type":"Unconfined"}}}]})",
        R"({"containers":[{"name":"a","livenessProbe":{"httpGet":{"host":"127.0.0.1","port":80}}}]})",
        R"({"containers":[{"name":"a","readinessProbe":{"tcpSocket":{"host":"10.244.0.9","port":80}}}]})",
        R"({"initContainers":[{"name":"a","startupProbe":{"httpGet":{"host":"169.254.169.254","port":80}}}]})",
        R"({"containers":[{"name":"a","lifecycle":{"postStart":{"httpGet":{"host":"other","port":80}}}}]})",
        R"({"containers":[{"name":"a","lifecycle":{"preStop":{"httpGet":{"host":"other","port":80}}}}]})",
        R"({"securityContext":{"sysctls":[{"name":"kernel.core_pattern","value":"|/x"}]}})"}) {
    EXPECT_EQ(host_access(pod(spec)).size(), 1u) << spec;
  }
}

TEST(PodUpdate, OnlyWhatKubernetesAllows) {
  const json::value before = pod(R"({"containers":[{"name":"a","image":"x:1","command":["run"]}]})");
  EXPECT_EQ(forbidden_update(before, before), "");
  EXPECT_EQ(forbidden_update(
                before, pod(R"({"nodeName":"mainstay","containers":[{"name":"a","image":"x:2","command":["run"]}]})")),
            "");
  EXPECT_NE(forbidden_update(before, pod(R"({"containers":[{"name":"a","image":"x:1","command":["other"]}]})")), "");
  EXPECT_NE(forbidden_update(pod(R"({"nodeName":"mainstay","containers":[]})"),
                             pod(R"({"nodeName":"other","containers":[]})")),
            "");
  EXPECT_NE(forbidden_update(
                before, pod(R"({"hostNetwork":true,"containers":[{"name":"a","image":"x:1","command":["run"]}]})")),
            "");
}

}  // namespace
}  // namespace mainstay::compute
