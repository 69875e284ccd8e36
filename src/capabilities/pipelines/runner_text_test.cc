#include "capabilities/pipelines/runner_text.h"

#include <gtest/gtest.h>

#include "base/encoding.h"

namespace mainstay::pipelines {
namespace {

TEST(RunnerText, Commands) {
  auto command = parse_command("::error file=app.js,line=1::Missing%0Asemi%3Acolon");
  ASSERT_TRUE(command);
  EXPECT_EQ(command->name, "error");
  EXPECT_EQ(command->properties["file"], "app.js");
  EXPECT_EQ(command->data, "Missing\nsemi%3Acolon");
  EXPECT_EQ(parse_command("::add-mask::x")->data, "x");
  EXPECT_EQ(parse_command("::set-output name=a::b")->properties["name"], "a");
  EXPECT_EQ(parse_command("::notice title=a%2Cb::c")->properties["title"], "a,b");
  EXPECT_FALSE(parse_command("not ::error::x"));
  EXPECT_FALSE(parse_command("::"));
  EXPECT_FALSE(parse_command("::x"));
}

TEST(RunnerText, Assignments) {
  auto pairs = parse_assignments("A=1\n\nB<<EOF\none\n\ntwo\nEOF\nC=a=b\nD<<X\nX\n");
  ASSERT_TRUE(pairs) << pairs.error().message;
  EXPECT_EQ(*pairs, (std::vector<std::pair<std::string, std::string>>{
                        {"A", "1"}, {"B", "one\n\ntwo"}, {"C", "a=b"}, {"D", ""}}));
  EXPECT_FALSE(parse_assignments("nonsense\n"));
  EXPECT_FALSE(parse_assignments("A<<EOF\nx\n"));
  EXPECT_FALSE(parse_assignments("=x\n"));
}

TEST(RunnerText, Masks) {
  Mask mask;
  mask.add("hunter2");
  mask.add("line one\nline two");
  mask.add("ab");
  EXPECT_EQ(mask.apply("pw hunter2hunter2 ab"), "pw ****** ab");
  EXPECT_EQ(mask.apply("x line two"), "x ***");
  mask.add("hunter");
  EXPECT_EQ(mask.apply("hunter2"), "***") << "the longer one first";
}

TEST(RunnerText, MasksBase64) {
  const std::string secret = "p?ssw>rd~~1";
  Mask mask;
  mask.add(secret);
  for (const std::string& text : {base::base64(secret), base::base64url(secret)})
    EXPECT_EQ(mask.apply("x " + text + " y"), "x *** y") << text;
  for (const char* before : {"", "a", "ab", "abc", "user:"}) {
    for (const char* after : {"", "\n", "..", "@host"}) {
      for (const std::string& text :
           {base::base64(before + secret + after), base::base64url(before + secret + after)}) {
        const std::string masked = mask.apply(text);
        EXPECT_TRUE(masked.contains("***")) << text;
        EXPECT_LE(masked.size(), text.size() - 9) << text << ": no more than the edges stay";
      }
    }
  }
  const std::string key(100, 'k'), encoded = base::base64(key);
  mask.add(key);
  EXPECT_EQ(mask.apply(encoded.substr(0, 76)), "***") << "as base64 breaks lines";
  EXPECT_EQ(mask.apply(encoded.substr(76)), "***");
  Mask brief;
  brief.add("abc");
  EXPECT_EQ(brief.apply(base::base64("abc")), base::base64("abc")) << "four characters are found by chance";
}

TEST(RunnerText, Tail) {
  Tail tail(2, 100);
  for (const char* line : {"a", "b", "c"}) tail.add(line);
  EXPECT_EQ(tail.text(), "b\nc");
  tail.add(std::string(500, 'x'));
  EXPECT_LE(tail.text().size(), 100u);
}

TEST(RunnerText, Shells) {
  EXPECT_EQ(shell_command("", "s").value(), (std::vector<std::string>{"bash", "-e", "s"}));
  EXPECT_EQ(shell_command("perl -w {0}", "s").value(), (std::vector<std::string>{"perl", "-w", "s"}));
  EXPECT_FALSE(shell_command("pwsh", "s"));
}

}  // namespace
}  // namespace mainstay::pipelines
