#include "capabilities/compute/pod_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mainstay::compute {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// "!field" where it is refused, "field" where it has no effect.
std::vector<std::string> found(std::string_view spec) {
  std::vector<std::string> out;
  for (const UnservedField& one : unserved_fields(*base::parse_json(spec), "spec"))
    out.push_back((one.refused ? "!" : "") + one.field);
  return out;
}
std::vector<std::string> of_container(const std::string& fields) {
  return found(R"({"containers":[{"name":"a","image":"x",)" + fields + "}]}");
}

TEST(PodFields, WhatIsDoneIsNotMentioned) {
  EXPECT_THAT(found(R"({"hostUsers":true,"shareProcessNamespace":false,"os":{"name":"linux"},"priority":0,
    "readinessGates":[],"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":
      {"nodeSelectorTerms":[{"matchExpressions":[{"key":"a","operator":"Exists"}]}]}}},
    "securityContext":{"runAsUser":1000,"fsGroup":1000,"seccompProfile":{"type":"RuntimeDefault"}},
    "initContainers":[{"name":"s","image":"x","restartPolicy":"Always"}],
    "containers":[{"name":"a","image":"x","livenessProbe":{"httpGet":{"port":80}},
      "lifecycle":{"preStop":{"exec":{"command":["true"]}}},"securityContext":{"procMount":"Default"},
      "env":[{"name":"A","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}}],
      "volumeMounts":[{"name":"v","mountPath":"/v","mountPropagation":"None","recursiveReadOnly":"Disabled"}]}],
    "volumes":[{"name":"v","emptyDir":{"medium":"Memory","sizeLimit":"1Mi"}},{"name":"c","configMap":{"name":"c"}},
      {"name":"p","projected":{"sources":[{"serviceAccountToken":{"path":"t"}}]}}]})"),
              IsEmpty());
}

TEST(PodFields, WhatWouldChangeWhatRunsIsRefused) {
  EXPECT_THAT(found(R"({"hostUsers":false})"), ElementsAre("!spec.hostUsers"));
  EXPECT_THAT(found(R"({"shareProcessNamespace":true})"), ElementsAre("!spec.shareProcessNamespace"));
  EXPECT_THAT(found(R"({"runtimeClassName":"gvisor"})"), ElementsAre("!spec.runtimeClassName"));
  EXPECT_THAT(found(R"({"os":{"name":"windows"}})"), ElementsAre("!spec.os.name"));
  EXPECT_THAT(found(R"({"readinessGates":[{"conditionType":"a/b"}]})"), ElementsAre("!spec.readinessGates"));
  EXPECT_THAT(found(R"({"securityContext":{"seccompProfile":{"type":"Localhost","localhostProfile":"p"}}})"),
              ElementsAre("!spec.securityContext.seccompProfile.type"));
  EXPECT_THAT(of_container(R"("securityContext":{"appArmorProfile":{"type":"RuntimeDefault"}})"),
              ElementsAre("!spec.containers[0].securityContext.appArmorProfile.type"));
  EXPECT_THAT(of_container(R"("readinessProbe":{"grpc":{"port":1}})"),
              ElementsAre("!spec.containers[0].readinessProbe.grpc"));
  EXPECT_THAT(of_container(R"("restartPolicy":"Always")"), ElementsAre("!spec.containers[0].restartPolicy"));
  EXPECT_THAT(of_container(R"("volumeMounts":[{"name":"v","mountPath":"/v","mountPropagation":"Bidirectional"}])"),
              ElementsAre("!spec.containers[0].volumeMounts[0].mountPropagation"));
  EXPECT_THAT(found(R"({"volumes":[{"name":"v","nfs":{"server":"s","path":"/"}}]})"),
              ElementsAre("!spec.volumes[0].nfs"));
  EXPECT_THAT(found(R"({"volumes":[{"name":"v","emptyDir":{"medium":"HugePages"}}]})"),
              ElementsAre("!spec.volumes[0].emptyDir.medium"));
  EXPECT_THAT(found(R"({"volumes":[{"name":"v","projected":{"sources":[{"clusterTrustBundle":{"path":"p"}}]}}]})"),
              ElementsAre("!spec.volumes[0].projected.sources[0].clusterTrustBundle"));
}

TEST(PodFields, WhatOnlyTunesIsLetIn) {
  EXPECT_THAT(found(R"({"priorityClassName":"high","topologySpreadConstraints":[{"maxSkew":1}]})"),
              ElementsAre("spec.priorityClassName", "spec.topologySpreadConstraints"));
  EXPECT_THAT(found(R"({"affinity":{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{}]}}})"),
              ElementsAre("spec.affinity.podAntiAffinity"));
  EXPECT_THAT(found(R"({"volumes":[{"name":"v","emptyDir":{"sizeLimit":"1Mi"}}]})"),
              ElementsAre("spec.volumes[0].emptyDir.sizeLimit"));
  EXPECT_THAT(of_container(R"("resources":{"limits":{"ephemeral-storage":"1Gi"}})"),
              ElementsAre("spec.containers[0].resources.limits.ephemeral-storage"));
}

TEST(PodFields, TakesAnything) {
  for (const char* spec :
       {"[]", "1", R"({"containers":1})", R"({"containers":[1,[]],"volumes":[null,"x"]})",
        R"({"volumes":[{"projected":{"sources":[1]}}],"containers":[{"volumeMounts":[1],"env":[[]]}]})"})
    EXPECT_THAT(found(spec), IsEmpty()) << spec;
}

}  // namespace
}  // namespace mainstay::compute
