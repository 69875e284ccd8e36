// down: takes away everything that outlives the program: containers, mounts, links, namespaces, firewall rules,
// engines.
#include <unistd.h>

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
  Command sub = app.add_subcommand("down",
                                   "Take away what outlives the program: containers, mounts, links, rules, engines "
                                   "(the program itself must be stopped)");
  sub.option("--data-dir", o->data_dir, "The data directory it was started with").show_default();
  sub.callback([&context, o] { context.chosen = [o] { return down(*o); }; });
}

}  // namespace mainstay::cli
