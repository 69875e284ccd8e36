#include "platform/engine.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>

#include "async/foreign_process.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "platform/engine_files.h"

namespace mainstay::platform {
namespace fs = std::filesystem;
namespace {

constexpr std::chrono::milliseconds kFirstDelay{100};
constexpr std::chrono::milliseconds kLastDelay{10000};
// A process that held so long had started well: its next restart is at once again.
constexpr std::chrono::seconds kSettled{30};
constexpr std::size_t kLongestLine = 4096;
constexpr std::size_t kMostFoundLog = 1u << 20;

// One process of an engine, our child or one taken over.
struct Running {
  std::unique_ptr<async::Process> child;
  std::unique_ptr<async::ForeignProcess> foreign;
  base::SteadyTime since;

  pid_t pid() const { return child ? child->pid() : foreign->pid(); }
  void kill(int signal) const { child ? child->kill(signal) : foreign->kill(signal); }
  static async::Task<> ended(std::shared_ptr<Running> self) {
    if (self->child) {
      co_await self->child->wait();
    } else {
      co_await self->foreign->ended();
    }
  }
};
using RunningPtr = std::shared_ptr<Running>;

struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

}  // namespace

struct Engine::Impl : std::enable_shared_from_this<Engine::Impl> {
  Impl(Host& h, EngineOptions o) : host(h), options(std::move(o)), files(host.config().data_dir, options.name) {}

  Host& host;
  EngineOptions options;
  EngineFiles files;
  RunningPtr current;
  bool is_ready = false, stopping = false, was_adopted = false;
  bool replacing = false;  // the end of the present process is then expected: its successor told it to finish
  std::string trouble = "not started";
  bool was_ready = false, failed = false;
  std::chrono::milliseconds delay{0};
  std::vector<std::function<void()>> hooks;

  base::Result<RunningPtr> spawn(std::vector<std::string> argv);
  static async::Task<base::Result<>> bring_up(std::shared_ptr<Impl> self, RunningPtr process);
  static async::Task<base::Result<>> start_once(std::shared_ptr<Impl> self);
  static async::Task<bool> adopt(std::shared_ptr<Impl> self);
  static async::Task<> watch(std::shared_ptr<Impl> self, RunningPtr process);
  static async::Task<> restart(std::shared_ptr<Impl> self);
  static async::Task<> log_output(std::shared_ptr<Impl> self, RunningPtr process);
  void take_charge(RunningPtr process);
  void let_go(const RunningPtr& process) {
    if (process && process->child) process->child->release();
  }
  // What it said since it was started, for the error message.
  std::string last_words(std::uintmax_t from) const;
};

// Blocking for a moment: opening two files and a clone.
base::Result<RunningPtr> Engine::Impl::spawn(std::vector<std::string> argv) {
  async::ProcessOptions p;
  p.argv = std::move(argv);
  p.env = options.env;
  p.cgroup = files.memory_cgroup(options.memory_limit_bytes);
  p.die_with_parent = !options.detached;
  if (!options.detached && options.death_signal != SIGKILL)
    p.in_child = [signal = options.death_signal] { ::prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0); };
  Descriptor out, err;
  if (options.detached) {
    MAINSTAY_TRY_VOID(files.prepare());
    const fs::path output = options.output_file.empty() ? files.log() : options.output_file;
    out.fd = ::open(output.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    err.fd = ::open(files.log().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (out.fd < 0 || err.fd < 0)
      return base::fail(base::ErrorCode::kInternal,
                        fmt::format("cannot open {} for the output of {}", (out.fd < 0 ? output : files.log()).string(),
                                    options.name));
    p.pipe_stdout = p.pipe_stderr = false;
    p.inherit_fds = {{out.fd, 1}, {err.fd, 2}};
  } else {
    p.merge_stderr = true;
  }
  auto process = std::make_shared<Running>();
  MAINSTAY_TRY(process->child, async::Process::start(host.runtime().executor(), std::move(p)));
  process->since = host.clock().steady();
  if (!options.detached) host.tasks().spawn(options.name + " output", log_output(shared_from_this(), process));
  return process;
}

async::Task<> Engine::Impl::log_output(std::shared_ptr<Impl> self, RunningPtr process) {
  std::string pending;
  std::vector<char> buffer(8192);
  while (const std::size_t n = co_await process->child->read_stdout(buffer)) {
    pending.append(buffer.data(), n);
    std::size_t at;
    while ((at = pending.find('\n')) != std::string::npos || pending.size() > kLongestLine) {
      const std::size_t length = std::min(at, kLongestLine);
      base::log::info(self->options.name, "{}", std::string_view(pending).substr(0, length));
      self->trouble = pending.substr(0, length);
      pending.erase(0, length + (at == length ? 1 : 0));
    }
  }
}

std::string Engine::Impl::last_words(std::uintmax_t from) const {
  if (!options.detached) return trouble;
  auto text = base::read_file(files.log(), kMostFoundLog * 64);
  if (!text || text->size() <= from) return "";
  std::string_view said = base::trim(std::string_view(*text).substr(from));
  if (said.size() > 1000) said = said.substr(said.size() - 1000);
  return std::string(said);
}

// Until ready, or its end, or start_limit. A process that did not come up is ended.
async::Task<base::Result<>> Engine::Impl::bring_up(std::shared_ptr<Impl> self, RunningPtr process) {
  std::error_code ignored;
  const std::uintmax_t spoken =
      self->options.detached && fs::exists(self->files.log(), ignored) ? self->files.said_before_start : 0;
  const base::SteadyTime deadline = self->host.clock().steady() + self->options.start_limit;
  std::chrono::milliseconds pause{1};
  for (;;) {
    if (!self->options.ready || co_await self->options.ready(process->pid())) co_return base::Result<>{};
    const bool ended = co_await async::with_timeout(Running::ended(process), pause);
    const bool late = self->host.clock().steady() >= deadline;
    if (ended || late) {
      process->kill(SIGKILL);
      const std::string said = self->last_words(spoken);
      co_return base::fail(
          base::ErrorCode::kUnavailable,
          fmt::format("{} {}{}{}", self->options.name,
                      ended ? "ended at its start"
                            : fmt::format("was not ready within {} ms", self->options.start_limit.count()),
                      said.empty() ? "" : ": ", said));
    }
    pause = std::min(pause * 2, std::chrono::milliseconds(50));
  }
}

void Engine::Impl::take_charge(RunningPtr process) {
  current = process;
  is_ready = was_ready = true;
  trouble.clear();
  if (options.detached) {
    if (auto written = files.write_pid(process->pid(), options.argv); !written)
      base::log::warn(options.name, "{}: a restart of Mainstay may not find it", written.error().message);
  }
  host.tasks().spawn(options.name, watch(shared_from_this(), process));
}

async::Task<bool> Engine::Impl::adopt(std::shared_ptr<Impl> self) {
  if (!self->options.detached) co_return false;
  pid_t pid = 0;
  if (self->options.find_running) pid = co_await self->options.find_running();
  if (pid == 0) pid = self->files.read_pid();
  if (pid == 0) co_return false;
  auto foreign = async::ForeignProcess::open(self->host.runtime().executor(), pid);
  if (!foreign) co_return false;
  auto process = std::make_shared<Running>();
  process->foreign = std::move(*foreign);
  process->since = self->host.clock().steady();
  if (self->options.ready && !co_await self->options.ready(pid)) {
    base::log::warn(self->options.name, "process {} of an earlier run does not answer: starting anew", pid);
    process->kill(SIGKILL);
    co_await async::with_timeout(Running::ended(process), std::chrono::seconds(2));
    co_return false;
  }
  self->was_adopted = true;
  self->take_charge(std::move(process));
  base::log::info(self->options.name, "adopted process {}, which kept running", pid);
  co_return true;
}

async::Task<base::Result<>> Engine::Impl::start_once(std::shared_ptr<Impl> self) {
  if (self->options.prepare) MAINSTAY_CO_TRY_VOID(co_await self->options.prepare());
  self->files.note_log_size();
  MAINSTAY_CO_TRY(RunningPtr process, self->spawn(self->options.argv));
  MAINSTAY_CO_TRY_VOID(co_await bring_up(self, process));
  self->was_adopted = false;
  self->take_charge(std::move(process));
  co_return base::Result<>{};
}

async::Task<> Engine::Impl::watch(std::shared_ptr<Impl> self, RunningPtr process) {
  co_await Running::ended(process);
  if (self->stopping || self->replacing || self->current != process) co_return;  // it was asked to, or has a successor
  const auto lived = self->host.clock().steady() - process->since;
  self->current = nullptr;
  self->is_ready = false;
  self->trouble = fmt::format("process {} ended", process->pid());
  base::log::warn(self->options.name, "process {} ended after {:.1f} s: starting it again", process->pid(),
                  std::chrono::duration<double>(lived).count());
  if (lived >= kSettled) self->delay = std::chrono::milliseconds(0);
  co_await restart(self);
}

async::Task<> Engine::Impl::restart(std::shared_ptr<Impl> self) {
  while (!self->stopping) {
    if (self->delay.count() > 0) co_await async::sleep_for(self->delay);
    self->delay = std::clamp(self->delay * 2, kFirstDelay, kLastDelay);
    if (self->stopping) co_return;
    const auto started = co_await start_once(self);
    if (started) {
      for (const auto& hook : self->hooks) hook();
      co_return;
    }
    self->trouble = started.error().message;
    self->failed = true;
    base::log::error(self->options.name, "{}; next start in {:.1f} s", self->trouble,
                     std::chrono::duration<double>(self->delay).count());
  }
}

Engine::Engine(Host& host, EngineOptions options) : impl_(std::make_shared<Impl>(host, std::move(options))) {}
Engine::~Engine() {
  if (impl_->options.detached) impl_->let_go(impl_->current);
}

async::Task<base::Result<>> Engine::start() {
  const auto impl = impl_;
  if (impl->current || impl->stopping) co_return base::Result<>{};
  if (co_await Impl::adopt(impl)) co_return base::Result<>{};
  auto started = co_await Impl::start_once(impl);
  if (!started) {
    impl->trouble = started.error().message;
    impl->failed = true;
    impl->delay = kFirstDelay;
    impl->host.tasks().spawn(impl->options.name, Impl::restart(impl));
  }
  co_return started;
}

async::Task<base::Result<>> Engine::replace() {
  const auto impl = impl_;
  const RunningPtr old = impl->current;
  if (!old) co_return base::fail(base::ErrorCode::kUnavailable, impl->options.name + " does not run");
  if (!impl->options.successor_argv)
    co_return base::fail(base::ErrorCode::kInternal, impl->options.name + " cannot be replaced while it runs");
  struct Replacing {
    bool& flag;
    explicit Replacing(bool& f) : flag(f) { flag = true; }
    ~Replacing() { flag = false; }
  };
  base::Result<> ready;
  RunningPtr next;
  {
    const Replacing mark(impl->replacing);
    impl->files.note_log_size();
    auto spawned = impl->spawn(impl->options.successor_argv(old->pid()));
    if (!spawned) {
      ready = std::unexpected(spawned.error());
    } else {
      next = *spawned;
      ready = co_await Impl::bring_up(impl, next);
    }
  }
  if (!ready) {
    // The old one may have ended meanwhile, unseen: look again.
    impl->host.tasks().spawn(impl->options.name, Impl::watch(impl, old));
    co_return ready;
  }
  impl->let_go(old);  // it finishes in its own time
  impl->was_adopted = false;
  impl->take_charge(std::move(next));
  co_return base::Result<>{};
}

async::Task<> Engine::stop() {
  const auto impl = impl_;
  if (!impl->options.detached) {
    co_await terminate();
    co_return;
  }
  impl->stopping = true;
  impl->let_go(impl->current);
}

async::Task<> Engine::terminate() {
  const auto impl = impl_;
  impl->stopping = true;
  const RunningPtr process = impl->current;
  if (!process) co_return;
  process->kill(impl->options.stop_signal);
  if (!co_await async::with_timeout(Running::ended(process), impl->options.stop_limit)) process->kill(SIGKILL);
  impl->is_ready = false;
  if (impl->options.detached) {
    std::error_code ignored;
    fs::remove(impl->files.pid_file(), ignored);
  }
}

bool Engine::running() const { return impl_->is_ready; }
bool Engine::adopted() const { return impl_->was_adopted; }
pid_t Engine::pid() const { return impl_->current ? impl_->current->pid() : 0; }
Health Engine::health() const {
  if (impl_->is_ready) return {true, fmt::format("process {}", pid())};
  // Nothing is wrong with an engine that is on its way: a start that takes too long becomes a failure of its own.
  if (!impl_->was_ready && !impl_->failed) return {true, fmt::format("{} is starting", impl_->options.name)};
  return {false, fmt::format("{} does not run: {}", impl_->options.name, impl_->trouble)};
}
void Engine::on_restart(std::function<void()> hook) { impl_->hooks.push_back(std::move(hook)); }

}  // namespace mainstay::platform
