// A scratch folder with a git command, for tests against real git.
#pragma once
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/files.h"
#include "base/ids.h"
#include "base/strings.h"

namespace mainstay::source {

class Scratch {
 public:
  Scratch() : dir_(std::filesystem::temp_directory_path() / ("mainstay-test-" + base::random_hex(6))) {
    std::filesystem::create_directories(dir_);
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(dir_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  const std::filesystem::path& dir() const { return dir_; }
  // Runs a shell command in the folder; gives what it printed, both streams.
  std::string sh(const std::string& command, int* status = nullptr) const {
    const std::string out = dir_ / "out.txt";
    const int result =
        std::system(fmt::format("cd {} && export HOME={} GIT_CONFIG_NOSYSTEM=1 GIT_TERMINAL_PROMPT=0 LC_ALL=C "
                                "GIT_AUTHOR_NAME=Ann GIT_AUTHOR_EMAIL=ann@example.com GIT_COMMITTER_NAME=Ann "
                                "GIT_COMMITTER_EMAIL=ann@example.com; ( {} ) > {} 2>&1",
                                dir_.string(), dir_.string(), command, out)
                        .c_str());
    if (status != nullptr) {
      *status = result;
    } else {
      EXPECT_EQ(result, 0) << command << "\n" << base::read_file(out).value_or("");
    }
    return base::read_file(out).value_or("");
  }
  std::string sha(const std::string& where, const std::string& revision = "HEAD") const {
    return std::string(base::trim(sh("git -C " + where + " rev-parse " + revision)));
  }

 private:
  std::filesystem::path dir_;
};

}  // namespace mainstay::source
