#include "capabilities/compute/network/nft.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>

#include "base/ids.h"

namespace mainstay::compute {
namespace {

TableOptions options() {
  return {"mainstay_test" + base::random_hex(3), "mstest-*", "10.199.0.0/24", "10.97.0.0/16", "10.199.0.1", {6443}};
}

ServiceRules rules(std::initializer_list<std::pair<ServicePort, ServiceRule>> list) {
  return {list.begin(), list.end()};
}
const ServicePort kWeb{"10.97.0.10", "tcp", 80}, kDns{"10.97.0.11", "udp", 53};

// Loads into a network namespace of its own where we may: the machine's tables are left alone.
bool accepted(const std::vector<std::string>& steps) {
  std::string script = "set -e\n";
  for (const std::string& step : steps) script += "nft -f - <<'END'\n" + step + "END\n";
  FILE* shell = ::popen("unshare -n sh", "w");
  std::fwrite(script.data(), 1, script.size(), shell);
  return ::pclose(shell) == 0;
}

TEST(Nft, RulesComeFromServiceAndSlices) {
  const json::value service = *base::parse_json(
      R"({"spec":{"clusterIP":"10.97.0.10","ports":[{"name":"http","port":80},{"name":"dns","port":53,"protocol":"UDP"}]}})");
  const json::value slice = *base::parse_json(
      R"({"ports":[{"name":"http","port":8080}],"endpoints":[{"addresses":["10.199.0.9"],"conditions":{"ready":true}},
          {"addresses":["10.199.0.7"]},{"addresses":["10.199.0.8"],"conditions":{"ready":false}},{"addresses":["fe80::1"]}]})");
  const ServiceRules r = rules_of(service, {&slice});
  ASSERT_EQ(r.size(), 2u);
  EXPECT_EQ(r.at(kWeb).backends, (std::vector<Backend>{{"10.199.0.7", 8080}, {"10.199.0.9", 8080}}));
  EXPECT_TRUE(r.at({"10.97.0.10", "udp", 53}).backends.empty());
  EXPECT_TRUE(rules_of(*base::parse_json(R"({"spec":{"clusterIP":"None","ports":[{"port":80}]}})"), {}).empty());
}

TEST(Nft, ExternalAddressesAreNeverOurOwn) {
  TableOptions o = options();
  o.pod_cidr = "10.199.0.0/16";
  o.service_cidr = "10.97.0.0/16";
  o.node_address = "10.199.0.1";
  const json::value service = *base::parse_json(
      R"({"spec":{"clusterIP":"10.97.0.10","ports":[{"port":80}],
          "externalIPs":["127.0.0.1","127.9.9.9","10.199.0.1","10.199.3.4","10.97.0.11","192.0.2.1"]}})");
  ServiceRules r = rules_of(service, {});
  drop_own_addresses(r, "10.97.0.10", o);
  EXPECT_EQ(r.size(), 2u);
  EXPECT_TRUE(r.contains({"10.97.0.10", "tcp", 80}));
  EXPECT_TRUE(r.contains({"192.0.2.1", "tcp", 80}));
}

TEST(Nft, ChangesAreSmall) {
  const TableOptions o = options();
  const ServiceRules none, one = rules({{kWeb, {{{"10.199.0.7", 8080}}, false}}}),
                           two = rules({{kWeb, {{{"10.199.0.7", 8080}, {"10.199.0.9", 8080}}, false}}});
  EXPECT_EQ(table_change(o, one, one), "");
  EXPECT_NE(table_change(o, none, one).find("add chain"), std::string::npos);
  EXPECT_EQ(table_change(o, one, two).find("element"), std::string::npos) << "only the chain's rule changes";
  EXPECT_NE(table_change(o, one, rules({{kWeb, {}}})).find("add element ip " + o.table + " refused"),
            std::string::npos);
}

TEST(Nft, TheKernelTakesEveryStep) {
  if (::geteuid() != 0 || ::access("/usr/sbin/nft", X_OK) != 0) GTEST_SKIP() << "needs root and nft";
  const TableOptions o = options();
  const std::vector<ServiceRules> steps{
      {},
      rules({{kWeb, {}}}),
      rules({{kWeb, {{{"10.199.0.7", 8080}}, false}}, {kDns, {{{"10.199.0.8", 53}}, true}}}),
      rules({{kWeb, {{{"10.199.0.7", 8080}, {"10.199.0.9", 8080}}, false}}, {kDns, {}}}),
      rules({{kDns, {{{"10.199.0.8", 5353}}, false}}}),
      {},
  };
  std::vector<std::string> texts;
  for (const ServiceRules& r : steps) texts.push_back(full_table(o, r));  // each replaces the one before
  for (std::size_t i = 1; i < steps.size(); ++i) texts.push_back(table_change(o, steps[i - 1], steps[i]));
  EXPECT_TRUE(accepted(texts));
}

}  // namespace
}  // namespace mainstay::compute
