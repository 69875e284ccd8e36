#include "async/file_watch.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "async/runtime.h"

namespace mainstay::async {
namespace {
namespace fs = std::filesystem;

struct Folder {
  Folder() {
    char name[] = "/tmp/file-watch-test-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~Folder() { fs::remove_all(path); }
  fs::path path;
};

Task<> sees_entries(Executor executor, fs::path folder) {
  auto watch = FileWatch::open(executor);
  EXPECT_TRUE(watch);
  EXPECT_TRUE((*watch)->add(folder, FileChange::kCreated | FileChange::kClosed | FileChange::kRemoved));
  std::ofstream(folder / "a") << "x";
  fs::remove(folder / "a");
  std::vector<FileChange> seen;
  while (seen.size() < 3) {
    for (FileChange& change : co_await (*watch)->next()) seen.push_back(std::move(change));
  }
  EXPECT_EQ(seen[0].kind, FileChange::kCreated);
  EXPECT_EQ(seen[0].path, folder / "a");
  EXPECT_EQ(seen[1].kind, FileChange::kClosed);
  EXPECT_EQ(seen[2].kind, FileChange::kRemoved);
}

TEST(FileWatch, SeesAFoldersEntriesComeAndGo) {
  Folder folder;
  Runtime runtime;
  runtime.run(sees_entries(runtime.executor(), folder.path));
}

Task<> sees_writes(Executor executor, fs::path file) {
  auto watch = FileWatch::open(executor);
  EXPECT_TRUE((*watch)->add(file, FileChange::kModified));
  std::ofstream(file, std::ios::app) << "more";
  const auto seen = co_await (*watch)->next();
  EXPECT_EQ(seen.at(0).path, file);
  (*watch)->remove(file);
  std::ofstream(file, std::ios::app) << "unseen";
  const auto limited = co_await with_timeout((*watch)->next(), std::chrono::milliseconds(20));
  EXPECT_FALSE(limited);
}

TEST(FileWatch, SeesWritesUntilRemoved) {
  Folder folder;
  std::ofstream(folder.path / "log") << "first";
  Runtime runtime;
  runtime.run(sees_writes(runtime.executor(), folder.path / "log"));
}

TEST(FileWatch, NamesWhatIsMissing) {
  Runtime runtime;
  auto watch = FileWatch::open(runtime.executor());
  const auto added = (*watch)->add("/nowhere/at/all", FileChange::kModified);
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().code, base::ErrorCode::kNotFound);
}

}  // namespace
}  // namespace mainstay::async
