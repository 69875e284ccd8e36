// The pure cores beside the rollout: pods, slices, scheduling, addresses.
#include <gtest/gtest.h>

#include "capabilities/compute/controllers/endpointslice.h"
#include "capabilities/compute/controllers/pods.h"
#include "capabilities/compute/controllers/replicaset.h"
#include "capabilities/compute/controllers/scheduler.h"
#include "capabilities/compute/controllers/service_addresses.h"

namespace mainstay::compute {
namespace {

client::ObjectPtr shared(json::value v) { return std::make_shared<const json::value>(std::move(v)); }

json::value pod(std::string name, std::string ip, bool ready, bool deleting = false) {
  json::value out = json::object{
      {"metadata", json::object{{"name", name},
                                {"namespace", "shop-dev"},
                                {"uid", "uid-" + name},
                                {"labels", json::object{{"app", "web"}}}}},
      {"spec", json::object{{"nodeName", "mainstay"},
                            {"containers",
                             json::array{json::object{
                                 {"name", "c"},
                                 {"ports", json::array{json::object{{"name", "web"}, {"containerPort", 8080}}}}}}}}},
      {"status",
       json::object{{"phase", "Running"},
                    {"podIP", ip},
                    {"conditions", json::array{json::object{{"type", "Ready"},
                                                            {"status", ready ? "True" : "False"},
                                                            {"lastTransitionTime", "2026-01-01T00:00:00Z"}}}}}}};
  if (deleting) base::set(out, "metadata.deletionTimestamp", "2026-01-01T00:01:00Z");
  return out;
}

json::value service() {
  return json::parse(R"({"metadata":{"name":"web","namespace":"shop-dev","uid":"u1","labels":{"team":"shop"}},
    "spec":{"selector":{"app":"web"},"ports":[{"name":"http","port":80,"targetPort":"web","appProtocol":"http"}]}})");
}

TEST(EndpointSlices, ConditionsFollowReadinessAndDeletion) {
  const auto slices =
      endpoint_slices(service(), {shared(pod("c", "10.0.0.3", true, true)), shared(pod("a", "10.0.0.1", true)),
                                  shared(pod("b", "10.0.0.2", false))});
  ASSERT_EQ(slices.size(), 1u);
  const json::array& endpoints = base::get_array(slices[0], "endpoints");
  ASSERT_EQ(endpoints.size(), 3u);
  EXPECT_TRUE(base::get_bool(endpoints[0], "conditions.ready"));
  EXPECT_FALSE(base::get_bool(endpoints[1], "conditions.serving"));
  EXPECT_FALSE(base::get_bool(endpoints[2], "conditions.ready"));
  EXPECT_TRUE(base::get_bool(endpoints[2], "conditions.serving"));
  EXPECT_TRUE(base::get_bool(endpoints[2], "conditions.terminating"));
  EXPECT_EQ(base::get_int(base::get_array(slices[0], "ports")[0], "port"), 8080);
  EXPECT_EQ(base::label(slices[0], "kubernetes.io/service-name"), "web");
}

TEST(EndpointSlices, SameInputSameSlices) {
  const auto a = shared(pod("a", "10.0.0.1", true)), b = shared(pod("b", "10.0.0.2", true));
  EXPECT_EQ(endpoint_slices(service(), {a, b}), endpoint_slices(service(), {b, a}));
}

TEST(EndpointSlices, LeavesOutFinishedAddresslessAndForeignPods) {
  json::value done = pod("done", "10.0.0.1", false), fresh = pod("fresh", "", false),
              foreign = pod("foreign", "10.0.0.9", true);
  base::set(done, "status.phase", "Succeeded");
  base::set(foreign, "metadata.labels", json::object{{"app", "other"}});
  EXPECT_TRUE(endpoint_slices(service(), {shared(done), shared(fresh), shared(foreign)}).empty());
}

TEST(EndpointSlices, PodsWithOtherPortsHaveASliceOfTheirOwn) {
  json::value other = pod("other", "10.0.0.7", true);
  other.at("spec").at("containers").at(0).at("ports").at(0).as_object()["containerPort"] = 9090;
  const auto slices = endpoint_slices(service(), {shared(pod("a", "10.0.0.1", true)), shared(other)});
  ASSERT_EQ(slices.size(), 2u);
  EXPECT_NE(base::get_string(slices[0], "metadata.name"), base::get_string(slices[1], "metadata.name"));
}

TEST(Pods, TheCheapestDiesFirst) {
  json::value unscheduled = pod("u", "", false);
  unscheduled.at("spec").as_object().erase("nodeName");
  base::set(unscheduled, "status.phase", "Pending");
  json::value ready = pod("r", "10.0.0.1", true), unready = pod("n", "10.0.0.2", false),
              precious = pod("p", "10.0.0.3", true);
  base::set(precious, {"metadata", "annotations", "controller.kubernetes.io/pod-deletion-cost"}, "100");
  EXPECT_TRUE(dies_before(unscheduled, unready));
  EXPECT_TRUE(dies_before(unready, ready));
  EXPECT_TRUE(dies_before(ready, precious));
  EXPECT_FALSE(dies_before(ready, ready));
}

TEST(Pods, AvailableAfterMinReadySeconds) {
  const json::value set = json::object{{"spec", json::object{{"minReadySeconds", 10}}}};
  const auto p = shared(pod("a", "10.0.0.1", true));
  const base::SystemTime ready = *base::parse_rfc3339("2026-01-01T00:00:00Z");
  const auto early = count_replicas(set, {p}, ready + std::chrono::seconds(3));
  EXPECT_EQ(early.ready, 1);
  EXPECT_EQ(early.available, 0);
  ASSERT_TRUE(early.next_available);
  EXPECT_EQ(*early.next_available, ready + std::chrono::seconds(10));
  EXPECT_EQ(count_replicas(set, {p}, ready + std::chrono::seconds(10)).available, 1);
}

TEST(Pods, MadeFromTheTemplateUnderItsOwner) {
  const json::value set = json::parse(
      R"({"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{"name":"web-1","namespace":"shop-dev","uid":"u"},
    "spec":{"template":{"metadata":{"labels":{"app":"web"},"annotations":{"mainstay.dev/commit":"abc"}},"spec":{"containers":[{"name":"c"}]}}}})");
  const json::value made = pod_from_template(set, *base::find(set, "spec.template"));
  EXPECT_EQ(base::get_string(made, "metadata.generateName"), "web-1-");
  EXPECT_EQ(base::annotation(made, "mainstay.dev/commit"), "abc");
  EXPECT_TRUE(reconcile::is_controlled_by(made, "u"));
}

json::value node(std::string cpu, std::string memory, int pods = 110) {
  return json::object{
      {"metadata", json::object{{"name", "mainstay"}}},
      {"status",
       json::object{{"allocatable", json::object{{"cpu", cpu}, {"memory", memory}, {"pods", std::to_string(pods)}}},
                    {"conditions", json::array{json::object{{"type", "Ready"}, {"status", "True"}}}}}}};
}
json::value asking(std::string cpu, std::string memory, std::string on = "") {
  json::value p = pod("p" + cpu + memory, "", false);
  p.at("spec").at("containers").at(0).as_object()["resources"] =
      json::object{{"requests", json::object{{"cpu", cpu}, {"memory", memory}}}};
  base::set(p, "spec.nodeName", json::string(on));
  return p;
}

TEST(Scheduling, RequestsMustFitBesideWhatIsPlaced) {
  const auto placed = shared(asking("1500m", "1Gi", "mainstay"));
  EXPECT_EQ(why_not(asking("500m", "1Gi"), node("2", "2Gi"), {placed}), "");
  EXPECT_NE(why_not(asking("501m", "1Mi"), node("2", "2Gi"), {placed}).find("Insufficient cpu"), std::string::npos);
  EXPECT_NE(why_not(asking("1m", "1025Mi"), node("2", "2Gi"), {placed}).find("Insufficient memory"), std::string::npos);
  EXPECT_EQ(why_not(pod("free", "", false), node("1", "1Gi"), {placed}), "") << "who asks for nothing always fits";
  EXPECT_EQ(why_not(asking("1m", "1Mi"), node("2", "2Gi", 1), {placed}), "Too many pods");
}

TEST(Scheduling, FinishedPodsGaveBackTheirRoom) {
  json::value done = asking("2", "1Gi", "mainstay");
  base::set(done, "status.phase", "Succeeded");
  EXPECT_EQ(why_not(asking("2", "1Gi"), node("2", "2Gi"), {shared(done)}), "");
}

TEST(Scheduling, InitContainersCountByTheirLargest) {
  json::value p = asking("100m", "1Mi");
  p.at("spec").as_object()["initContainers"] =
      json::array{json::object{{"resources", json::object{{"requests", json::object{{"cpu", "3"}}}}}},
                  json::object{{"resources", json::object{{"requests", json::object{{"cpu", 1}}}}}}};
  EXPECT_EQ(pod_requests(p).cpu_milli, 3000);
}

TEST(Scheduling, CordonTaintAndSelector) {
  json::value cordoned = node("2", "2Gi"), tainted = node("2", "2Gi");
  base::set(cordoned, "spec.unschedulable", true);
  base::set(tainted, "spec.taints",
            json::array{json::object{{"key", "gpu"}, {"value", "yes"}, {"effect", "NoSchedule"}}});
  json::value p = asking("1m", "1Mi");
  EXPECT_EQ(why_not(p, cordoned, {}), "node is unschedulable");
  EXPECT_NE(why_not(p, tainted, {}), "");
  base::set(p, "spec.tolerations", json::array{json::object{{"key", "gpu"}, {"operator", "Exists"}}});
  EXPECT_EQ(why_not(p, tainted, {}), "");
  base::set(p, "spec.nodeSelector", json::object{{"disk", "ssd"}});
  EXPECT_NE(why_not(p, tainted, {}), "");
}

TEST(Scheduling, RequiredNodeAffinityHolds) {
  json::value n = node("2", "2Gi");
  base::set(n, "metadata.labels", json::object{{"disk", "ssd"}, {"cores", "8"}});
  const auto fits = [&n](std::string_view requirement, const char* list = "matchExpressions") {
    json::value p = asking("1m", "1Mi");
    base::set(p, "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms",
              json::array{json::object{}, json::object{{list, json::array{*base::parse_json(requirement)}}}});
    return why_not(p, n, {}).empty();
  };
  EXPECT_TRUE(fits(R"({"key":"disk","operator":"In","values":["ssd","nvme"]})"));
  EXPECT_FALSE(fits(R"({"key":"disk","operator":"NotIn","values":["ssd"]})"));
  EXPECT_TRUE(fits(R"({"key":"none","operator":"NotIn","values":["ssd"]})"));
  EXPECT_FALSE(fits(R"({"key":"none","operator":"Exists"})"));
  EXPECT_TRUE(fits(R"({"key":"none","operator":"DoesNotExist"})"));
  EXPECT_TRUE(fits(R"({"key":"cores","operator":"Gt","values":["4"]})"));
  EXPECT_FALSE(fits(R"({"key":"cores","operator":"Lt","values":["8"]})"));
  EXPECT_FALSE(fits(R"({"key":"disk","operator":"Gt","values":["4"]})")) << "not a number";
  EXPECT_TRUE(fits(R"({"key":"metadata.name","operator":"In","values":["mainstay"]})", "matchFields"));
  EXPECT_FALSE(fits(R"({"key":"metadata.name","operator":"In","values":["other"]})", "matchFields"));
}

TEST(Scheduling, WhatTheNodeDoesNotHaveIsNotGiven) {
  const auto wanting = [](const char* resource, const char* quantity, std::string on = "") {
    json::value p = asking("1m", "1Mi", std::move(on));
    p.at("spec").at("containers").at(0).at("resources").at("requests").as_object()[resource] = quantity;
    return p;
  };
  json::value n = node("2", "2Gi");
  EXPECT_EQ(why_not(wanting("example.com/gpu", "1"), n, {}), "Insufficient example.com/gpu");
  EXPECT_EQ(why_not(wanting("hugepages-2Mi", "2Mi"), n, {}), "Insufficient hugepages-2Mi");
  n.at("status").at("allocatable").as_object()["example.com/gpu"] = "1";
  EXPECT_EQ(why_not(wanting("example.com/gpu", "1"), n, {}), "");
  EXPECT_EQ(why_not(wanting("example.com/gpu", "1"), n, {shared(wanting("example.com/gpu", "1", "mainstay"))}),
            "Insufficient example.com/gpu");
  json::value p = asking("1m", "9Ei");
  p.at("spec").at("containers").as_array().push_back(p.at("spec").at("containers").at(0));
  EXPECT_NE(why_not(p, n, {}), "") << "a sum too large for a number fits nowhere";
}

TEST(AddressRange, GivesEachAddressOnceAndKeepsTheReserved) {
  const auto range = AddressRange::parse("10.96.0.0/28");
  ASSERT_TRUE(range);
  std::set<std::uint32_t> used;
  std::uint32_t cursor = 2;
  while (const auto offset = range->take(used, cursor)) {
    EXPECT_TRUE(used.insert(*offset).second);
    EXPECT_GE(*offset, 11u);
    EXPECT_LE(*offset, 14u);
  }
  EXPECT_EQ(used.size(), 4u);
  used.erase(12);
  EXPECT_EQ(range->take(used, cursor), 12u);
}

TEST(AddressRange, ParsesAndPlaces) {
  const auto range = AddressRange::parse("10.96.0.0/16");
  ASSERT_TRUE(range);
  EXPECT_EQ(range->address(1), "10.96.0.1");
  EXPECT_EQ(range->offset("10.96.1.0"), 256u);
  EXPECT_FALSE(range->offset("10.97.0.0"));
  EXPECT_FALSE(range->offset("None"));
  for (const char* bad : {"", "10.96.0.0", "10.96.0.0/33", "10.96.0.0/30", "::/64", "10.96.0.0/1x"})
    EXPECT_FALSE(AddressRange::parse(bad)) << bad;
}

}  // namespace
}  // namespace mainstay::compute
