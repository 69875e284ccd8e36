#include "net/parser.h"

#include <gtest/gtest.h>

namespace mainstay::net {
namespace {

using State = MessageParser::State;
using Kind = MessageParser::Kind;

constexpr std::string_view kChunked =
    "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    "4\r\nWiki\r\n6;ext=1\r\npedia \r\nE\r\nin \r\n\r\nchunks.\r\n0\r\nTrailer: t\r\n\r\nGET /next";

// Feeds the message in pieces of `step` bytes, reads the body in pieces of `room`; gives the body and what is left
// over.
std::pair<std::string, std::string> feed(std::string_view text, std::size_t step, std::size_t room) {
  MessageParser parser(Kind::kRequest, 4096);
  std::string pending, body;
  bool head = false;
  for (std::size_t at = 0;; at += step) {
    if (at < text.size()) pending += text.substr(at, step);
    std::size_t used = 0, written = 0;
    if (!head) {
      const State state = parser.parse_head(pending, used);
      pending.erase(0, used);
      if (state == State::kNeedMore) continue;
      EXPECT_EQ(state, State::kDone);
      EXPECT_TRUE(parser.head().chunked);
      head = true;
    }
    for (;;) {
      std::string out(room, '\0');
      const State state = parser.decode(pending, out, used, written);
      pending.erase(0, used);
      body.append(out, 0, written);
      if (state == State::kDone) {
        if (at + step < text.size()) pending += text.substr(at + step);
        return {body, pending};
      }
      EXPECT_EQ(state, State::kNeedMore);
      if (state != State::kNeedMore) return {};
      if (used == 0 && written == 0) break;
    }
  }
}

TEST(MessageParser, ChunksComeApartTheSameHoweverTheyArrive) {
  for (std::size_t step : {1, 2, 3, 7, 64, 4096}) {
    for (std::size_t room : {1, 5, 4096}) {
      const auto [body, rest] = feed(kChunked, step, room);
      EXPECT_EQ(body, "Wikipedia in \r\n\r\nchunks.") << step << " " << room;
      EXPECT_EQ(rest, "GET /next") << step << " " << room;
    }
  }
}

TEST(MessageParser, ReadsARequestHead) {
  MessageParser parser(Kind::kRequest, 4096);
  std::size_t used = 0;
  const std::string text = "PUT /a?b HTTP/1.1\r\nHost: h\r\nX-A:  spaced \r\nContent-Length: 3\r\n\r\nabc";
  ASSERT_EQ(parser.parse_head(text, used), State::kDone);
  EXPECT_EQ(used, text.size() - 3);
  const Head& head = parser.head();
  EXPECT_EQ(head.method, "PUT");
  EXPECT_EQ(head.target, "/a?b");
  EXPECT_EQ(head.headers.get("x-a"), "spaced");
  EXPECT_EQ(head.content_length, 3u);
  EXPECT_TRUE(head.keep_alive);
}

TEST(MessageParser, RefusesAmbiguousAndMalformedHeads) {
  for (std::string_view text : {
           "GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
           "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
           "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
           "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
           "GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
           "GET / HTTP/2.0\r\n\r\n",
           "GET  / HTTP/1.1\r\n\r\n",
           "GET / HTTP/1.1\r\nBad Name: x\r\n\r\n",
           "GET / HTTP/1.1\r\nName : x\r\n\r\n",
           "\x16\x03\x01\x02\r\n\r\n",
       }) {
    MessageParser parser(Kind::kRequest, 4096);
    std::size_t used = 0;
    EXPECT_EQ(parser.parse_head(text, used), State::kBad) << text;
    EXPECT_FALSE(parser.error().empty());
  }
}

TEST(MessageParser, BoundsTheHead) {
  MessageParser parser(Kind::kRequest, 100);
  std::size_t used = 0;
  EXPECT_EQ(parser.parse_head("GET /" + std::string(200, 'a'), used), State::kHeadTooLarge);
}

TEST(MessageParser, RefusesBadChunks) {
  for (std::string_view body :
       {"zz\r\n", "5\r\nabcdeXYZ\r\n\r\n", "FFFFFFFFFFFFFFFFFF\r\n", "-1\r\n", "3 3\r\nabc\r\n"}) {
    MessageParser parser(Kind::kRequest, 4096);
    std::size_t used = 0, written = 0;
    ASSERT_EQ(parser.parse_head("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", used), State::kDone);
    std::string pending(body), out(64, '\0');
    State state = State::kNeedMore;
    for (int i = 0; i < 5 && state == State::kNeedMore; ++i) {
      state = parser.decode(pending, out, used, written);
      pending.erase(0, used);
    }
    EXPECT_EQ(state, State::kBad) << body;
  }
}

}  // namespace
}  // namespace mainstay::net
