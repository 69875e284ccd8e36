#include "capabilities/compute/oci/spec.h"

#include <gtest/gtest.h>

#include <set>

namespace mainstay::compute {
namespace {

SpecInput input() {
  SpecInput in;
  in.args = {"/bin/true"};
  in.rootfs = "/r";
  in.netns = "/run/netns/x";
  in.cgroup_path = "/mainstay/t/p/c";
  return in;
}

std::set<std::string> strings(const json::value& list) {
  std::set<std::string> out;
  for (const json::value& s : list.as_array()) out.emplace(s.as_string());
  return out;
}
const std::set<std::string> kAll = capability_names(~0ull);

TEST(OciSpec, AsksOnlyForCapabilitiesThatThereAre) {
  std::set<std::string> available = kAll;
  available.erase("CAP_NET_RAW");
  const json::value process = oci_process(input(), available);
  const auto caps = strings(*base::find(process, "capabilities.bounding"));
  EXPECT_TRUE(caps.contains("CAP_CHOWN"));
  EXPECT_FALSE(caps.contains("CAP_NET_RAW"));
  EXPECT_FALSE(caps.contains("CAP_SYS_ADMIN"));
  EXPECT_EQ(caps.size(), 13u);
}

TEST(OciSpec, AddsAndDropsCapabilities) {
  SpecInput in = input();
  in.security = read_security(
      json::object{},
      *base::parse_json(R"({"securityContext":{"capabilities":{"drop":["ALL"],"add":["NET_BIND_SERVICE"]}}})"));
  EXPECT_EQ(strings(*base::find(json::value(oci_process(in, kAll)), "capabilities.effective")),
            std::set<std::string>{"CAP_NET_BIND_SERVICE"});
  in.security.drop = {"CHOWN"};
  in.security.add = {};
  EXPECT_FALSE(
      strings(*base::find(json::value(oci_process(in, kAll)), "capabilities.effective")).contains("CAP_CHOWN"));
  in.security.privileged = true;
  EXPECT_TRUE(
      strings(*base::find(json::value(oci_process(in, kAll)), "capabilities.effective")).contains("CAP_SYS_ADMIN"));
}

TEST(OciSpec, LeavesTheQuotaOutWithoutALimit) {
  const json::value config = oci_config(input(), kAll);
  EXPECT_EQ(base::find(config, "linux.resources.cpu.quota"), nullptr);
  EXPECT_EQ(base::find(config, "linux.resources.memory"), nullptr);
  EXPECT_EQ(base::find(config, "process.rlimits"), nullptr);
  SpecInput in = input();
  in.resources.cpu_limit_milli = 250;
  in.resources.memory_limit = 1 << 20;
  const json::value limited = oci_config(in, kAll);
  EXPECT_EQ(base::get_int(limited, "linux.resources.cpu.quota"), 25'000);
  EXPECT_EQ(base::get_int(limited, "linux.resources.memory.limit"), 1 << 20);
}

TEST(OciSpec, BuildsRunInAUserNamespaceWithoutProcessCovers) {
  SpecInput in = input();
  in.builds = true;
  const json::value config = oci_config(in, kAll);
  EXPECT_EQ(base::get_int(base::get_array(config, "linux.uidMappings")[0], "hostID"), 100'000);
  EXPECT_TRUE(base::get_bool(config, "process.noNewPrivileges"));
  EXPECT_EQ(base::find(config, "linux.readonlyPaths"), nullptr);
  bool user = false;
  for (const json::value& ns : base::get_array(config, "linux.namespaces"))
    user = user || base::get_string(ns, "type") == "user";
  EXPECT_TRUE(user);
}

TEST(OciSpec, MountsInnerAfterOuter) {
  SpecInput in = input();
  in.mounts = {{"/data/inner", "bind", "/b", {}}, {"/data", "bind", "/a", {}}};
  const json::value config = oci_config(in, kAll);
  std::ptrdiff_t outer = -1, inner = -1, i = 0;
  for (const json::value& m : base::get_array(config, "mounts")) {
    if (base::get_string(m, "destination") == "/data") outer = i;
    if (base::get_string(m, "destination") == "/data/inner") inner = i;
    ++i;
  }
  EXPECT_GE(outer, 0);
  EXPECT_LT(outer, inner);
}

TEST(OciSpec, ContainerSecurityCountsOverThePods) {
  const json::value pod = *base::parse_json(
      R"({"spec":{"securityContext":{"runAsUser":5,"runAsNonRoot":true,"fsGroup":7,"supplementalGroups":[8]}}})");
  const Security s = read_security(
      pod,
      *base::parse_json(
          R"({"securityContext":{"runAsUser":6,"readOnlyRootFilesystem":true,"allowPrivilegeEscalation":false}})"));
  EXPECT_EQ(s.run_as_user, 6);
  EXPECT_TRUE(s.run_as_non_root);
  EXPECT_TRUE(s.read_only_root);
  EXPECT_FALSE(s.allow_escalation);
  EXPECT_EQ(s.fs_group, 7);
  EXPECT_EQ(s.supplemental_groups, std::vector<std::uint32_t>{8});
}

TEST(OciSpec, KnowsCapabilityBits) {
  EXPECT_EQ(capability_names(1ull << 21), std::set<std::string>{"CAP_SYS_ADMIN"});
  EXPECT_EQ(capability_names(1ull << 31), std::set<std::string>{"CAP_SETFCAP"});
}

}  // namespace
}  // namespace mainstay::compute
