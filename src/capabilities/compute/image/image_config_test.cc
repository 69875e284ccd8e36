#include "capabilities/compute/image/image_config.h"

#include <gtest/gtest.h>

namespace mainstay::compute {
namespace {

constexpr const char* kPasswd = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:App:/home/app:/bin/sh\nbroken\n";
constexpr const char* kGroup = "root:x:0:\nstaff:x:50:app,other\napp:x:1001:\nwheel:x:10:other\n";

TEST(ImageConfig, CommandAndArgsOverTheImages) {
  ImageConfig image;
  image.entrypoint = {"/entry"};
  image.command = {"serve"};
  using List = std::vector<std::string>;
  EXPECT_EQ(merge_command(image, {}, {}), (List{"/entry", "serve"}));
  EXPECT_EQ(merge_command(image, {"/mine"}, {}), (List{"/mine"}));
  EXPECT_EQ(merge_command(image, {}, {"x"}), (List{"/entry", "x"}));
  EXPECT_EQ(merge_command(image, {"/mine"}, {"x"}), (List{"/mine", "x"}));
}

TEST(ImageConfig, ReadsTheConfiguration) {
  const auto c = read_image_config(*base::parse_json(
      R"({"config":{"Env":["PATH=/bin","A=b=c","=bad","none"],"Cmd":["x"],"User":"app","WorkingDir":"/srv","StopSignal":"SIGQUIT"}})"));
  EXPECT_EQ(c.env, (std::map<std::string, std::string>{{"PATH", "/bin"}, {"A", "b=c"}}));
  EXPECT_EQ(c.user, "app");
  EXPECT_EQ(c.stop_signal, 3);
}

TEST(FindUser, ByNameAndNumber) {
  auto u = find_user("app", kPasswd, kGroup);
  ASSERT_TRUE(u);
  EXPECT_EQ(u->uid, 1000u);
  EXPECT_EQ(u->gid, 1001u);
  EXPECT_EQ(u->groups, std::vector<std::uint32_t>{50});
  EXPECT_EQ(u->home, "/home/app");
  u = find_user("1000", kPasswd, kGroup);
  EXPECT_EQ(u->gid, 1001u);
  u = find_user("4711", kPasswd, kGroup);
  EXPECT_EQ(u->uid, 4711u);
  EXPECT_EQ(u->gid, 0u);
  u = find_user("app:wheel", kPasswd, kGroup);
  EXPECT_EQ(u->gid, 10u);
  u = find_user("4711:4712", "", "");
  EXPECT_EQ(u->gid, 4712u);
  u = find_user("", kPasswd, kGroup);
  EXPECT_EQ(u->uid, 0u);
  EXPECT_EQ(u->home, "/root");
}

TEST(FindUser, SaysWhoIsUnknown) {
  EXPECT_NE(find_user("nobody", kPasswd, kGroup).error().message.find("\"nobody\""), std::string::npos);
  EXPECT_FALSE(find_user("app:none", kPasswd, kGroup));
  EXPECT_FALSE(find_user("99999999999", "", ""));
}

TEST(Signals, ByNameAndNumber) {
  EXPECT_EQ(signal_number("SIGTERM"), 15);
  EXPECT_EQ(signal_number("USR1"), 10);
  EXPECT_EQ(signal_number("9"), 9);
  EXPECT_EQ(signal_number("99"), std::nullopt);
  EXPECT_EQ(signal_number("NOPE"), std::nullopt);
}

}  // namespace
}  // namespace mainstay::compute
