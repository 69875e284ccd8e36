#include "capabilities/compute/runtime/runtime.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/files.h"
#include "base/json.h"
#include "base/log.h"
#include "base/strings.h"
#include "capabilities/compute/fs.h"
#include "capabilities/compute/runtime/spawn.h"
#include "capabilities/compute/wrapper/runtime_wrapper.h"
#include "crypto/digest.h"

namespace mainstay::compute {
namespace fs = std::filesystem;
using base::ErrorCode;
using base::fail;
namespace {

constexpr std::chrono::milliseconds kCreateLimit{60'000}, kCallLimit{20'000};
const std::vector<std::string> kEnvironment{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};

std::string program(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    for (const char* dir : {"/usr/bin/", "/usr/sbin/", "/usr/local/bin/", "/usr/local/sbin/", "/bin/", "/sbin/"}) {
      const std::string path = std::string(dir) + name;
      if (::access(path.c_str(), X_OK) == 0) return path;
    }
  }
  return "";
}

int to_number(std::string_view text, int fallback) {
  text = base::trim(text);
  int out = fallback;
  std::from_chars(text.data(), text.data() + text.size(), out);
  return out;
}

// crun's and runc's errors are one line of JSON or of text, after their own name.
std::string first_error(std::string text) {
  if (const auto end = text.find('\n'); end != std::string::npos) text.resize(end);
  if (auto parsed = base::parse_json(text); parsed && parsed->is_object())
    text = base::get_string(*parsed, "msg", text);
  if (text.size() > 1000) text.resize(1000);
  return text;
}

fs::path absolute_data_dir(const base::Config& config) {
  std::error_code ignored;
  const fs::path real = fs::weakly_canonical(config.data_dir, ignored);
  return ignored ? fs::absolute(config.data_dir) : real;
}

}  // namespace

RunPaths::RunPaths(const base::Config& config)
    : tag(crypto::sha256_hex(absolute_data_dir(config).string()).substr(0, 8)),
      root(fs::path("/run/mainstay") / tag),
      exits(root / "exits"),
      sockets(root / "s"),
      crun(root / "crun"),
      cgroup("/mainstay/" + tag) {}

bool unified_cgroups() {
  struct statfs info{};
  return ::statfs("/sys/fs/cgroup", &info) == 0 && info.f_type == CGROUP2_SUPER_MAGIC;
}

bool hybrid_cgroups() {
  return !unified_cgroups() && !std::string(base::trim(slurp("/sys/fs/cgroup/unified/cgroup.controllers"))).empty();
}

namespace {

void remove_cgroup_directory(const fs::path& directory, int depth) {
  std::error_code ignored;
  for (fs::directory_iterator it(directory, ignored), end; !ignored && it != end; it.increment(ignored)) {
    if (it->is_directory(ignored) && depth < 8) remove_cgroup_directory(it->path(), depth + 1);
  }
  ::rmdir(directory.c_str());
}

}  // namespace

void remove_cgroup(const std::string& path) {
  if (unified_cgroups()) return remove_cgroup_directory("/sys/fs/cgroup" + path, 0);
  std::error_code ignored;
  for (const auto& hierarchy : fs::directory_iterator("/sys/fs/cgroup", ignored)) {
    if (hierarchy.is_symlink(ignored)) continue;  // cpu,cpuacct under a second name
    const fs::path directory = hierarchy.path().string() + path;
    if (fs::exists(directory, ignored)) remove_cgroup_directory(directory, 0);
  }
}

base::Result<ContainerRuntime> ContainerRuntime::open(const base::Config& config) {
  ContainerRuntime out(config);
  for (const fs::path& dir : {out.paths_.exits, out.paths_.sockets, out.paths_.crun})
    MAINSTAY_TRY_VOID(base::make_directories(dir, 0711));
  ::chmod("/run/mainstay", 0711);
  ::chmod(out.paths_.root.c_str(), 0711);
  out.conmon_ = program({"conmon"});
  if (out.conmon_.empty())
    return fail(ErrorCode::kUnavailable, "conmon is not installed, so no pod can run here: apt-get install conmon");
  out.hybrid_ = hybrid_cgroups();
  out.runtime_ = program({"crun"});
  if (out.runtime_.empty()) {
    out.runtime_ = program({"runc"});
    out.crun_ = false;
    if (out.runtime_.empty())
      return fail(ErrorCode::kUnavailable,
                  "neither crun nor runc is installed, so no pod can run here: apt-get install crun");
  }
  const auto version = spawn_and_wait({out.runtime_, "--version"}, kCallLimit, kEnvironment);
  if (version) {
    const auto line = std::string_view(version->output).substr(0, version->output.find('\n'));
    out.version_ = std::string(line);
    std::erase(out.version_, '\r');
    if (const auto at = out.version_.find(" version "); at != std::string::npos) out.version_.replace(at, 9, " ");
  }
  // Also where crun needs no wrapper: its --pause is the process that warms cgroups up.
  const fs::path wrapper = out.paths_.root / "runtime-wrapper";
  MAINSTAY_TRY_VOID(write_light(wrapper, runtime_wrapper_program(), 0755));
  out.wrapper_ = wrapper;
  if (out.hybrid_ && out.crun_) out.runtime_ = wrapper;
  return out;
}

std::vector<std::string> ContainerRuntime::command(std::initializer_list<std::string> more) const {
  std::vector<std::string> out{runtime_, "--root=" + paths_.crun.string()};
  out.insert(out.end(), more);
  return out;
}

base::Result<pid_t> ContainerRuntime::create(const Create& what) const {
  std::vector<std::string> argv{conmon_,
                                "--api-version",
                                "1",
                                "--cid",
                                what.id,
                                "--cuuid",
                                what.id,
                                "--name",
                                what.id,
                                "--bundle",
                                what.bundle,
                                "--runtime",
                                runtime_,
                                "--runtime-arg",
                                "--root=" + paths_.crun.string(),
                                "--container-pidfile",
                                what.bundle / "pidfile",
                                "--conmon-pidfile",
                                what.bundle / "conmon.pid",
                                "--log-path",
                                "k8s-file:" + what.log.string(),
                                "--exit-dir",
                                paths_.exits,
                                "--persist-dir",
                                what.bundle,
                                "--socket-dir-path",
                                paths_.sockets,
                                "--log-level",
                                "warning"};
  if (what.stdin_open) argv.emplace_back("-i");
  if (what.stdin_open && !what.stdin_once) argv.emplace_back("--leave-stdin-open");
  if (what.terminal) argv.emplace_back("-t");
  std::vector<std::string> environment = kEnvironment;
  environment.emplace_back("_OCI_SYNCPIPE=3");
  MAINSTAY_TRY(const std::string line, spawn_and_read_line(argv, kCreateLimit, environment));
  auto answer = base::parse_json(line);
  if (!answer) return fail(ErrorCode::kUnavailable, "conmon ended before the container was made; see the system log");
  const auto pid = base::get_int(*answer, "data", -1);
  if (pid <= 0)
    return fail(ErrorCode::kInvalid, first_error(base::get_string(*answer, "message", "the runtime gave no reason")));
  return static_cast<pid_t>(pid);
}

base::Result<> ContainerRuntime::start(const std::string& id) const {
  MAINSTAY_TRY(const SpawnResult result, spawn_and_wait(command({"start", id}), kCallLimit, kEnvironment));
  if (result.code != 0) return fail(ErrorCode::kInvalid, first_error(result.output));
  return {};
}

base::Result<> ContainerRuntime::kill(const std::string& id, int signal) const {
  MAINSTAY_TRY(const SpawnResult result,
               spawn_and_wait(command({"kill", id, std::to_string(signal)}), kCallLimit, kEnvironment));
  if (result.code != 0) return fail(ErrorCode::kNotFound, first_error(result.output));
  return {};
}

void ContainerRuntime::remove(const std::string& id) const {
  if (fs::exists(paths_.crun / id)) {
    const auto result = spawn_and_wait(command({"delete", "-f", id}), kCallLimit, kEnvironment);
    if (!result) base::log::warn("compute", "container {}: {}", id, result.error().message);
  }
  ::unlink((paths_.exits / id).c_str());
  ::unlink((paths_.sockets / id).c_str());
}

std::vector<std::string> ContainerRuntime::exec_argv(const std::string& id, const fs::path& process_file) const {
  return command({"exec", "--process", process_file, id});
}

std::vector<std::string> ContainerRuntime::list() const {
  std::vector<std::string> out;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(paths_.crun, ignored)) {
    if (entry.is_directory(ignored)) out.push_back(entry.path().filename());
  }
  return out;
}

std::optional<int> ContainerRuntime::exit_code(const std::string& id) const {
  const std::string text = slurp(paths_.exits / id, 32);
  if (text.empty()) return std::nullopt;
  return to_number(text, 255);
}

bool ContainerRuntime::oom_killed(const std::string& cgroup_path) const {
  const bool v2 = unified_cgroups();
  const std::string text = slurp(v2 ? "/sys/fs/cgroup" + cgroup_path + "/memory.events"
                                    : "/sys/fs/cgroup/memory" + cgroup_path + "/memory.oom_control");
  for (std::string_view line : base::split(text, '\n')) {
    if (line.starts_with("oom_kill ")) return to_number(line.substr(9), 0) > 0;
  }
  return false;
}

pid_t ContainerRuntime::conmon_pid(const fs::path& bundle, const std::string& id) const {
  const int pid = to_number(slurp(bundle / "conmon.pid", 32), 0);
  if (pid <= 1) return 0;
  // Pids are used again: the command line has to name the container.
  const std::string command_line = slurp(fmt::format("/proc/{}/cmdline", pid), 16384);
  return command_line.find(id) != std::string::npos ? pid : 0;
}

void ContainerRuntime::reopen_log(const fs::path& bundle) const {
  // conmon's control fifo: message 2 makes it open its log file anew.
  Fd fd(::open((bundle / "ctl").c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fd.ok() || ::write(fd.get(), "2 0 0\n", 6) != 6)
    base::log::warn("compute", "cannot ask conmon in {} to reopen its log", bundle.string());
}

}  // namespace mainstay::compute
