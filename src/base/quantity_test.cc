#include "base/quantity.h"

#include <gtest/gtest.h>

namespace mainstay::base {
namespace {

TEST(Quantity, Parses) {
  constexpr std::int64_t kMax = INT64_MAX;
  const struct {
    std::string_view text;
    std::int64_t whole, milli;
  } kCases[] = {
      {"0", 0, 0},
      {"1", 1, 1000},
      {"500m", 1, 500},
      {"1500m", 2, 1500},
      {"-500m", -1, -500},
      {"+2", 2, 2000},
      {"1.5", 2, 1500},
      {".5", 1, 500},
      {"1.", 1, 1000},
      {"100u", 1, 1},
      {"1n", 1, 1},
      {"0.0001", 1, 1},
      {"64Mi", 64LL << 20, (64LL << 20) * 1000},
      {"1.5Gi", 3LL << 29, (3LL << 29) * 1000},
      {"0.5Ki", 512, 512000},
      {"1k", 1000, 1000000},
      {"2M", 2000000, 2000000000},
      {"2e3", 2000, 2000000},
      {"2E3", 2000, 2000000},
      {"1.2e1", 12, 12000},
      {"5e-1", 1, 500},
      {"1E", 1000000000000000000, kMax},
      {"9223372036854775807", kMax, kMax},
      {"9223372036854775808", kMax, kMax},
      {"99999999999999999999999999", kMax, kMax},
      {"-99999999999999999999999999", -kMax, -kMax},
      {"10Ei", kMax, kMax},
      {"1e9999", kMax, kMax},
      {"1e-9999", 1, 1},
      {"0.00000000000000000000000000000000000001", 1, 1},
      {"1.00000000000000000000000001", 2, 1001},
  };
  for (const auto& c : kCases) {
    ASSERT_TRUE(parse_quantity(c.text).has_value()) << c.text;
    EXPECT_EQ(*parse_quantity(c.text), c.whole) << c.text;
    EXPECT_EQ(*parse_quantity_milli(c.text), c.milli) << c.text;
  }
}

TEST(Quantity, RefusesWhatKubernetesRefuses) {
  for (std::string_view text : {"", " 1", "1 ", "m", "1e", "1e+", "1x", "1ki", "1K", "1mi", "--1", "1.2.3", "1e1.5",
                                "0x10", "1 Gi", "NaN", "1Gi5"}) {
    EXPECT_FALSE(parse_quantity(text).has_value()) << text;
  }
}

TEST(Quantity, FormatsBytes) {
  EXPECT_EQ(format_bytes(0), "0");
  EXPECT_EQ(format_bytes(64LL << 20), "64Mi");
  EXPECT_EQ(format_bytes(1536), "1536");
  EXPECT_EQ(format_bytes(1LL << 60), "1Ei");
}

}  // namespace
}  // namespace mainstay::base
