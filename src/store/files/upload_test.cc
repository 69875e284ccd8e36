#include "store/files/upload.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/files.h"
#include "store/conformance/suite.h"

namespace mainstay::store {
namespace {

class UploadFileTest : public testing::Test {
 protected:
  static std::string digest_of(std::string_view content) { return "sha256:" + crypto::sha256_hex(content); }
  std::string reopened_digest() const {
    auto file = UploadFile::reopen(folder_.path(), "u");
    EXPECT_TRUE(file) << file.error().message;
    return file ? (*file)->digest().value_or("") : "";
  }
  std::filesystem::path state() const { return folder_.path() / "u.state"; }
  void begin(const std::string& content) const {
    auto file = UploadFile::create(folder_.path(), "u");
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->append(content));
    EXPECT_EQ((*file)->digest().value_or(""), digest_of(content));
  }

  TempFolder folder_;
};

TEST_F(UploadFileTest, TheSavedStateSparesReadingTheData) {
  begin("hello, world");
  ASSERT_TRUE(std::filesystem::exists(state()));
  // What the state covers is not read again: the digest is of what was sent, which finish() will hold against the
  // file's name.
  std::ofstream(folder_.path() / "u") << "HELLO, WORLD";
  EXPECT_EQ(reopened_digest(), digest_of("hello, world"));
}

TEST_F(UploadFileTest, BytesAfterTheSavedStateAreRead) {
  begin("hello");
  std::ofstream(folder_.path() / "u", std::ios::app) << ", world";
  EXPECT_EQ(reopened_digest(), digest_of("hello, world"));
}

TEST_F(UploadFileTest, WithoutAGoodStateTheDataIsReadAgain) {
  begin("hello");
  const std::string good = *base::read_file(state());
  std::filesystem::remove(state());
  EXPECT_EQ(reopened_digest(), digest_of("hello"));
  for (std::string bad :
       {std::string(), std::string("rubbish"), good.substr(0, good.size() - 1), good + "x", std::string(4000, '\n')}) {
    std::ofstream(state()) << bad;
    EXPECT_EQ(reopened_digest(), digest_of("hello")) << bad;
  }
}

TEST_F(UploadFileTest, AStateFromBeforeAPowerCutIsNotBelieved) {
  begin("hello");
  std::string text = *base::read_file(state());
  std::string rest = text.substr(text.find('\n') + 1);
  rest = "00000000-0000-0000-0000-000000000000" + rest.substr(rest.find('\n'));
  std::ofstream(state()) << crypto::sha256_hex(rest) << "\n" << rest;
  // The file lost its last bytes and what is there changed: the digest is of what is there.
  std::ofstream(folder_.path() / "u") << "HELL";
  EXPECT_EQ(reopened_digest(), digest_of("HELL"));
}

TEST_F(UploadFileTest, AStateAheadOfTheDataIsNotBelieved) {
  begin("hello");
  std::ofstream(folder_.path() / "u") << "hell";
  EXPECT_EQ(reopened_digest(), digest_of("hell"));
}

TEST_F(UploadFileTest, GoesOnAtTheEnd) {
  begin("hello");
  auto file = UploadFile::reopen(folder_.path(), "u");
  ASSERT_TRUE(file);
  ASSERT_TRUE((*file)->append(", world"));
  EXPECT_EQ(base::read_file(folder_.path() / "u").value_or(""), "hello, world");
  EXPECT_EQ((*file)->digest().value_or(""), digest_of("hello, world"));
  (*file)->discard();
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "u"));
  EXPECT_FALSE(std::filesystem::exists(state()));
  EXPECT_FALSE(UploadFile::reopen(folder_.path(), "u"));
}

}  // namespace
}  // namespace mainstay::store
