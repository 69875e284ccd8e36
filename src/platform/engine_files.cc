#include "platform/engine_files.h"

#include <fmt/core.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <fstream>

#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "crypto/digest.h"
#include "platform/engine.h"

namespace mainstay::platform {
namespace fs = std::filesystem;
namespace {

constexpr std::uintmax_t kLargestLog = 1u << 20;

std::uint64_t number(std::string_view text) {
  std::uint64_t n = 0;
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

// proc files have no size: read to the end, bounded.
std::string slurp(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::string out(64 * 1024, '\0');
  in.read(out.data(), static_cast<std::streamsize>(out.size()));
  out.resize(static_cast<std::size_t>(in.gcount()));
  return out;
}

bool has_memory_v1() {
  std::error_code error;
  return fs::exists("/sys/fs/cgroup/memory/memory.limit_in_bytes", error);
}

fs::path engine_cgroups() {
  return fs::path(has_memory_v1() ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup") / "mainstay-engines";
}

// Two Mainstays of one machine must not share a limit: the data directory tells their engines' cgroups apart.
std::string cgroup_suffix(const fs::path& data_dir) {
  std::error_code error;
  const fs::path whole = fs::weakly_canonical(data_dir, error);
  return "-" + crypto::sha256_hex((error ? data_dir : whole).string()).substr(0, 12);
}

// The kernel refuses to remove one that has processes, which is right.
void remove_cgroups(const fs::path& data_dir) {
  const std::string suffix = cgroup_suffix(data_dir);
  std::error_code ignored;
  std::vector<fs::path> ours;
  for (const fs::directory_entry& entry : fs::directory_iterator(engine_cgroups(), ignored)) {
    if (entry.is_directory(ignored) && entry.path().filename().string().ends_with(suffix)) ours.push_back(entry.path());
  }
  for (const fs::path& cgroup : ours) ::rmdir(cgroup.c_str());
}

struct PidFile {
  pid_t pid = 0;
  std::uint64_t ticks = 0;
  std::string command;  // arguments, each ended by NUL, as in /proc/<pid>/cmdline
};

PidFile parse_pid_file(const fs::path& path) {
  PidFile out;
  const std::string text = slurp(path);
  int line_number = 0;
  for (std::string_view line : base::split(text, '\n')) {
    if (line_number == 0) out.pid = static_cast<pid_t>(number(line));
    if (line_number == 1) out.ticks = number(line);
    if (line_number >= 2 && !line.empty()) out.command.append(line).push_back('\0');
    ++line_number;
  }
  return out;
}

// Those that run the same command, perhaps with more arguments: predecessors that finish, and one that a crash left
// unnamed.
std::vector<pid_t> same_command(const std::string& command) {
  std::vector<pid_t> out;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const pid_t pid = static_cast<pid_t>(number(name));
    if (slurp(entry.path() / "cmdline").starts_with(command) && process_start_ticks(pid) != 0) out.push_back(pid);
  }
  return out;
}

}  // namespace

std::uint64_t process_start_ticks(pid_t pid) {
  const std::string stat = slurp(fmt::format("/proc/{}/stat", pid));
  const auto after_name = stat.rfind(')');  // the name may hold anything
  if (after_name == std::string::npos || after_name + 2 >= stat.size()) return 0;
  const auto fields = base::split(std::string_view(stat).substr(after_name + 2), ' ');
  if (fields.size() < 20 || fields[0] == "Z" || fields[0] == "X") return 0;
  return number(fields[19]);
}

EngineFiles::EngineFiles(const fs::path& data_dir, std::string name)
    : folder_(data_dir / "run" / "engines"), name_(std::move(name)), cgroup_(name_ + cgroup_suffix(data_dir)) {}

base::Result<> EngineFiles::prepare() const { return base::make_directories(folder_, 0755); }

base::Result<> EngineFiles::write_pid(pid_t pid, const std::vector<std::string>& argv) const {
  MAINSTAY_TRY_VOID(prepare());
  std::string text = fmt::format("{}\n{}\n", pid, process_start_ticks(pid));
  for (const std::string& argument : argv) text += argument + "\n";
  return base::write_file(pid_file(), text, 0644);
}

pid_t EngineFiles::read_pid() const {
  const PidFile file = parse_pid_file(pid_file());
  return file.pid > 0 && file.ticks != 0 && process_start_ticks(file.pid) == file.ticks ? file.pid : 0;
}

void EngineFiles::note_log_size() {
  std::error_code error;
  said_before_start = fs::file_size(log(), error);
  if (error) said_before_start = 0;
  if (said_before_start <= kLargestLog) return;
  fs::resize_file(log(), 0, error);  // opened for appending: the writers go on at its end
  said_before_start = 0;
}

fs::path EngineFiles::memory_cgroup(std::uint64_t limit_bytes) const {
  if (limit_bytes == 0) return {};
  std::error_code error;
  const bool v1 = has_memory_v1();
  const fs::path dir = engine_cgroups() / cgroup_;
  fs::create_directories(dir, error);
  // Version 2 hands a controller on from level to level.
  if (!v1) std::ofstream(dir.parent_path() / "cgroup.subtree_control") << "+memory" << std::flush;
  std::ofstream limit(dir / (v1 ? "memory.limit_in_bytes" : "memory.max"));
  if (error || !(limit << limit_bytes << std::flush)) {
    base::log::warn(name_, "its memory cannot be limited here (no writable memory cgroup)");
    return {};
  }
  return dir;
}

std::vector<DetachedEngine> detached_engines(const fs::path& data_dir) {
  std::vector<DetachedEngine> out;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(data_dir / "run" / "engines", ignored)) {
    if (entry.path().extension() != ".pid") continue;
    const PidFile file = parse_pid_file(entry.path());
    DetachedEngine engine;
    engine.name = entry.path().stem();
    if (!file.command.empty()) engine.pids = same_command(file.command);
    if (file.pid > 0 && file.ticks != 0 && process_start_ticks(file.pid) == file.ticks &&
        std::find(engine.pids.begin(), engine.pids.end(), file.pid) == engine.pids.end()) {
      engine.pids.push_back(file.pid);
    }
    if (!engine.pids.empty()) out.push_back(std::move(engine));
  }
  return out;
}

void stop_detached_engines(const fs::path& data_dir, std::chrono::milliseconds limit) {
  struct Target {
    int fd;
    pid_t pid;
  };
  std::vector<Target> targets;
  for (const DetachedEngine& engine : detached_engines(data_dir)) {
    for (const pid_t pid : engine.pids) {
      const int fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
      if (fd >= 0) targets.push_back({fd, pid});
    }
  }
  for (const Target& target : targets) ::syscall(SYS_pidfd_send_signal, target.fd, SIGTERM, nullptr, 0);
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (const Target& target : targets) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    pollfd wait{target.fd, POLLIN, 0};
    if (::poll(&wait, 1, static_cast<int>(std::max<std::int64_t>(0, left))) != 1) {
      ::syscall(SYS_pidfd_send_signal, target.fd, SIGKILL, nullptr, 0);
      ::poll(&wait, 1, 1000);
    }
    ::close(target.fd);
  }
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(data_dir / "run" / "engines", ignored)) {
    if (entry.path().extension() == ".pid") fs::remove(entry.path(), ignored);
  }
  remove_cgroups(data_dir);
}

}  // namespace mainstay::platform
