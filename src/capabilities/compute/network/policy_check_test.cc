#include "capabilities/compute/network/policy_check.h"

#include <gtest/gtest.h>

#include "base/yaml.h"

namespace mainstay::compute {
namespace {

// The faulty fields, with commas.
std::string faults(const std::string& spec) {
  std::string out;
  for (const base::Cause& cause : network_policy_faults(*base::parse_yaml("spec: " + spec)))
    out += (out.empty() ? "" : ",") + cause.field;
  return out;
}

TEST(NetworkPolicyFaults, None) {
  EXPECT_EQ(faults("{podSelector: {}}"), "");
  EXPECT_EQ(faults("{podSelector: {matchLabels: {a: b}}, ingress: [{}], egress: [{to: [], ports: []}]}"), "");
  EXPECT_EQ(faults("{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}, "
                   "{podSelector: {}, namespaceSelector: {}}], ports: [{port: 80, endPort: 90}, {port: web}, "
                   "{protocol: UDP}]}]}"),
            "");
  EXPECT_EQ(faults("{podSelector: {}, egress: [{to: [{ipBlock: {cidr: '2001:db8::/32', except: "
                   "['2001:db8:1::/48']}}]}]}"),
            "");
}

TEST(NetworkPolicyFaults, WhatWouldBePassedOver) {
  const std::string from = "{podSelector: {}, ingress: [{from: [", ports = "{podSelector: {}, ingress: [{ports: [";
  const struct {
    std::string spec, field;
  } kRows[] = {
      {from + "{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/40]}}]}]}", "spec.ingress[0].from[0].ipBlock.except[0]"},
      {from + "{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]}]}", "spec.ingress[0].from[0].ipBlock.except[0]"},
      {from + "{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]}]}", "spec.ingress[0].from[0].ipBlock.except[0]"},
      {from + "{ipBlock: {cidr: 10.0.0.0/8, except: ['::/96']}}]}]}", "spec.ingress[0].from[0].ipBlock.except[0]"},
      {from + "{ipBlock: {cidr: 10.0.0/8}}]}]}", "spec.ingress[0].from[0].ipBlock.cidr"},
      {from + "{ipBlock: {cidr: 10.0.0.0/33}}]}]}", "spec.ingress[0].from[0].ipBlock.cidr"},
      {from + "{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}]}", "spec.ingress[0].from[0].ipBlock"},
      {from + "{}]}]}", "spec.ingress[0].from[0]"},
      {from + "{podSelector: {matchExpressions: [{key: a, operator: In}]}}]}]}", "spec.ingress[0].from[0].podSelector"},
      {ports + "{endPort: 90}]}]}", "spec.ingress[0].ports[0].endPort"},
      {ports + "{port: web, endPort: 90}]}]}", "spec.ingress[0].ports[0].endPort"},
      {ports + "{port: 91, endPort: 90}]}]}", "spec.ingress[0].ports[0].endPort"},
      {ports + "{port: 0}]}]}", "spec.ingress[0].ports[0].port"},
      {ports + "{port: '80'}]}]}", "spec.ingress[0].ports[0].port"},
      {"{podSelector: {matchExpressions: [{key: a, operator: In}]}}", "spec.podSelector"},
  };
  for (const auto& row : kRows) EXPECT_EQ(faults(row.spec), row.field) << row.spec;
}

}  // namespace
}  // namespace mainstay::compute
