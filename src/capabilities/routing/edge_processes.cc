#include <charconv>
#include <fstream>

#include "base/strings.h"
#include "capabilities/routing/capability.h"

namespace mainstay::routing {
namespace fs = std::filesystem;

std::vector<EdgeProcess> edge_processes() {
  std::vector<EdgeProcess> out;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename();
    EdgeProcess found;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), found.pid);
    if (error != std::errc() || end != name.data() + name.size()) continue;
    std::ifstream in(entry.path() / "cmdline", std::ios::binary);
    std::string command(4096, '\0');
    in.read(command.data(), static_cast<std::streamsize>(command.size()));
    command.resize(static_cast<std::size_t>(in.gcount()));
    const auto arguments = base::split(command, '\0');
    // haproxy -f DIR/edge/haproxy.cfg …, as the engine starts it
    if (arguments.size() < 3 || fs::path(arguments[0]).filename() != "haproxy" || arguments[1] != "-f") continue;
    const fs::path config(arguments[2]);
    if (config.filename() != "haproxy.cfg" || config.parent_path().filename() != "edge" || !config.is_absolute())
      continue;
    found.data_dir = config.parent_path().parent_path();
    // Of another mount namespace (a container's) we cannot tell what is there.
    std::error_code unseen;
    const fs::path there = fs::read_symlink(entry.path() / "ns" / "mnt", unseen),
                   here = fs::read_symlink("/proc/self/ns/mnt", unseen);
    found.orphaned = !unseen && there == here && !fs::exists(found.data_dir, ignored);
    out.push_back(std::move(found));
  }
  return out;
}

}  // namespace mainstay::routing
