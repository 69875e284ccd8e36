// down: ends the program, and takes away everything that outlives it: containers, mounts, links, namespaces, firewall
// rules, engines.
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "base/config.h"
#include "base/files.h"
#include "base/json.h"
#include "capabilities/compute/capability.h"
#include "capabilities/routing/mesh/mesh.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "platform/engine.h"

namespace mainstay::cli {
namespace fs = std::filesystem;
namespace {

struct DownOptions {
  std::string data_dir = "/var/lib/mainstay";
};

constexpr std::chrono::seconds kEndLimit{30};

// Ends the program that serves the directory, if any, and takes its lock, so that none is started meanwhile. The result
// is what is wrong, "" where nothing is.
std::string end_program(const fs::path& dir, int& lock) {
  const std::string path = dir / "lock";
  lock = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (lock < 0) return errno == ENOENT ? "" : fmt::format("cannot open {}: {}", path, strerror(errno));
  const auto end = std::chrono::steady_clock::now() + kEndLimit;
  pid_t told = 0;
  while (::flock(lock, LOCK_EX | LOCK_NB) != 0) {
    // Written after the lock is taken, and by an earlier holder before: the holder now is told as soon as it is there.
    const auto text = base::read_file(path, 64);
    pid_t holder = 0;
    if (text) std::from_chars(text->data(), text->data() + text->size(), holder);
    if (holder > 1 && holder != told && ::kill(holder, SIGTERM) == 0) told = holder;
    if (std::chrono::steady_clock::now() > end)
      return fmt::format("the mainstay that serves {} ({}) has not ended in {} s; end it and try again", dir.string(),
                         holder > 1 ? fmt::format("process {}", holder) : "its process is not known",
                         kEndLimit.count());
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return "";
}

int down(const DownOptions& o) {
  base::Config config;
  config.data_dir = fs::absolute(o.data_dir);
  if (!fs::exists(config.data_dir)) {
    std::fprintf(stderr, "mainstay down: nothing below %s\n", config.data_dir.c_str());
    return kDone;
  }
  if (::geteuid() != 0) {
    std::fprintf(stderr, "mainstay down: containers, mounts and firewall rules are root's: run with sudo\n");
    return kUsage;
  }
  int lock = -1;
  if (const std::string trouble = end_program(config.data_dir, lock); !trouble.empty()) {
    std::fprintf(stderr, "mainstay down: %s\n", trouble.c_str());
    return kFailed;
  }
  // As it was last started: its bridge and its networks.
  if (auto text = base::read_file(config.dir("run") / "settings.json", 1u << 16)) {
    if (auto settings = base::parse_json(*text)) {
      config.bridge = base::get_string(*settings, "bridge", config.bridge);
      config.pod_cidr = base::get_string(*settings, "podCidr", config.pod_cidr);
      config.service_cidr = base::get_string(*settings, "serviceCidr", config.service_cidr);
    }
  }
  platform::stop_detached_engines(config.data_dir);
  try {
    compute::compute_down(config);
    mesh::mesh_down(config);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "mainstay down: %s\n", e.what());
    return kFailed;
  }
  print("down: no container, mount, link or rule of Mainstay is left\n");
  return kDone;
}

}  // namespace

void add_down_verb(Command app, Context& context) {
  auto o = std::make_shared<DownOptions>();
  Command sub = app.add_subcommand(
      "down", "End the program, and take away what outlives it: containers, mounts, links, rules, engines");
  sub.option("--data-dir", o->data_dir, "The data directory it was started with").show_default();
  sub.callback([&context, o] { context.chosen = [o] { return down(*o); }; });
}

}  // namespace mainstay::cli
