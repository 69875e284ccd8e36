#include "capabilities/routing/dns/message.h"

#include <gtest/gtest.h>

namespace mainstay::routing::dns {
namespace {

std::string query(std::string_view name, std::uint16_t type, bool edns = false) {
  return write_query(0x1234, *wire_name(name), type, edns, false);
}

TEST(Name, WireAndText) {
  EXPECT_EQ(wire_name("Web.default."), std::string("\3web\7default\0", 13));
  EXPECT_EQ(wire_name(""), std::string(1, '\0'));
  EXPECT_FALSE(wire_name("a..b"));
  EXPECT_FALSE(wire_name(".a"));
  EXPECT_FALSE(wire_name("a.."));
  EXPECT_FALSE(wire_name(std::string(64, 'a')));
  EXPECT_TRUE(wire_name(std::string(63, 'a')));
  EXPECT_EQ(text_name(*wire_name("a_b.c-d")), "a_b.c-d.");
  EXPECT_EQ(text_name(std::string("\3a.b\0", 5)), "a\\046b.");
  EXPECT_EQ(parent_name(*wire_name("a.b")), *wire_name("b"));
  EXPECT_EQ(parent_name(*wire_name("")), "");
}

TEST(Query, ReadsQuestionAndEdns) {
  std::string text = query("WEB.Default", kA, true);
  const ParsedQuery parsed = parse_query(text);
  ASSERT_TRUE(parsed.query);
  EXPECT_EQ(parsed.rcode, kNoError);
  EXPECT_EQ(parsed.query->id, 0x1234);
  EXPECT_EQ(parsed.query->name, *wire_name("web.default"));
  EXPECT_TRUE(parsed.query->edns);
  EXPECT_EQ(parsed.query->payload, 1232);
  EXPECT_TRUE(parsed.query->recursion_desired);
}

TEST(Query, RepliesAndScrapsAreDropped) {
  std::string reply = query("a", kA);
  reply[2] = static_cast<char>(reply[2] | 0x80);
  EXPECT_FALSE(parse_query(reply).query);
  EXPECT_FALSE(parse_query("short").query);
}

TEST(Query, MalformedOnesAreFormErr) {
  const std::string good = query("a.b", kA, true);
  for (std::size_t size = 12; size < good.size(); ++size) {
    const ParsedQuery parsed = parse_query(std::string_view(good).substr(0, size));
    ASSERT_TRUE(parsed.query);
    EXPECT_EQ(parsed.rcode, kFormErr) << size;
  }
  std::string looped = query("a", kA);
  looped[12] = '\xc0';
  looped[13] = '\x0c';
  EXPECT_EQ(parse_query(looped).rcode, kFormErr);
  std::string update = query("a", kA);
  update[2] = 0x28;
  EXPECT_EQ(parse_query(update).rcode, kNotImp);
  std::string version = query("a", kA, true);
  version[version.size() - 5] = 1;
  EXPECT_EQ(parse_query(version).rcode, kBadVers);
}

TEST(Reply, KeepsTheQuestionsSpellingAndCompresses) {
  std::string text = query("web.default", kA);
  text[13] = 'W';
  const ParsedQuery parsed = parse_query(text);
  Reply reply;
  reply.authoritative = true;
  reply.answers = {{*wire_name("web.default"), kA, 5, std::string("\x0a\0\0\1", 4)}};
  std::string out(512, '\0');
  out.resize(write_reply(*parsed.query, text, reply, out, 512));
  EXPECT_EQ(out[13], 'W');
  EXPECT_EQ(out.size(), text.size() + 16) << "the owner is a pointer of two bytes";
  const auto layout = read_layout(out);
  ASSERT_TRUE(layout);
  EXPECT_TRUE(layout->response);
  ASSERT_EQ(layout->records.size(), 1u);
  EXPECT_EQ(read_name(out, layout->records[0].offset), *wire_name("web.default"));
}

TEST(Reply, WhatDoesNotFitIsTruncatedWhole) {
  const std::string text = query("many.default", kA);
  const ParsedQuery parsed = parse_query(text);
  Reply reply;
  for (int i = 0; i < 100; ++i) reply.answers.push_back({*wire_name("many.default"), kA, 5, std::string(4, 'x')});
  std::string out(65535, '\0');
  const std::size_t small = write_reply(*parsed.query, text, reply, out, 512);
  const auto layout = read_layout(std::string_view(out).substr(0, small));
  ASSERT_TRUE(layout);
  EXPECT_TRUE(layout->truncated);
  EXPECT_TRUE(layout->records.empty());
  const std::size_t whole = write_reply(*parsed.query, text, reply, out, 65535);
  EXPECT_EQ(read_layout(std::string_view(out).substr(0, whole))->records.size(), 100u);
}

TEST(Layout, RefusesLoopsAndLies) {
  std::string text = query("a", kA);
  text[2] = static_cast<char>(text[2] | 0x80);
  text[7] = 1;  // an answer that is not there
  EXPECT_FALSE(read_layout(text));
  text += std::string("\xc0\x19\0\1\0\1\0\0\0\1\0\0", 12);  // a pointer to itself
  EXPECT_FALSE(read_layout(text));
}

}  // namespace
}  // namespace mainstay::routing::dns
