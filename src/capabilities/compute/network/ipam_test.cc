#include "capabilities/compute/network/ipam.h"

#include <gtest/gtest.h>

namespace mainstay::compute {
namespace {

TEST(Network, Parses) {
  const auto n = Network::parse("10.244.0.0/16");
  ASSERT_TRUE(n);
  EXPECT_EQ(address_text(n->first()), "10.244.0.1");
  EXPECT_EQ(address_text(n->last()), "10.244.255.255");
  EXPECT_EQ(address_text(Network::parse("10.1.2.3/24")->address), "10.1.2.0");
  for (const char* bad : {"", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0/16", "x/16", "10.0.0.0/16x", "fd00::/64"})
    EXPECT_FALSE(Network::parse(bad)) << bad;
}

TEST(AddressPool, GivesEachOnceAndRestsThemLongest) {
  AddressPool pool(*Network::parse("10.0.0.0/29"));  // .2 to .6
  std::vector<std::string> all;
  for (int i = 0; i < 5; ++i) all.push_back(address_text(*pool.take()));
  EXPECT_EQ(all, (std::vector<std::string>{"10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"}));
  EXPECT_EQ(pool.take().error().code, base::ErrorCode::kExhausted);
  pool.give_back(*parse_address("10.0.0.6"));
  pool.give_back(*parse_address("10.0.0.2"));
  EXPECT_EQ(address_text(*pool.take()), "10.0.0.2") << "the one given back last but used longest ago";
}

TEST(AddressPool, TakesUpWhereItWas) {
  AddressPool pool(*Network::parse("10.0.0.0/24"));
  EXPECT_TRUE(pool.claim(*parse_address("10.0.0.8")));
  EXPECT_FALSE(pool.claim(*parse_address("10.0.0.8")));
  EXPECT_FALSE(pool.claim(*parse_address("10.0.0.1"))) << "the node's";
  EXPECT_FALSE(pool.claim(*parse_address("10.0.1.1")));
  pool.set_cursor(*parse_address("10.0.0.7"));
  EXPECT_EQ(address_text(*pool.take()), "10.0.0.9");
  pool.set_cursor(*parse_address("10.0.0.254"));
  EXPECT_EQ(address_text(*pool.take()), "10.0.0.2");
}

}  // namespace
}  // namespace mainstay::compute
