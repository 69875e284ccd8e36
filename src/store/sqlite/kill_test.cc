// A process that writes and reports what was acknowledged is killed at random moments; whatever it reported must be
// there.
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>
#include <thread>

#include "crypto/digest.h"
#include "store/blobs.h"
#include "store/conformance/suite.h"

namespace mainstay::store {
namespace {

constexpr int kRounds = 12;
constexpr int kWriters = 8;

// What goes through the pipe: one write() each, small enough to be whole or absent.
struct Report {
  int writer = 0, number = 0;
  std::int64_t revision = 0;
  bool removed = false;
};

async::Task<> write_for_ever(Backend& backend, int round, int writer, int pipe) {
  for (int i = 0;; ++i) {
    const Key key = pod(fmt::format("r{}w{}n{}", round, writer, i));
    auto made = co_await backend.put(key, object(key.name, std::string(500, 'x')), std::nullopt);
    if (!made) co_return;
    Report report{writer, i, (*made)->revision, false};
    if (::write(pipe, &report, sizeof report) != sizeof report) co_return;
    if (i % 3 != 0) continue;
    auto removed = co_await backend.remove(key, (*made)->revision);
    if (!removed) co_return;
    report = {writer, i, (*removed)->revision, true};
    if (::write(pipe, &report, sizeof report) != sizeof report) co_return;
  }
}

async::Task<> child_main(Backend& backend, async::Runtime& runtime, int round, int pipe) {
  async::TaskGroup group(runtime.executor(), "writers");
  for (int w = 0; w < kWriters; ++w) group.spawn("writer", write_for_ever(backend, round, w, pipe));
  co_await group.join();
}

[[noreturn]] void child(const std::filesystem::path& file, int round, int pipe) {
  async::Runtime runtime(2);
  base::Metrics metrics;
  auto dialect = open_sqlite(file);
  if (!dialect) ::_exit(3);
  Backend backend(runtime, *std::move(dialect), {}, metrics);
  if (!backend.load()) ::_exit(4);
  runtime.run(child_main(backend, runtime, round, pipe));
  ::_exit(5);  // it is meant to be killed
}

std::vector<Report> run_and_kill(const std::filesystem::path& file, int round, std::chrono::microseconds life) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::close(ends[0]);
    child(file, round, ends[1]);
  }
  ::close(ends[1]);
  // Every other time it is killed among its writes, however slow this machine is; else perhaps while it opens the file.
  pollfd written{ends[0], POLLIN, 0};
  if (round % 2 == 1) EXPECT_EQ(::poll(&written, 1, 30'000), 1);
  std::this_thread::sleep_for(life);  // the moment is the test's input: it waits for nothing
  ::kill(pid, SIGKILL);
  std::vector<Report> reports;
  Report report;
  while (::read(ends[0], &report, sizeof report) == sizeof report) reports.push_back(report);
  ::close(ends[0]);
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFSIGNALED(status)) << "the child ended by itself with " << WEXITSTATUS(status);
  return reports;
}

TEST(Kill, NothingAcknowledgedIsLost) {
  const TempFolder folder;
  const auto file = folder.path() / "state.db";
  std::mt19937 random(20240607);
  std::int64_t last = 0;
  std::size_t total = 0;
  std::map<std::string, std::int64_t> expected;  // of the rounds so far
  for (int round = 0; round < kRounds; ++round) {
    const auto life = std::chrono::microseconds(random() % 80'000);
    std::map<std::string, bool> removed;
    for (const Report& report : run_and_kill(file, round, life)) {
      const std::string name = fmt::format("r{}w{}n{}", round, report.writer, report.number);
      if (report.removed) expected.erase(name);
      if (report.removed) removed[name] = true;
      if (!report.removed) expected[name] = report.revision;
      EXPECT_GT(report.revision, 0);
      last = std::max(last, report.revision);
      ++total;
    }
    auto dialect = open_sqlite(file);
    ASSERT_TRUE(dialect) << dialect.error().message;
    std::map<std::string, std::int64_t> found;
    std::set<std::string> deleted;
    const auto loaded = (*dialect)->load(
        [&](Dialect::Row row) {
          EXPECT_TRUE(base::parse_json(row.value)) << row.key.name;
          found[row.key.name] = row.revision;
        },
        [&](Dialect::Deletion one) { deleted.insert(one.key.name); });
    ASSERT_TRUE(loaded);
    EXPECT_GE(loaded->revision, last);
    for (const auto& [name, at] : found) EXPECT_LE(at, loaded->revision);
    for (const auto& [name, at] : expected) {
      const auto row = found.find(name);
      // Each third object's removal may have been kept without its report: the kill came in between.
      const bool may_be_gone = std::stoi(name.substr(name.rfind('n') + 1)) % 3 == 0;
      if (row == found.end()) EXPECT_TRUE(may_be_gone) << name << " was acknowledged and is lost";
      if (row != found.end()) EXPECT_EQ(row->second, at);
    }
    for (const auto& [name, yes] : removed) {
      EXPECT_FALSE(found.contains(name)) << name << " came back";
      EXPECT_TRUE(deleted.contains(name) || loaded->deletions_since > 0) << name << " went without a trace";
    }
    expected = found;  // what was unacknowledged and kept stays kept
  }
  EXPECT_GT(total, 50u) << "the child hardly wrote";
}

[[noreturn]] void upload_child(const std::filesystem::path& root, int pipe) {
  async::Runtime runtime(2);
  auto blobs = open_file_blobs(runtime, root);
  if (!blobs) ::_exit(3);
  auto body = [&]() -> async::Task<> {
    auto upload = co_await (*blobs)->begin();
    if (!upload) ::_exit(4);
    (void)!::write(pipe, (*upload)->id().data(), (*upload)->id().size());
    for (;;) {
      auto result = co_await (*upload)->append(std::string(100'000, 'u'));
      if (!result) ::_exit(5);
      const std::uint64_t size = (*upload)->size();
      (void)!::write(pipe, &size, sizeof size);
    }
  };
  runtime.run(body());
  ::_exit(6);
}

TEST(Kill, AnUploadGoesOnWhereItWas) {
  const TempFolder folder;
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t pid = ::fork();
  if (pid == 0) upload_child(folder.path(), ends[1]);
  ::close(ends[1]);
  std::string id(36, ' ');
  ASSERT_EQ(::read(ends[0], id.data(), id.size()), static_cast<ssize_t>(id.size()));
  std::uint64_t size = 0, acknowledged = 0;
  while (acknowledged < 40'000'000 && ::read(ends[0], &size, sizeof size) == sizeof size) acknowledged = size;
  ::kill(pid, SIGKILL);
  while (::read(ends[0], &size, sizeof size) == sizeof size) acknowledged = size;
  ::close(ends[0]);
  ::waitpid(pid, nullptr, 0);

  async::Runtime runtime(2);
  auto blobs = open_file_blobs(runtime, folder.path());
  ASSERT_TRUE(blobs);
  auto body = [&]() -> async::Task<> {
    auto upload = co_await (*blobs)->resume(id);
    CO_ASSERT(upload);
    EXPECT_GE((*upload)->size(), acknowledged);
    CO_ASSERT(co_await (*upload)->append("the end"));
    const std::string whole = std::string((*upload)->size() - 7, 'u') + "the end";
    const std::string digest = "sha256:" + crypto::sha256_hex(whole);
    auto finished = co_await (*upload)->finish(digest);
    EXPECT_TRUE(finished) << (finished ? "" : finished.error().message);
    EXPECT_EQ((*blobs)->size(digest).value_or(0), whole.size());
  };
  runtime.run(body());
}

}  // namespace
}  // namespace mainstay::store
