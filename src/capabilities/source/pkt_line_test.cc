#include "capabilities/source/pkt_line.h"

#include <gtest/gtest.h>

#include "capabilities/source/push_report.h"

namespace mainstay::source {
namespace {

using namespace std::string_literals;

std::string packet(const std::string& data) { return fmt::format("{:04x}", data.size() + 4) + data; }
const std::string kZero(40, '0'), kA(40, 'a'), kB(40, 'b');

TEST(PktLine, ReadsCommandsOfAPush) {
  const std::string body = packet(kZero + " " + kA + " refs/heads/main\0 report-status side-band-64k agent=git/2"s) +
                           packet(kA + " " + kB + " refs/heads/x") + "0000PACK....";
  const PushHead head = parse_push_head(body);
  EXPECT_TRUE(head.complete);
  EXPECT_TRUE(head.sideband);
  ASSERT_EQ(head.commands.size(), 2u);
  EXPECT_EQ(head.commands[0].ref, "refs/heads/main");
  EXPECT_EQ(head.commands[1].after, kB);
}

TEST(PktLine, HalfAPushIsNotComplete) {
  const std::string body = packet(kZero + " " + kA + " refs/heads/main\0 x"s);
  for (std::size_t cut = 0; cut < body.size(); ++cut)
    EXPECT_TRUE(parse_push_head(body.substr(0, cut)).commands.empty());
  EXPECT_FALSE(parse_push_head(body).complete);
}

TEST(PktLine, RefusesNonsense) {
  for (const char* bad : {"zzzz", "fff5x", "0003", "00-1"}) {
    bool broken = false;
    std::string_view input = bad;
    EXPECT_FALSE(take_pkt_line(input, &broken)) << bad;
    EXPECT_TRUE(broken || input.size() >= 4) << bad;
  }
}

TEST(PktLine, ProgressIsCutIntoPackets) {
  EXPECT_EQ(progress_packets("hi\n"), "0008\x02hi\n");
  const std::string text(200000, 'x');
  std::string packed = progress_packets(text), together;
  std::string_view rest = packed;
  bool bad = false;
  while (auto line = take_pkt_line(rest, &bad)) together += line->data.substr(1);
  EXPECT_FALSE(bad);
  EXPECT_EQ(together, text);
}

TEST(PushReport, KeepsTheLastFlushBack) {
  const std::string report = packet("\x01" + packet("unpack ok\n") + packet("ok refs/heads/main\n") +
                                    packet("ng refs/heads/x hook declined\n") + "0000"),
                    all = report + "0000";
  for (std::size_t cut = 0; cut <= all.size(); ++cut) {
    PushReport filter;
    const std::string out = filter.feed(all.substr(0, cut)) + filter.feed(all.substr(cut));
    EXPECT_EQ(out, report);
    EXPECT_TRUE(filter.takes_progress());
    EXPECT_EQ(filter.finish(), "0000");
    EXPECT_EQ(filter.accepted(), (std::set<std::string>{"refs/heads/main"}));
  }
}

TEST(PushReport, PassesOnWhatHasNoBands) {
  PushReport plain;
  const std::string all = packet("unpack ok\n") + "0000";
  const std::string out = plain.feed(all);
  EXPECT_FALSE(plain.takes_progress());
  EXPECT_EQ(out + plain.finish(), all);

  PushReport raw;
  EXPECT_EQ(raw.feed("0000fatal: no"), "0000fatal: no");
  EXPECT_FALSE(raw.takes_progress());
  EXPECT_EQ(raw.finish(), "");

  PushReport early;
  EXPECT_EQ(early.feed("0000" + packet("\x02more") + "00"), "0000" + packet("\x02more"));
  EXPECT_FALSE(early.takes_progress());
  EXPECT_EQ(early.finish(), "00");
}

}  // namespace
}  // namespace mainstay::source
