// What an image's configuration says of the process to run (OCI image-spec, config.md), and users looked up in its
// files.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace mainstay::compute {
namespace json = boost::json;

struct ImageConfig {
  std::vector<std::string> entrypoint, command;
  std::map<std::string, std::string> env;
  std::string working_dir, user;
  int stop_signal = 15;
};
ImageConfig read_image_config(const json::value& config);

// args of a container: its command and args over the image's, as Kubernetes has it (a command drops the image's Cmd
// too).
std::vector<std::string> merge_command(const ImageConfig& image, const std::vector<std::string>& command,
                                       const std::vector<std::string>& args);

struct ProcessUser {
  std::uint32_t uid = 0, gid = 0;
  std::vector<std::uint32_t> groups;
  std::string home = "/";
};
// "user", "uid", "user:group"… against the text of the image's /etc/passwd and /etc/group. kInvalid where a name is
// unknown.
base::Result<ProcessUser> find_user(std::string_view user, std::string_view passwd, std::string_view group);
// "SIGQUIT", "QUIT" or "3"; nullopt where unknown.
std::optional<int> signal_number(std::string_view name);

}  // namespace mainstay::compute
