// The small helpers: text, encodings, time, ids, files, status, metrics, configuration.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>
#include <thread>

#include "base/clock.h"
#include "base/config.h"
#include "base/encoding.h"
#include "base/files.h"
#include "base/ids.h"
#include "base/json.h"
#include "base/metrics.h"
#include "base/status.h"
#include "base/strings.h"
#include "base/utf8.h"

namespace mainstay::base {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

TEST(Strings, SplitTrimAndCompare) {
  EXPECT_THAT(split("a,,b", ','), ElementsAre("a", "", "b"));
  EXPECT_THAT(split("", ','), ElementsAre(""));
  EXPECT_EQ(join({"a", "b"}, ", "), "a, b");
  EXPECT_EQ(trim(" \t x y\n"), "x y");
  EXPECT_EQ(trim(" \n"), "");
  EXPECT_EQ(lower("ÀBC"), "Àbc") << "ASCII only";
  EXPECT_TRUE(iequals("Content-Type", "content-TYPE"));
  EXPECT_FALSE(iequals("a", "ab"));
  EXPECT_TRUE(constant_time_equal("abc", "abc"));
  EXPECT_FALSE(constant_time_equal("abc", "abd"));
  EXPECT_FALSE(constant_time_equal("abc", "ab"));
}

TEST(Utf8, TellsTextFromOtherBytes) {
  for (const char* good : {"", "a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"})
    EXPECT_TRUE(is_utf8(good)) << good;
  // A part, an overlong form, a surrogate, beyond the last, bytes that begin nothing.
  for (const char* bad : {"\xc3", "a\xe2\x82", "\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xed\xa0\x80",
                          "\xf4\x90\x80\x80", "\xff", "\xa9"})
    EXPECT_FALSE(is_utf8(bad)) << bad;
}

TEST(Utf8, CutsBetweenCharacters) {
  EXPECT_EQ(utf8_text("\xc3\xa9\xc3\xa9", 3), "\xc3\xa9");
  EXPECT_EQ(utf8_text("abc", 2), "ab");
  EXPECT_EQ(utf8_text("caf\xe9!"), "caf\xef\xbf\xbd!");
  EXPECT_EQ(utf8_text("\xe2\x82"), "\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(utf8_text("a\xff", 3), "a");
  EXPECT_EQ(utf8_text(""), "");
}

TEST(Strings, ChecksNamesAsKubernetesDoes) {
  for (std::string_view good : {"a", "a-b", "0a", "x23"}) EXPECT_TRUE(check_dns_label(good)) << good;
  for (std::string_view bad : {"", "-a", "a-", "A", "a.b", "a_b", "é"}) EXPECT_FALSE(check_dns_label(bad)) << bad;
  EXPECT_TRUE(check_dns_label(std::string(63, 'a')));
  EXPECT_FALSE(check_dns_label(std::string(64, 'a')));
  EXPECT_TRUE(check_dns_subdomain("a.b-c.d"));
  for (std::string_view bad : {"", "a..b", ".a", "a.", "a.-b"}) EXPECT_FALSE(check_dns_subdomain(bad)) << bad;
  EXPECT_FALSE(check_dns_subdomain(std::string(254, 'a')));
  for (std::string_view good : {"", "a", "A_b.c-d", "1"}) EXPECT_TRUE(check_label_value(good)) << good;
  for (std::string_view bad : {"-a", "a-", "a b", "a/b", "."}) EXPECT_FALSE(check_label_value(bad)) << bad;
  for (std::string_view good : {"app", "app.kubernetes.io/name", "a/B_c"}) EXPECT_TRUE(check_label_key(good)) << good;
  for (std::string_view bad : {"", "/", "a/", "/a", "A/b", "a/b/c", "-"}) EXPECT_FALSE(check_label_key(bad)) << bad;
}

TEST(Encoding, RoundTripsAndIsStrict) {
  // RFC 4648 section 10.
  const std::pair<std::string_view, std::string_view> kVectors[] = {{"", ""},
                                                                    {"f", "Zg=="},
                                                                    {"fo", "Zm8="},
                                                                    {"foo", "Zm9v"},
                                                                    {"foob", "Zm9vYg=="},
                                                                    {"fooba", "Zm9vYmE="},
                                                                    {"foobar", "Zm9vYmFy"}};
  for (const auto& [raw, text] : kVectors) {
    EXPECT_EQ(base64(raw), text);
    EXPECT_EQ(*base64_decode(text), raw);
    EXPECT_EQ(*base64url_decode(base64url(raw)), raw);
  }
  EXPECT_EQ(base64url("\xfb\xff"), "-_8");
  EXPECT_EQ(*base64url_decode("-_8="), "\xfb\xff");
  for (std::string_view bad :
       {"Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Z===", "====", "Zg==Zg==", "Zm 9v", "Zm9v\n", "-_8="}) {
    EXPECT_FALSE(base64_decode(bad)) << bad;
  }
  for (std::string_view bad : {"A", "+/8", "Zg=", "Zh"}) EXPECT_FALSE(base64url_decode(bad)) << bad;
  EXPECT_EQ(hex(std::string_view("\x00\xff", 2)), "00ff");
  EXPECT_EQ(*hex_decode("00fF"), std::string("\x00\xff", 2));
  EXPECT_FALSE(hex_decode("0"));
  EXPECT_FALSE(hex_decode("0g"));
  EXPECT_EQ(percent_encode("a b/é~"), "a%20b%2F%C3%A9~");
  EXPECT_EQ(percent_encode("a/b", "/"), "a/b");
  EXPECT_EQ(*percent_decode("a%20b+c"), "a b+c");
  EXPECT_EQ(*percent_decode("b+c%2B", true), "b c+");
  for (std::string_view bad : {"%", "%a", "%zz", "a%2"}) EXPECT_FALSE(percent_decode(bad)) << bad;
}

TEST(Clock, FormatsAndParsesTime) {
  const SystemTime time = SystemTime(std::chrono::seconds(1136214245)) + std::chrono::microseconds(123456);
  EXPECT_EQ(rfc3339(time), "2006-01-02T15:04:05Z");
  EXPECT_EQ(rfc3339_micro(time), "2006-01-02T15:04:05.123456Z");
  EXPECT_EQ(*parse_rfc3339("2006-01-02T15:04:05.123456Z"), time);
  EXPECT_EQ(*parse_rfc3339("2006-01-02T17:34:05.123456+02:30"), time);
  EXPECT_EQ(rfc3339(*parse_rfc3339("1969-12-31T23:59:59.5Z")), "1969-12-31T23:59:59Z");
  EXPECT_EQ(rfc3339(*parse_rfc3339("2024-02-29T00:00:00Z")), "2024-02-29T00:00:00Z");
  for (std::string_view bad :
       {"", "2006-01-02", "2006-01-02T15:04:05", "2006-13-02T15:04:05Z", "2023-02-29T00:00:00Z", "2006-01-02T24:00:00Z",
        "2006-01-02T15:04:05.Z", "2006-01-02T15:04:05Zx", "9999-01-01T00:00:00Z", "2006-01-02T15:04:05+2:00"}) {
    EXPECT_FALSE(parse_rfc3339(bad)) << bad;
  }
}

TEST(Clock, ParsesDurationsAsGoDoes) {
  using namespace std::chrono_literals;
  const std::pair<std::string_view, std::chrono::nanoseconds> kCases[] = {
      {"0", 0s},        {"1h30m", 90min},
      {"250ms", 250ms}, {"1.5s", 1500ms},
      {"-2m", -2min},   {"1us", 1us},
      {"1µs", 1us},     {"1μs", 1us},
      {".5h", 30min},   {"1h1m1s1ms1us1ns", 1h + 1min + 1s + 1ms + 1us + 1ns}};
  for (const auto& [text, expected] : kCases) {
    ASSERT_TRUE(parse_duration(text)) << text;
    EXPECT_EQ(*parse_duration(text), expected) << text;
  }
  for (std::string_view bad :
       {"", "1", "s", "1x", "1h30", "-", ".s", "1 s", "300y", "9999999999h", "99999999999999999999s"}) {
    EXPECT_FALSE(parse_duration(bad)) << bad;
  }
}

TEST(Clock, FakeClockIsTurned) {
  FakeClock clock(SystemTime(std::chrono::seconds(100)));
  const auto steady = clock.steady();
  clock.advance(std::chrono::seconds(5));
  EXPECT_EQ(clock.now(), SystemTime(std::chrono::seconds(105)));
  EXPECT_EQ(clock.steady() - steady, std::chrono::seconds(5));
}

TEST(Ids, AreRandomAndWellFormed) {
  EXPECT_THAT(uuid4(), MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
  EXPECT_THAT(random_hex(8), MatchesRegex("[0-9a-f]{16}"));
  EXPECT_THAT(random_suffix(), MatchesRegex("[bcdfghjklmnpqrstvwxz2456789]{5}"));
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(uuid4());
  EXPECT_EQ(seen.size(), 1000u);
}

TEST(Files, AreReplacedWhole) {
  const auto folder = std::filesystem::temp_directory_path() / ("mainstay-base-" + std::to_string(::getpid()));
  ASSERT_TRUE(make_directories(folder / "a" / "b"));
  ASSERT_TRUE(make_directories(folder / "a" / "b"));
  const auto path = folder / "a" / "secret";
  ASSERT_TRUE(write_file(path, "one", 0600));
  ASSERT_TRUE(write_file(path, "two", 0600));
  EXPECT_EQ(*read_file(path), "two");
  struct stat info{};
  ::stat(path.c_str(), &info);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder / "a"), {}), 2) << "no temporary file is left";
  EXPECT_EQ(read_file(path, 2).error().code, ErrorCode::kTooLarge);
  EXPECT_EQ(*read_file(path, 3), "two");
  EXPECT_EQ(read_file(folder / "none").error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(write_file(folder / "none" / "x", "").has_value());
  EXPECT_FALSE(make_directories(path / "x").has_value());
  EXPECT_THAT(*read_file("/proc/self/status"), HasSubstr("Pid:")) << "files without a size are read to their end";
  std::filesystem::remove_all(folder);
}

TEST(Status, RoundTripsAsKubernetesWritesIt) {
  const StatusError error = not_found("deployments.apps", "web");
  EXPECT_EQ(
      json::serialize(error.to_json()),
      R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"deployments.apps \"web\" not found",)"
      R"("reason":"NotFound","details":{"name":"web","group":"apps","kind":"deployments"},"code":404})");
  const StatusError back = StatusError::from_json(500, error.to_json());
  EXPECT_TRUE(back.is_not_found());
  EXPECT_EQ(back.message(), error.message());
  EXPECT_EQ(back.details(), error.details());
  const StatusError plain = StatusError::from_json(409, "not a status");
  EXPECT_TRUE(plain.is_conflict());
  const StatusError bad =
      invalid("Pod", "p", {{"spec.x", "FieldValueRequired", "Required value"}, {"spec.y", "", "bad"}});
  EXPECT_EQ(bad.message(), "Pod \"p\" is invalid: [spec.x: Required value, spec.y: bad]");
  EXPECT_EQ(bad.details().at("causes").as_array().size(), 2u);
  EXPECT_EQ(from_error({ErrorCode::kExhausted, "disk full"}).code(), 507);
}

TEST(Metrics, AreWrittenInTheTextFormat) {
  Metrics metrics;
  metrics.counter("requests_total", "Requests.", {{"code", "200"}, {"path", "a\"b\\c\n"}}).add(3);
  metrics.gauge("up", "Whether\nit is up.").set(1);
  auto& histogram = metrics.histogram("seconds", "Time.", {0.1, 1});
  histogram.observe(0.05);
  histogram.observe(1);
  histogram.observe(7);
  metrics.on_scrape([&metrics] { metrics.gauge("scraped", "Set late.").set(2.5); });
  const std::string text = metrics.scrape();
  EXPECT_THAT(text,
              HasSubstr("# TYPE requests_total counter\nrequests_total{code=\"200\",path=\"a\\\"b\\\\c\\n\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("# HELP up Whether\\nit is up.\n# TYPE up gauge\nup 1\n"));
  EXPECT_THAT(text,
              HasSubstr("seconds_bucket{le=\"0.1\"} 1\nseconds_bucket{le=\"1\"} 2\nseconds_bucket{le=\"+Inf\"} 3\n"
                        "seconds_sum 8.05\nseconds_count 3\n"));
  EXPECT_THAT(text, HasSubstr("scraped 2.5\n"));
}

TEST(Metrics, FoldTooManySeriesIntoOne) {
  Metrics metrics;
  for (int i = 0; i < 5000; ++i) metrics.counter("c", "Many.", {{"user", std::to_string(i)}}).add();
  const std::string text = metrics.scrape();
  EXPECT_THAT(text, HasSubstr("c{overflow=\"true\"} 3000\n"));
  EXPECT_LT(std::count(text.begin(), text.end(), '\n'), 2010);
}

TEST(Config, HostPorts) {
  for (std::string_view good : {"127.0.0.1:6443", "[::1]:0", "0.0.0.0:65535"}) {
    ASSERT_TRUE(HostPort::parse(good)) << good;
    EXPECT_EQ(HostPort::parse(good)->to_string(), good);
  }
  EXPECT_EQ(HostPort::parse(":80")->host, "0.0.0.0");
  for (std::string_view bad :
       {"", "127.0.0.1", "::1:80", "localhost:80", "1.2.3.4:65536", "1.2.3.4:", "1.2.3.4:-1", "1.2.3.4:8x"}) {
    EXPECT_FALSE(HostPort::parse(bad)) << bad;
  }
  Config config;
  EXPECT_EQ(config.node_address(), "10.244.0.1");
  EXPECT_EQ(config.pod_server_url(), "https://10.244.0.1:6443");
  EXPECT_TRUE(config.is_own_registry("127.0.0.1:6443"));
  EXPECT_TRUE(config.is_own_registry("localhost:6443"));
  EXPECT_FALSE(config.is_own_registry("docker.io"));
  EXPECT_FALSE(config.is_own_registry("127.0.0.1:5000"));
}

TEST(Config, TheUrlThatOthersUse) {
  for (const auto& [given, kept] : std::vector<std::pair<std::string_view, std::string_view>>{
           {"https://mainstay.example.com:6443", "https://mainstay.example.com:6443"},
           {"https://Mainstay.Example.com/", "https://mainstay.example.com"},
           {"https://mainstay.example.com:443", "https://mainstay.example.com"},
           {"https://10.0.0.7:6443", "https://10.0.0.7:6443"},
           {"https://[2001:db8::1]:6443", "https://[2001:db8::1]:6443"},
           {"https://[2001:db8::1]", "https://[2001:db8::1]"},
           {"https://mainstay:6443", "https://mainstay:6443"}}) {
    const auto parsed = parse_endpoint_url(given);
    ASSERT_TRUE(parsed) << given << ": " << parsed.error().message;
    EXPECT_EQ(*parsed, kept);
  }
  for (std::string_view bad :
       {"", "http://a.b", "mainstay.example.com", "https://", "https://a.b/path", "https://a.b?x", "https://u@a.b",
        "https://a.b:0", "https://a.b:x", "https://a.b:", "https://mainstay", "https://0.0.0.0:1", "https://[::]:1",
        "https://2001:db8::1", "https://a_b.c", "https://a b", "https://[a.b]"})
    EXPECT_FALSE(parse_endpoint_url(bad)) << bad;
  Config config;
  EXPECT_EQ(config.server_url(), "https://127.0.0.1:6443");
  config.listen = {"0.0.0.0", 6443};
  config.url = "https://mainstay.example.com:6443";
  EXPECT_EQ(config.server_url(), "https://mainstay.example.com:6443");
  EXPECT_EQ(config.registry_host(), "mainstay.example.com:6443");
  EXPECT_EQ(config.local_url(), "https://127.0.0.1:6443");
  EXPECT_TRUE(config.is_own_registry("mainstay.example.com:6443"));
}

}  // namespace
}  // namespace mainstay::base
