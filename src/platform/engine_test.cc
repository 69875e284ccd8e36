#include "platform/engine.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "base/files.h"
#include "platform/engine_files.h"
#include "platform/fake_host.h"

namespace mainstay::platform {
namespace {
namespace fs = std::filesystem;
using namespace std::chrono_literals;

class EngineTest : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/mainstay-engine-XXXXXX";
    config_.data_dir = ::mkdtemp(pattern);
  }
  void TearDown() override {
    stop_detached_engines(config_.data_dir, 1s);
    fs::remove_all(config_.data_dir);
  }
  void run(std::function<async::Task<>(FakeHost&)> body) {
    async::Runtime runtime;
    FakeHost host(runtime, config_);
    struct Main {
      static async::Task<> go(FakeHost* host, std::function<async::Task<>(FakeHost&)> body) {
        co_await body(*host);
        host->tasks().cancel();
        co_await host->tasks().join();
      }
    };
    runtime.run(Main::go(&host, std::move(body)));
  }
  EngineOptions sleeper(bool detached) {
    EngineOptions o;
    o.name = "sleeper";
    o.argv = {"sleep", "1000.5"};
    o.detached = detached;
    o.successor_argv = [argv = o.argv](pid_t) { return argv; };
    return o;
  }
  static async::Task<bool> eventually(std::function<bool()> condition) {
    for (int i = 0; i < 300; ++i) {
      if (condition()) co_return true;
      co_await async::sleep_for(10ms);
    }
    co_return false;
  }
  base::Config config_;
};

bool alive(pid_t pid) { return process_start_ticks(pid) != 0; }

TEST_F(EngineTest, AttachedRestartsAndEnds) {
  run([this](FakeHost& host) -> async::Task<> {
    Engine engine(host, sleeper(false));
    int restarts = 0;
    engine.on_restart([&restarts] { ++restarts; });
    EXPECT_TRUE(co_await engine.start());
    const pid_t first = engine.pid();
    EXPECT_TRUE(alive(first));
    ::kill(first, SIGKILL);
    EXPECT_TRUE(co_await eventually([&] { return engine.running() && engine.pid() != first; }));
    EXPECT_EQ(restarts, 1);
    const pid_t second = engine.pid();
    co_await engine.stop();
    EXPECT_TRUE(co_await eventually([&] { return !alive(second); }));
    EXPECT_FALSE(engine.health().ok);
  });
}

// A program of its own starts the engine and is killed: what the engine does then it says in a file.
TEST_F(EngineTest, AttachedIsToldThatMainstayWasKilled) {
  const fs::path said = config_.data_dir / "said";
  const pid_t mainstay = ::fork();
  if (mainstay == 0) {
    run([this, said](FakeHost& host) -> async::Task<> {
      EngineOptions o = sleeper(false);
      o.argv = {"sh", "-c",
                fmt::format("trap 'echo ended >{0}; exit' TERM; echo begun >{0}; while :; do sleep 0.01; done",
                            said.string())};
      o.death_signal = SIGTERM;
      Engine engine(host, std::move(o));
      static_cast<void>(co_await engine.start());
      co_await async::sleep_for(60s);
    });
    ::_exit(0);
  }
  const auto says = [&said](std::string_view text) {
    for (int i = 0; i < 1000; ++i) {
      if (base::read_file(said).value_or("") == text) return true;
      std::this_thread::sleep_for(10ms);
    }
    return false;
  };
  EXPECT_TRUE(says("begun\n"));
  ::kill(mainstay, SIGKILL);
  ::waitpid(mainstay, nullptr, 0);
  EXPECT_TRUE(says("ended\n"));
}

TEST_F(EngineTest, FailedStartSaysWhatTheProgramSaid) {
  run([](FakeHost& host) -> async::Task<> {
    EngineOptions o;
    o.name = "broken";
    o.argv = {"sh", "-c", "echo port 80 is taken >&2; exit 3"};
    o.detached = true;
    o.start_limit = 2s;
    o.ready = [](pid_t) -> async::Task<bool> { co_return false; };
    Engine engine(host, o);
    const auto started = co_await engine.start();
    EXPECT_FALSE(started);
    if (!started)
      EXPECT_NE(started.error().message.find("port 80 is taken"), std::string::npos) << started.error().message;
    co_await engine.stop();
  });
}

TEST_F(EngineTest, MissingProgramIsNotFound) {
  run([](FakeHost& host) -> async::Task<> {
    EngineOptions o;
    o.name = "missing";
    o.argv = {"mainstay-no-such-program"};
    Engine engine(host, o);
    const auto started = co_await engine.start();
    EXPECT_FALSE(started);
    if (!started) EXPECT_EQ(started.error().code, base::ErrorCode::kNotFound);
    co_await engine.stop();
  });
}

TEST_F(EngineTest, DetachedIsAdoptedReplacedAndStopped) {
  pid_t pid = 0;
  run([&, this](FakeHost& host) -> async::Task<> {
    Engine engine(host, sleeper(true));
    EXPECT_TRUE(co_await engine.start());
    pid = engine.pid();
    co_await engine.stop();
  });
  EXPECT_TRUE(alive(pid));
  run([&, this](FakeHost& host) -> async::Task<> {
    Engine engine(host, sleeper(true));
    EXPECT_TRUE(co_await engine.start());
    EXPECT_TRUE(engine.adopted());
    EXPECT_EQ(engine.pid(), pid);
    EXPECT_TRUE(co_await engine.replace());
    EXPECT_NE(engine.pid(), pid);
    EXPECT_FALSE(engine.adopted());
    EXPECT_TRUE(alive(pid)) << "the predecessor ends by itself";
    co_await engine.stop();
  });
  ASSERT_EQ(detached_engines(config_.data_dir).size(), 1u);
  EXPECT_EQ(detached_engines(config_.data_dir)[0].pids.size(), 2u);
  stop_detached_engines(config_.data_dir, 2s);
  EXPECT_TRUE(detached_engines(config_.data_dir).empty());
  EXPECT_FALSE(alive(pid));
}

TEST_F(EngineTest, AdoptedOneThatDiesIsStartedAgain) {
  pid_t pid = 0;
  run([&, this](FakeHost& host) -> async::Task<> {
    Engine engine(host, sleeper(true));
    EXPECT_TRUE(co_await engine.start());
    pid = engine.pid();
    co_await engine.stop();
  });
  run([&, this](FakeHost& host) -> async::Task<> {
    Engine engine(host, sleeper(true));
    EXPECT_TRUE(co_await engine.start());
    ::kill(pid, SIGKILL);
    EXPECT_TRUE(co_await eventually([&] { return engine.running() && engine.pid() != pid; }));
    co_await engine.stop();
  });
}

TEST_F(EngineTest, ItsMemoryLimitIsItsOwnAndGoesWithIt) {
  const EngineFiles files(config_.data_dir, "sleeper"), other(config_.data_dir / "other", "sleeper");
  const fs::path cgroup = files.memory_cgroup(64u << 20), second = other.memory_cgroup(64u << 20);
  if (cgroup.empty()) GTEST_SKIP() << "no writable memory cgroup here";
  EXPECT_NE(cgroup, second) << "of another data directory";
  stop_detached_engines(config_.data_dir / "other", 1s);
  EXPECT_FALSE(fs::exists(second));
  EXPECT_TRUE(fs::exists(cgroup));
  stop_detached_engines(config_.data_dir, 1s);
  EXPECT_FALSE(fs::exists(cgroup));
}

TEST_F(EngineTest, AReusedPidIsNotOurs) {
  EngineFiles files(config_.data_dir, "old");
  ASSERT_TRUE(files.prepare());
  ASSERT_TRUE(base::write_file(files.pid_file(), fmt::format("{}\n1\nno-such-command\n", ::getpid())));
  EXPECT_EQ(files.read_pid(), 0);
  EXPECT_TRUE(detached_engines(config_.data_dir).empty());
}

}  // namespace
}  // namespace mainstay::platform
