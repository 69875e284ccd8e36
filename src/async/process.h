// Child processes on the event loop. Secrets go in by standard input, files or inherited descriptors, never by
// arguments.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "async/task.h"
#include "base/result.h"

namespace mainstay::async {

struct ProcessOptions {
  std::vector<std::string> argv;            // argv[0] looked up in PATH
  std::map<std::string, std::string> env;   // the whole environment, but for PATH, which is inherited where absent
  std::filesystem::path working_directory;  // empty: ours
  bool pipe_stdin = false, pipe_stdout = true, pipe_stderr = true;  // not piped: /dev/null
  bool merge_stderr = false;                                        // stderr into the stdout pipe
  bool terminal = false;  // all three are one new pseudo-terminal, the child's controlling one; needs new_session
  std::vector<std::pair<int, int>> inherit_fds;  // (our descriptor, its number in the child)
  std::filesystem::path cgroup;    // cgroup directories joined before exec: "cgroup.procs" is written there
  bool new_session = true;         // setsid: a kill reaches the whole group
  bool die_with_parent = true;     // PR_SET_PDEATHSIG(SIGKILL)
  std::function<void()> in_child;  // after fork, before exec: async-signal-safe calls only
};

struct ExitStatus {
  int code = -1;  // as a shell gives it: 128 + signal where a signal ended it
  bool ok() const { return code == 0; }
};

class Process {
 public:
  static base::Result<std::unique_ptr<Process>> start(Executor executor, ProcessOptions options);
  ~Process();      // kills the group and reaps it, where it still runs and has not been released
  void release();  // from now on it outlives this object, and the program
  pid_t pid() const;
  Task<ExitStatus> wait();                                // many may wait
  void kill(int signal);                                  // the process group
  Task<std::size_t> read_stdout(std::span<char> buffer);  // 0 at the end
  Task<std::size_t> read_stderr(std::span<char> buffer);
  Task<bool> write_stdin(std::string_view data);  // false: it closed its end
  void close_stdin();                             // of a terminal: no more is written; the child sees no end of input
  void resize(std::uint16_t columns, std::uint16_t rows);  // of a terminal

 private:
  struct Impl;
  explicit Process(std::shared_ptr<Impl> impl);
  static base::Result<std::unique_ptr<Process>> start_in_terminal(Executor executor, ProcessOptions options);
  std::shared_ptr<Impl> impl_;
};

struct ProcessOutput {
  ExitStatus status;
  std::string out, err;  // each cut at max_output
};
// Starts, feeds `input`, reads both outputs, waits. Killed at `limit` (then kTimeout). A nonzero exit is not an error
// here.
Task<base::Result<ProcessOutput>> run_process(ProcessOptions options, std::string input = "",
                                              std::chrono::nanoseconds limit = std::chrono::seconds(60),
                                              std::size_t max_output = 8u << 20);

}  // namespace mainstay::async
