#include "net/http.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "async/runtime.h"
#include "base/status.h"
#include "net/wire.h"

namespace mainstay::net {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Headers, CompareNamesWithoutCase) {
  Headers headers;
  headers.add("Accept", "a");
  headers.add("ACCEPT", "b");
  headers.add("Host", "h");
  EXPECT_EQ(headers.get("accept"), "a");
  headers.set("accept", "c");
  EXPECT_EQ(headers.all().size(), 2u);
  EXPECT_EQ(headers.get("Accept"), "c");
  headers.erase("hOsT");
  EXPECT_FALSE(headers.has("Host"));
  EXPECT_EQ(headers.get("none"), "");
}

TEST(Query, DecodesNamesAndValues) {
  const auto query = Query::parse("a=1&b=x%20y+z&a=2&flag&%26=%3D&&e=");
  ASSERT_TRUE(query.has_value());
  EXPECT_EQ(query->get("a"), "1");
  EXPECT_THAT(query->all_of("a"), ElementsAre("1", "2"));
  EXPECT_EQ(query->get("b"), "x y z");
  EXPECT_TRUE(query->has("flag"));
  EXPECT_EQ(query->get("&"), "=");
  EXPECT_TRUE(query->has("e"));
  EXPECT_FALSE(query->has("none"));
  EXPECT_FALSE(Query::parse("a=%zz").has_value());
  EXPECT_FALSE(Query::parse("a=%2").has_value());
}

TEST(Wire, ValuesCannotForgeHeaders) {
  Response response = Response::text(200, "x");
  response.headers.add("Location", "/a\r\nSet-Cookie: stolen=1");
  response.headers.add("Content-Length", "999");
  const std::string head = response_head(response, {Framing::Kind::kLength, 1}, true, false);
  EXPECT_THAT(head, HasSubstr("Location: /a  Set-Cookie: stolen=1\r\n"));
  EXPECT_THAT(head, HasSubstr("Content-Length: 1\r\n"));
  EXPECT_THAT(head, Not(HasSubstr("999")));
  EXPECT_THAT(head, Not(HasSubstr("Connection: close")));
  EXPECT_TRUE(head.ends_with("\r\n\r\n"));
}

async::Task<> reads_all() {
  EXPECT_EQ(co_await body_from_string("hello")->read_all(5), "hello");
  EXPECT_EQ(co_await body_from_string("")->read_all(0), "");
  int code = 0;
  try {
    co_await body_from_string("hello")->read_all(4);
  } catch (const base::StatusError& e) {
    code = e.code();
  }
  EXPECT_EQ(code, 413);
}

TEST(BodyReader, ReadAllIsBounded) {
  async::Runtime runtime(1);
  runtime.run(reads_all());
}

}  // namespace
}  // namespace mainstay::net
