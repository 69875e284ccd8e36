#include "api/audit.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "base/ids.h"
#include "base/json.h"
#include "base/strings.h"

namespace mainstay::api {
namespace {

struct AuditTest : testing::Test {
  std::filesystem::path directory = std::filesystem::temp_directory_path() / ("mainstay-audit-" + base::random_hex(8));
  ~AuditTest() override { std::filesystem::remove_all(directory); }
};

AuditEvent event(std::string name) {
  AuditEvent made;
  made.audit_id = "id";
  made.user.name = "ann";
  made.verb = "create";
  made.uri = "/api/v1/namespaces/shop/configmaps";
  made.what = {"create", "", "configmaps", "", "shop", std::move(name), ""};
  made.status = 201;
  made.decision = "allow";
  made.received = made.done = base::real_clock().now();
  return made;
}

TEST_F(AuditTest, WritesOneLineAnEvent) {
  async::Runtime runtime(1);
  AuditLog log(runtime, directory / "audit" / "audit.log");
  std::vector<std::string> seen;
  log.on_line([&](const std::string& line) { seen.push_back(line); });
  std::function<async::Task<>()> body = [&]() -> async::Task<> {
    for (int i = 0; i < 100; ++i) log.write(event("c" + std::to_string(i)));
    co_await log.stop();
    log.write(event("late"));
  };
  runtime.run(body());
  EXPECT_EQ(seen.size(), 100u);
  EXPECT_EQ(log.dropped(), 1u);
  const std::string text = base::read_file(directory / "audit" / "audit.log").value();
  const auto lines = base::split(text, '\n');
  ASSERT_EQ(lines.size(), 101u);
  const auto line = base::parse_json(lines[7]).value();
  EXPECT_EQ(base::get_string(line, "kind"), "Event");
  EXPECT_EQ(base::get_string(line, "level"), "Metadata");
  EXPECT_EQ(base::get_string(line, "user.username"), "ann");
  EXPECT_EQ(base::get_string(line, "objectRef.name"), "c7");
  EXPECT_EQ(base::get_int(line, "responseStatus.code"), 201);
}

TEST_F(AuditTest, ALineThatWasCutOffTakesNoOtherWithIt) {
  std::filesystem::create_directories(directory);
  ASSERT_TRUE(base::write_file(directory / "audit.log", "{\"kind\":\"Event\"}\n{\"kind\":\"Ev"));
  async::Runtime runtime(1);
  AuditLog log(runtime, directory / "audit.log");
  std::function<async::Task<>()> body = [&]() -> async::Task<> {
    log.write(event("next"));
    co_await log.stop();
  };
  runtime.run(body());
  const std::string text = base::read_file(directory / "audit.log").value();
  const auto lines = base::split(text, '\n');
  ASSERT_EQ(lines.size(), 4u) << text;
  EXPECT_EQ(base::get_string(base::parse_json(lines[2]).value(), "objectRef.name"), "next");
}

TEST_F(AuditTest, ALongRefusalDoesNotPushTheOthersOut) {
  async::Runtime runtime(1);
  AuditLog log(runtime, directory / "audit.log");
  std::string seen;
  log.on_line([&](const std::string& line) { seen = line; });
  std::function<async::Task<>()> body = [&]() -> async::Task<> {
    AuditEvent refused = event("c");
    refused.reason = "forbidden: ";
    while (refused.reason.size() < 3u << 20) refused.reason += "ä";
    log.write(std::move(refused));
    co_await log.stop();
  };
  runtime.run(body());
  EXPECT_LT(seen.size(), 4096u);
  const auto line = base::parse_json(seen);
  ASSERT_TRUE(line) << line.error().message;
  EXPECT_TRUE(base::get_string(*line, "objectRef.name") == "c");
}

TEST_F(AuditTest, RotatesBySize) {
  async::Runtime runtime(1);
  AuditLog log(runtime, directory / "audit.log", 4096, 2);
  std::function<async::Task<>()> body = [&]() -> async::Task<> {
    for (int i = 0; i < 60; ++i) {
      log.write(event("c" + std::to_string(i)));
      co_await async::sleep_for(std::chrono::milliseconds(1));
    }
    co_await log.stop();
  };
  runtime.run(body());
  for (const char* name : {"audit.log", "audit.log.1", "audit.log.2"}) {
    ASSERT_TRUE(std::filesystem::exists(directory / name)) << name;
    EXPECT_LE(std::filesystem::file_size(directory / name), 4096u + 1024u) << name;
  }
  EXPECT_FALSE(std::filesystem::exists(directory / "audit.log.3"));
  EXPECT_EQ(std::filesystem::status(directory / "audit.log").permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

}  // namespace
}  // namespace mainstay::api
