#include "capabilities/pipelines/push_lines.h"

#include <gtest/gtest.h>

#include "base/strings.h"

namespace mainstay::pipelines {
namespace {

TEST(PushLines, TimesAreShort) {
  EXPECT_EQ(took("2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:00.310000Z"), "0.31s");
  EXPECT_EQ(took("2026-01-01T00:00:00Z", "2026-01-01T00:00:12.4Z"), "12.4s");
  EXPECT_EQ(took("2026-01-01T00:00:00Z", "2026-01-01T00:02:05Z"), "2m05s");
  EXPECT_EQ(took("", "x"), "");
}

TEST(PushLines, EachIsSaidOnce) {
  json::value run = boost::json::parse(
      R"({"metadata": {"name": "r"}, "spec": {"workflow": "default"}, "status": {"phase": "Running", "startedAt": "2026-01-01T00:00:00Z",
    "jobs": [{"name": "deliver", "phase": "Running", "steps": [
      {"name": "build", "phase": "Succeeded", "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:00.5Z", "detail": "shop/web@sha256:1"}, {"name": "deploy", "phase": "Running"}]}],
    "images": [{"digest": "sha256:1", "sbom": "s", "packages": 12, "scannedIn": "0.10s"}]}})");
  RunLines lines(false);
  EXPECT_EQ(lines.next(run), (std::vector<std::string>{"run r of the default workflow", "scan       0.10s  12 packages",
                                                       "build      0.50s  shop/web@sha256:1"}));
  EXPECT_TRUE(lines.next(run).empty());
  run.at_pointer("/status/jobs/0/steps/1") = boost::json::parse(
      R"({"name": "deploy", "phase": "Failed", "startedAt": "2026-01-01T00:00:01Z", "finishedAt": "2026-01-01T00:00:03Z", "message": "one\ntwo"})");
  EXPECT_EQ(lines.next(run), (std::vector<std::string>{"deploy     2.00s  FAILED", "one", "two"}));
  run.at("status").as_object()["phase"] = "Failed";
  run.at("status").as_object()["finishedAt"] = "2026-01-01T00:00:03Z";
  EXPECT_FALSE(lines.finished());
  EXPECT_EQ(lines.next(run), (std::vector<std::string>{"*** run r FAILED after 3.00s ***"}));
  EXPECT_TRUE(lines.finished());
}

TEST(PushLines, ARunThatNeverBeganSaysWhy) {
  RunLines lines(true);
  const auto said = lines.next(boost::json::parse(
      R"({"metadata": {"name": "r"}, "spec": {"workflow": "ci.yml"}, "status": {"phase": "Failed", "message": "ci.yml:3:1: no"}})"));
  EXPECT_EQ(said.back(), "[ci.yml] ci.yml:3:1: no");
}

}  // namespace
}  // namespace mainstay::pipelines
