#include "async/process.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "async/runtime.h"

namespace mainstay::async {
namespace {

using namespace std::chrono_literals;

ProcessOptions shell(std::string script) {
  ProcessOptions options;
  options.argv = {"sh", "-c", std::move(script)};
  return options;
}

Task<> runs(std::function<Task<>()> body) { co_await body(); }

// Runs the lambda coroutine, which stays alive in this frame until it has ended.
template <class F>
void on_loop(F body) {
  Runtime runtime;
  std::function<Task<>()> kept = body;
  runtime.run(runs(kept));
}

TEST(RunProcess, GivesOutputsAndTheExitCode) {
  on_loop([]() -> Task<> {
    auto result = co_await run_process(shell("cat; echo oops >&2; exit 3"), "hello");
    EXPECT_TRUE(result.has_value());
    EXPECT_EQ(result->out, "hello");
    EXPECT_EQ(result->err, "oops\n");
    EXPECT_EQ(result->status.code, 3);
    EXPECT_FALSE(result->status.ok());
  });
}

TEST(RunProcess, PassesTheEnvironmentAndNothingElse) {
  ::setenv("MAINSTAY_TEST_LEAK", "1", 1);
  on_loop([]() -> Task<> {
    auto options = shell("echo $A-$MAINSTAY_TEST_LEAK-${PATH:+path}; pwd; ls /proc/self/fd | wc -l");
    options.env = {{"A", "b"}};
    options.working_directory = "/";
    const int leaked = ::open("/dev/null", O_RDONLY);  // not close-on-exec: must not get through either
    auto result = co_await run_process(std::move(options));
    ::close(leaked);
    EXPECT_EQ(result->out, "b--path\n/\n4\n") << "standard descriptors and ls's own";
  });
}

// Reads until `wanted` has come or the output ends.
Task<std::string> read_until(Process& process, std::string_view wanted) {
  std::string out;
  std::vector<char> buffer(256);
  while (out.find(wanted) == std::string::npos) {
    const std::size_t n = co_await process.read_stdout(buffer);
    if (n == 0) break;
    out.append(buffer.data(), n);
  }
  co_return out;
}

TEST(Process, HasATerminalOfItsOwn) {
  on_loop([]() -> Task<> {
    auto options =
        shell("test -t 0 && test -t 2 && trap 'stty size; exit 7' WINCH; echo ready; while :; do sleep 0.05; done");
    options.terminal = true;
    const Executor executor = co_await boost::asio::this_coro::executor;
    auto process = Process::start(executor, std::move(options));
    EXPECT_TRUE(process.has_value()) << process.error().message;
    EXPECT_THAT(co_await read_until(**process, "ready"), testing::HasSubstr("ready"));
    (*process)->resize(101, 37);
    EXPECT_THAT(co_await read_until(**process, "37 101"), testing::HasSubstr("37 101"));
    EXPECT_EQ((co_await (*process)->wait()).code, 7);
    std::vector<char> rest(64);
    while (co_await (*process)->read_stdout(rest) > 0) {
    }
  });
}

TEST(Process, ATerminalTakesInputAndPassesSignals) {
  on_loop([]() -> Task<> {
    auto options = shell("read line; echo got $line; exec sed -u 's/^/from sed: /'");
    options.terminal = true;
    const Executor executor = co_await boost::asio::this_coro::executor;
    auto process = Process::start(executor, std::move(options));
    EXPECT_TRUE(process.has_value());
    EXPECT_TRUE(co_await (*process)->write_stdin("hello\n"));
    EXPECT_THAT(co_await read_until(**process, "got hello"), testing::HasSubstr("got hello"));
    // A shell about to execute may lose an interrupt: sed answers first.
    EXPECT_TRUE(co_await (*process)->write_stdin("x\n"));
    EXPECT_THAT(co_await read_until(**process, "from sed: x"), testing::HasSubstr("from sed: x"));
    EXPECT_TRUE(co_await (*process)->write_stdin("\x03"));  // the terminal's interrupt character
    EXPECT_EQ((co_await (*process)->wait()).code, 128 + SIGINT);
  });
}

TEST(RunProcess, LargeInputAndOutputDoNotDeadlock) {
  on_loop([]() -> Task<> {
    const std::string input(3'000'000, 'x');
    auto result = co_await run_process(shell("cat"), input);
    EXPECT_TRUE(result->out == input);
    auto cut = co_await run_process(shell("cat"), input, 10s, 1000);
    EXPECT_EQ(cut->out.size(), 1000u);
    EXPECT_TRUE(cut->status.ok());
    // A program that reads nothing of its input ends all the same.
    auto deaf = co_await run_process(shell("exit 0"), input);
    EXPECT_TRUE(deaf->status.ok());
  });
}

TEST(RunProcess, KillsTheGroupAtTheLimit) {
  on_loop([]() -> Task<> {
    const auto begin = std::chrono::steady_clock::now();
    auto result = co_await run_process(shell("sleep 30 & sleep 30"), "", 50ms);
    EXPECT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, base::ErrorCode::kTimeout);
    EXPECT_THAT(result.error().message, testing::HasSubstr("sh did not end within"));
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 2s);
  });
}

TEST(RunProcess, DoesNotWaitForDaemonsThatHoldThePipe) {
  on_loop([]() -> Task<> {
    const auto begin = std::chrono::steady_clock::now();
    auto result = co_await run_process(shell("echo out; setsid sleep 4 &"));
    EXPECT_EQ(result->out, "out\n");
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 3500ms);
  });
}

TEST(RunProcess, SaysWhyAProgramCannotStart) {
  on_loop([]() -> Task<> {
    ProcessOptions missing;
    missing.argv = {"no-such-program-here"};
    auto result = co_await run_process(std::move(missing));
    EXPECT_EQ(result.error().code, base::ErrorCode::kNotFound);
    EXPECT_THAT(result.error().message, testing::HasSubstr("no-such-program-here not found in PATH"));
    auto folder = shell("true");
    folder.working_directory = "/no/such/folder";
    result = co_await run_process(std::move(folder));
    EXPECT_THAT(result.error().message, testing::HasSubstr("cannot enter the working directory"));
    ProcessOptions none;
    EXPECT_FALSE((co_await run_process(std::move(none))).has_value());
  });
}

TEST(Process, StreamsAndMergesOutputs) {
  on_loop([]() -> Task<> {
    auto options = shell("read line; echo \"got $line\"; echo error >&2; kill -TERM $$");
    options.pipe_stdin = true;
    options.merge_stderr = true;
    auto process = Process::start(co_await boost::asio::this_coro::executor, std::move(options));
    EXPECT_TRUE(process.has_value());
    EXPECT_TRUE(co_await (*process)->write_stdin("word\n"));
    std::string out;
    char buffer[64];
    while (const auto n = co_await (*process)->read_stdout(buffer)) out.append(buffer, n);
    EXPECT_EQ(out, "got word\nerror\n");
    EXPECT_EQ((co_await (*process)->wait()).code, 128 + SIGTERM);
    EXPECT_EQ((co_await (*process)->wait()).code, 128 + SIGTERM);
    EXPECT_FALSE(co_await (*process)->write_stdin("more"));
  });
}

TEST(Process, PassesDescriptorsWhereverTheyAreWanted) {
  on_loop([]() -> Task<> {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    EXPECT_EQ(::write(ends[1], "secret", 6), 6);
    ::close(ends[1]);
    auto options = shell("cat <&7");
    options.inherit_fds = {{ends[0], 7}};
    auto result = co_await run_process(std::move(options));
    ::close(ends[0]);
    EXPECT_EQ(result->out, "secret");
  });
}

TEST(Process, DestructionKillsAndReaps) {
  on_loop([]() -> Task<> {
    auto process = Process::start(co_await boost::asio::this_coro::executor, shell("sleep 60"));
    const pid_t pid = (*process)->pid();
    EXPECT_EQ(::kill(pid, 0), 0);
    process->reset();
    for (int i = 0; i < 200 && ::kill(pid, 0) == 0; ++i) co_await sleep_for(5ms);
    EXPECT_NE(::kill(pid, 0), 0) << "neither running nor a zombie";
  });
}

Task<> waits_on(std::shared_ptr<Process> process) { co_await process->wait(); }

TEST(Process, ACancelledWaitLeavesTheProcess) {
  on_loop([]() -> Task<> {
    auto executor = co_await boost::asio::this_coro::executor;
    auto started = Process::start(executor, shell("sleep 60"));
    std::shared_ptr<Process> process = *std::move(started);
    TaskGroup group(executor, "test");
    group.spawn("wait", waits_on(process));
    co_await sleep_for(5ms);
    group.cancel();
    co_await group.join();
    EXPECT_EQ(::kill(process->pid(), 0), 0);
    process->kill(SIGKILL);
    EXPECT_EQ((co_await process->wait()).code, 128 + SIGKILL);
  });
}

TEST(Process, OrphansAreReaped) {
  on_loop([]() -> Task<> {
    const auto file = std::filesystem::temp_directory_path() / ("mainstay-orphan-" + std::to_string(::getpid()));
    auto result = co_await run_process(shell("(sleep 0.1 >/dev/null 2>&1 & echo $! > " + file.string() + ")"));
    EXPECT_TRUE(result->status.ok());
    pid_t orphan = 0;
    std::ifstream(file) >> orphan;
    std::filesystem::remove(file);
    EXPECT_GT(orphan, 0);
    for (int i = 0; i < 300 && ::kill(orphan, 0) == 0; ++i) co_await sleep_for(10ms);
    EXPECT_NE(::kill(orphan, 0), 0);
  });
}

}  // namespace
}  // namespace mainstay::async
