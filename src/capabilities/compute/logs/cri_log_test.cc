#include "capabilities/compute/logs/cri_log.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/ids.h"

namespace mainstay::compute {
namespace {
namespace fs = std::filesystem;

const std::string kStamp = "2026-11-23T18:22:29.796621574+00:00";

class CriLog : public ::testing::Test {
 protected:
  CriLog() : file_(fs::temp_directory_path() / ("mainstay-log-" + base::random_hex(6))) {}
  ~CriLog() override {
    fs::remove(file_);
    fs::remove(file_.string() + ".1");
  }
  void append(const std::string& text, const char* suffix = "") {
    std::ofstream(file_.string() + suffix, std::ios::app) << text;
  }
  std::string all(LogQuery query = {}) {
    CriLogReader reader(file_, query);
    std::string out;
    for (std::string piece = reader.next(); !piece.empty(); piece = reader.next()) out += piece;
    return out;
  }
  static std::string line(const std::string& text, const char* tag = "F", const char* stream = "stdout") {
    return kStamp + " " + stream + " " + tag + " " + text + "\n";
  }
  fs::path file_;
};

TEST_F(CriLog, JoinsPiecesAndStreams) {
  append(line("one") + line("tw", "P") + line("o") + line("err", "F", "stderr") + line(""));
  EXPECT_EQ(all(), "one\ntwo\nerr\n\n");
}

TEST_F(CriLog, TailCountsWholeLines) {
  append(line("one") + line("tw", "P") + line("o") + line("three"));
  LogQuery q;
  q.tail_lines = 2;
  EXPECT_EQ(all(q), "two\nthree\n");
  q.tail_lines = 0;
  EXPECT_EQ(all(q), "");
  q.tail_lines = 100;
  EXPECT_EQ(all(q), "one\ntwo\nthree\n");
}

TEST_F(CriLog, TimestampsOnlyAtLineStarts) {
  append(line("a", "P") + line("b"));
  LogQuery q;
  q.timestamps = true;
  EXPECT_EQ(all(q), kStamp + " ab\n");
}

TEST_F(CriLog, SinceAndLimit) {
  append("2026-11-23T18:00:00.000000000Z stdout F old\n2026-11-23T19:00:00.000000000Z stdout F new\n");
  LogQuery q;
  q.since = *base::parse_rfc3339("2026-11-23T18:30:00Z");
  EXPECT_EQ(all(q), "new\n");
  q = {};
  q.limit_bytes = 6;
  EXPECT_EQ(all(q), "old\nne");
}

TEST_F(CriLog, ReadsTheRotatedFileFirstAndFollowsRotation) {
  append(line("one"), ".1");
  append(line("two"));
  EXPECT_EQ(all(), "one\ntwo\n");
  CriLogReader reader(file_, {});
  while (!reader.next().empty()) {
  }
  append(line("three"));
  EXPECT_EQ(reader.next(), "three\n");
  append(line("four"));
  fs::rename(file_, file_.string() + ".1");
  append(line("five"));
  EXPECT_EQ(reader.next(), "four\n");
  EXPECT_EQ(reader.next(), "five\n");
}

TEST_F(CriLog, WaitsForTheEndOfALine) {
  append(kStamp + " stdout F ha");
  CriLogReader reader(file_, {});
  EXPECT_EQ(reader.next(), "");
  append("lf\n");
  EXPECT_EQ(reader.next(), "half\n");
}

TEST_F(CriLog, MissingFileIsEmpty) { EXPECT_EQ(all(), ""); }

TEST(CriLine, RefusesOtherForms) {
  for (const char* bad :
       {"", "x", "2026-11-23T18:22:29Z", "2026-11-23T18:22:29Z other F x", "2026-11-23T18:22:29Z stdout X x"})
    EXPECT_FALSE(parse_cri_line(bad)) << bad;
  const auto ok = parse_cri_line("2026-11-23T18:22:29Z stderr P:tag text with  blanks");
  ASSERT_TRUE(ok);
  EXPECT_TRUE(ok->standard_error);
  EXPECT_TRUE(ok->partial);
  EXPECT_EQ(ok->text, "text with  blanks");
}

}  // namespace
}  // namespace mainstay::compute
