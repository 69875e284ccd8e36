#include "capabilities/compute/forward/spdy.h"

#include <gtest/gtest.h>

#include "capabilities/compute/forward/testing.h"

namespace mainstay::compute {
namespace {

using testing::put;
using Client = testing::SpdyClient;
using Kind = SpdyFrame::Kind;

const std::map<std::string, std::string> kData = {{"Streamtype", "data"}, {"Port", "8080"}, {"Requestid", "0"}};

TEST(Spdy, FramesInAnyPieces) {
  Client client;
  const std::string bytes = client.open(1, kData) + SpdyWriter::data(1, "GET / HTTP/1.1", false) + SpdyWriter::ping(7) +
                            client.open(3, {{"streamtype", "error"}}) + SpdyWriter::data(1, "", true) +
                            Client::frame(3, Client::stream(3) + Client::stream(5)) + Client::frame(4, "settings") +
                            Client::frame(7, std::string(8, '\0'));
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, bytes.size()}) {
    // A compressed block can be unpacked once: each reader gets the connection from its beginning.
    SpdyReader reader;
    std::vector<SpdyFrame> frames;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      auto some = reader.feed(bytes.substr(at, piece));
      ASSERT_TRUE(some) << some.error().message;
      for (auto& frame : *some) frames.push_back(std::move(frame));
    }
    ASSERT_EQ(frames.size(), 7u);
    EXPECT_EQ(frames[0].kind, Kind::kOpen);
    EXPECT_EQ(frames[0].id, 1u);
    EXPECT_EQ(frames[0].headers.at("streamtype"), "data");
    EXPECT_EQ(frames[0].headers.at("port"), "8080");
    EXPECT_EQ(frames[1].data, "GET / HTTP/1.1");
    EXPECT_FALSE(frames[1].last);
    EXPECT_EQ(frames[2].kind, Kind::kPing);
    EXPECT_EQ(frames[2].id, 7u);
    EXPECT_EQ(frames[3].headers.at("streamtype"), "error");
    EXPECT_TRUE(frames[4].last);
    EXPECT_EQ(frames[5].kind, Kind::kReset);
    EXPECT_EQ(frames[5].id, 3u);
    EXPECT_EQ(frames[6].kind, Kind::kGoAway);
  }
}

TEST(Spdy, AnswersArePackedWithTheDictionary) {
  SpdyWriter writer;
  const std::string first = writer.accept(1), second = writer.accept(3);
  EXPECT_EQ(first.substr(0, 4), std::string("\x80\x03\x00\x02", 4));
  // The id of the protocol's dictionary, in zlib's head (RFC 1950 section 2.2).
  EXPECT_EQ(first.substr(14, 4), "\xe3\xc6\xa7\xc2");
  SpdyReader reader;
  auto frames = reader.feed(first + second);
  ASSERT_TRUE(frames) << frames.error().message;
  EXPECT_TRUE(frames->empty());
}

TEST(Spdy, RefusesWhatIsBrokenOrTooLarge) {
  Client client;
  const auto error = [](const std::string& bytes) {
    SpdyReader reader;
    auto frames = reader.feed(bytes);
    return frames ? "" : frames.error().message;
  };
  EXPECT_NE(error(Client::frame(1, "short")), "");
  EXPECT_NE(error(Client::frame(1, std::string(10, '\0') + "not zlib")), "");
  EXPECT_NE(error(Client::frame(6, Client::stream(1), 2)), "") << "another version";
  EXPECT_NE(error(std::string("\0\0\0\1\0\xff\xff\xff", 8)), "") << "a frame of 16 MB";
  EXPECT_NE(error(client.open(1, {{"big", std::string(64u << 10, 'x')}})), "");
  Client other;
  std::string many;
  put(many, 1'000'000, 4);
  EXPECT_NE(error(Client::frame(1, Client::stream(1) + std::string(6, '\0') + other.pack(many))), "");
  Client cut;
  std::string claims;
  put(claims, 1, 4);
  put(claims, 0xffffffffu, 4);
  EXPECT_NE(error(Client::frame(1, Client::stream(1) + std::string(6, '\0') + cut.pack(claims))), "");
}

}  // namespace
}  // namespace mainstay::compute
