#include "capabilities/cloud/terraform/state.h"

#include <gtest/gtest.h>

namespace mainstay::cloud {
namespace {

TEST(TerraformState, SaysItsSerialLineageAndSize) {
  const auto head = read_state(
      R"({"version": 4, "serial": 7, "lineage": "l", "resources": [{"instances": [{}, {}]}, {"instances": [{}]}]})");
  ASSERT_TRUE(head);
  EXPECT_EQ(head->serial, 7);
  EXPECT_EQ(head->lineage, "l");
  EXPECT_EQ(head->resources, 3);
}

TEST(TerraformState, WhatIsNoStateIsRefused) {
  EXPECT_FALSE(read_state("hello"));
  EXPECT_FALSE(read_state("{}"));
  EXPECT_FALSE(read_state("[]"));
  EXPECT_FALSE(read_state(std::string(200, '[')));
}

TEST(TerraformState, NeitherOlderNorForeignStatesFollow) {
  EXPECT_EQ(why_not_after({0, 0, ""}, {3, 0, "a"}), "");
  EXPECT_EQ(why_not_after({3, 0, "a"}, {4, 0, "a"}), "");
  EXPECT_EQ(why_not_after({3, 0, "a"}, {3, 0, "a"}), "");
  EXPECT_NE(why_not_after({3, 0, "a"}, {2, 0, "a"}), "");
  EXPECT_NE(why_not_after({3, 0, "a"}, {4, 0, "b"}), "");
}

TEST(TerraformLock, NeedsAnId) {
  const auto lock = read_lock(R"({"ID": "x", "Operation": "OperationTypeApply", "Who": "ann@laptop"})");
  ASSERT_TRUE(lock);
  EXPECT_EQ(lock->who, "ann@laptop");
  EXPECT_FALSE(read_lock("{}"));
  EXPECT_FALSE(read_lock(""));
  EXPECT_FALSE(read_lock(R"({"ID": ")" + std::string(300, 'x') + "\"}"));
}

}  // namespace
}  // namespace mainstay::cloud
