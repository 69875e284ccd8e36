#include <gtest/gtest.h>

#include <cmath>

#include "capabilities/cloud/addresses/forecast.h"
#include "capabilities/cloud/addresses/host_routes.h"
#include "capabilities/cloud/addresses/prefix.h"

namespace mainstay::cloud {
namespace {

using std::chrono::days;
using std::chrono::hours;
const base::SystemTime kNow{std::chrono::seconds(1'750'000'000)};

Prefix P(const char* text) { return *Prefix::parse(text); }

TEST(Prefix, Parses) {
  EXPECT_EQ(P("10.1.0.0/16").to_string(), "10.1.0.0/16");
  EXPECT_EQ(P("10.1.2.3").to_string(), "10.1.2.3/32");
  EXPECT_EQ(P("2001:db8:0:0::/64").to_string(), "2001:db8::/64");
  EXPECT_EQ(P("0.0.0.0/0").size(), 4294967296.0);
  EXPECT_EQ(P("::/0").last().to_string(), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
  EXPECT_EQ(P("10.1.0.0/16").last().to_string(), "10.1.255.255");
  for (const char* bad :
       {"", "10.1.0.0/33", "10.1.0.0/-1", "10.1.0/16", "::/129", "10.1.0.0/", "10.1.0.0/16x", "x/8", "010.1.0.0/16"})
    EXPECT_FALSE(Prefix::parse(bad)) << bad;
  const auto host_bits = Prefix::parse("10.1.2.3/16");
  ASSERT_FALSE(host_bits);
  EXPECT_NE(host_bits.error().message.find("did you mean 10.1.0.0/16"), std::string::npos);
}

TEST(Prefix, Relations) {
  EXPECT_TRUE(P("10.0.0.0/8").contains(P("10.1.0.0/16")));
  EXPECT_FALSE(P("10.1.0.0/16").contains(P("10.0.0.0/8")));
  EXPECT_TRUE(P("10.1.0.0/16").overlaps(P("10.0.0.0/8")));
  EXPECT_FALSE(P("10.1.0.0/16").overlaps(P("10.2.0.0/16")));
  EXPECT_FALSE(P("0.0.0.0/0").overlaps(P("::/0"))) << "families are apart";
  EXPECT_TRUE(P("2001:db8::/32").contains(P("2001:db8:ffff::/48")));
}

TEST(FindFree, LowestAlignedBlock) {
  const Prefix within = P("10.0.0.0/24");
  EXPECT_EQ(find_free(within, {}, 26)->to_string(), "10.0.0.0/26");
  EXPECT_EQ(find_free(within, {P("10.0.0.0/28")}, 26)->to_string(), "10.0.0.64/26");
  EXPECT_EQ(find_free(within, {P("10.0.0.64/26"), P("10.0.0.0/26")}, 25)->to_string(), "10.0.0.128/25");
  EXPECT_EQ(find_free(within, {P("10.0.0.7"), P("10.0.0.200")}, 25), std::nullopt);
  EXPECT_EQ(find_free(within, {P("10.0.0.0/8")}, 30), std::nullopt);
  EXPECT_EQ(find_free(within, {}, 23), std::nullopt);
  EXPECT_EQ(find_free(P("0.0.0.0/0"), {P("0.0.0.0/1"), P("128.0.0.0/1")}, 8), std::nullopt) << "no wrap";
  EXPECT_EQ(find_free(P("::/0"), {P("::/1"), P("8000::/1")}, 64), std::nullopt) << "no wrap";
  EXPECT_EQ(find_free(P("2001:db8::/32"), {P("2001:db8::/48")}, 48)->to_string(), "2001:db8:1::/48");
}

TEST(FindFree, SingleAddresses) {
  const Prefix within = P("10.0.0.0/30");
  EXPECT_EQ(find_free(within, {}, 32, true)->base.to_string(), "10.0.0.1");
  EXPECT_EQ(find_free(within, {P("10.0.0.1")}, 32, true)->base.to_string(), "10.0.0.2");
  EXPECT_EQ(find_free(within, {P("10.0.0.1"), P("10.0.0.2")}, 32, true), std::nullopt);
  EXPECT_EQ(find_free(P("10.0.0.0/31"), {}, 32, true)->base.to_string(), "10.0.0.0") << "RFC 3021";
}

// Whatever is taken, what is found lies within, is aligned, and overlaps nothing; and filling ends exactly when full.
TEST(FindFree, FillsToTheLast) {
  const Prefix within = P("10.0.0.0/24");
  std::vector<Prefix> taken;
  double sum = 0;
  unsigned length = 32;
  for (int i = 0; i < 1000; ++i) {
    length = 26 + static_cast<unsigned>((i * 7 + i / 3) % 7);
    auto found = find_free(within, taken, length);
    if (!found) found = find_free(within, taken, 32);
    if (!found) break;
    ASSERT_TRUE(within.contains(*found));
    for (const Prefix& other : taken) ASSERT_FALSE(found->overlaps(other)) << found->to_string();
    taken.push_back(*found);
    sum += found->size();
  }
  EXPECT_EQ(sum, 256);
  EXPECT_EQ(covered(within, taken), 256);
}

TEST(Covered, CountsOnce) {
  EXPECT_EQ(covered(P("10.0.0.0/24"), {P("10.0.0.0/28"), P("10.0.0.4"), P("10.0.0.128/25"), P("10.1.0.0/16")}),
            16 + 128);
  EXPECT_EQ(covered(P("10.0.0.0/24"), {P("10.0.0.0/8")}), 256);
  EXPECT_EQ(covered(P("10.0.0.0/24"), {}), 0);
}

TEST(HostRoutes, Parse) {
  const auto v4 = parse_ipv4_routes(
      "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
      "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
      "eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n");
  ASSERT_EQ(v4.size(), 1u) << "the default route takes nothing";
  EXPECT_EQ(v4[0].destination.to_string(), "192.0.2.0/24");
  EXPECT_EQ(v4[0].device, "eth0");
  const auto v6 = parse_ipv6_routes(
      "fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 "
      "00000100 "
      "00000001 00000000 00000001     eth0\n"
      "fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 "
      "00000100 "
      "00000002 00000000 00000001     eth0\n");
  ASSERT_EQ(v6.size(), 1u);
  EXPECT_EQ(v6[0].destination.to_string(), "fd00::/64");
}

std::vector<Sample> line(int count, double from, double per_day) {
  std::vector<Sample> out;
  for (int i = 0; i < count; ++i) out.push_back({kNow - days(count - 1 - i), from + per_day * i});
  return out;
}

TEST(Growth, ExactLine) {
  const Growth growth = fit_growth(line(60, 100, 2.5));
  EXPECT_TRUE(growth.fitted);
  EXPECT_NEAR(growth.per_day, 2.5, 1e-9);
  EXPECT_NEAR(growth.low, 2.5, 1e-9);
  EXPECT_NEAR(growth.high, 2.5, 1e-9);
}

TEST(Growth, OddDaysDoNotMoveIt) {
  auto samples = line(60, 100, 2);
  samples[10].used += 5000;
  samples[40].used = 0;
  samples[59].used += 900;
  const Growth growth = fit_growth(samples);
  EXPECT_NEAR(growth.per_day, 2, 0.05);
  EXPECT_LE(growth.low, 2);
  EXPECT_GE(growth.high, 2);
}

TEST(Growth, NoiseWidensTheInterval) {
  auto samples = line(90, 100, 1);
  for (std::size_t i = 0; i < samples.size(); ++i) samples[i].used += 20 * std::sin(static_cast<double>(i * i));
  const Growth growth = fit_growth(samples);
  EXPECT_LT(growth.low, 1);
  EXPECT_GT(growth.high, 1);
  EXPECT_LT(growth.high - growth.low, 1) << "but not absurdly";
  EXPECT_FALSE(fit_growth(line(2, 1, 1)).fitted);
  EXPECT_FALSE(fit_growth({}).fitted);
}

TEST(Forecast, RunsOut) {
  const Forecast f = forecast(1000, 400, line(101, 300, 1), {}, kNow);
  ASSERT_TRUE(f.exhausted);
  EXPECT_NEAR(std::chrono::duration<double>(*f.exhausted - kNow).count() / 86400, 600, 0.01);
  EXPECT_NEAR(*f.months_left, 600 / kDaysAMonth, 0.01);
  EXPECT_FALSE(forecast(1000, 400, line(101, 400, 0), {}, kNow).exhausted) << "no growth";
  EXPECT_FALSE(forecast(1e18, 400, line(101, 300, 1), {}, kNow).exhausted) << "beyond the horizon";
  EXPECT_EQ(*forecast(100, 100, {}, {}, kNow).months_left, 0);
}

TEST(Forecast, PlansCome) {
  const std::vector<Plan> plans{{kNow + days(100), 300}, {kNow + days(50), 200}, {kNow - days(5), 9999}};
  const Forecast f = forecast(1000, 400, line(101, 300, 1), plans, kNow);
  // 400 + 50 + 200, then 50 more days and 300: 1000 on day 100.
  EXPECT_NEAR(std::chrono::duration<double>(*f.exhausted - kNow).count() / 86400, 100, 0.01);
  const Forecast only = forecast(1000, 400, {}, {{kNow + days(30), 700}}, kNow);
  EXPECT_NEAR(std::chrono::duration<double>(*only.exhausted - kNow).count() / 86400, 30, 0.01);
  EXPECT_EQ(forecast_json(only).at("basis").as_string(), "plans");
}

TEST(History, BoundedHoursThenDays) {
  json::array history;
  for (int hour = 0; hour < 24 * 6; ++hour) add_sample(history, kNow + hours(hour), hour);
  EXPECT_LE(history.size(), 72u + 5);
  EXPECT_FALSE(add_sample(history, kNow + hours(24 * 6 - 1) + std::chrono::minutes(30), 5)) << "once an hour";
  const auto samples = read_samples(history);
  const auto midnight = std::chrono::ceil<days>(kNow);
  EXPECT_EQ(samples.front().used, std::chrono::floor<hours>(midnight - kNow).count()) << "the day's highest";
  for (int day = 7; day < 900; ++day) add_sample(history, kNow + days(day), day);
  EXPECT_EQ(history.size(), 802u);
  EXPECT_EQ(read_samples(history).back().used, 899);
  history.push_back({{"time", "nonsense"}});
  EXPECT_EQ(read_samples(history).size(), 802u);
}

}  // namespace
}  // namespace mainstay::cloud
