#include "capabilities/compute/image/image_config.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>

#include "base/strings.h"

namespace mainstay::compute {
using base::ErrorCode;
using base::fail;
namespace {

std::vector<std::string> list(const json::value& object, std::string_view path) {
  std::vector<std::string> out;
  for (const json::value& item : base::get_array(object, path)) {
    if (item.is_string()) out.emplace_back(item.as_string());
  }
  return out;
}

std::optional<std::uint32_t> number(std::string_view text) {
  std::uint32_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return out;
}

// passwd(5) and group(5): fields between colons. Calls `row` until it gives true.
template <class F>
void each_row(std::string_view text, F row) {
  for (std::string_view line : base::split(text, '\n')) {
    if (line.empty() || line.starts_with('#')) continue;
    if (row(base::split(line, ':'))) return;
  }
}

}  // namespace

std::optional<int> signal_number(std::string_view name) {
  if (const auto n = number(name)) return *n > 0 && *n < 65 ? std::optional(static_cast<int>(*n)) : std::nullopt;
  if (name.starts_with("SIG")) name.remove_prefix(3);
  static constexpr std::array<std::pair<std::string_view, int>, 14> kNames{{{"HUP", SIGHUP},
                                                                            {"INT", SIGINT},
                                                                            {"QUIT", SIGQUIT},
                                                                            {"ABRT", SIGABRT},
                                                                            {"KILL", SIGKILL},
                                                                            {"USR1", SIGUSR1},
                                                                            {"USR2", SIGUSR2},
                                                                            {"PIPE", SIGPIPE},
                                                                            {"ALRM", SIGALRM},
                                                                            {"TERM", SIGTERM},
                                                                            {"CONT", SIGCONT},
                                                                            {"STOP", SIGSTOP},
                                                                            {"WINCH", SIGWINCH},
                                                                            {"PWR", SIGPWR}}};
  for (const auto& [known, value] : kNames) {
    if (known == name) return value;
  }
  if (name == "RTMIN+3") return 34 + 3;  // what systemd in a container asks for; glibc keeps 32 and 33
  return std::nullopt;
}

ImageConfig read_image_config(const json::value& config) {
  ImageConfig out;
  out.entrypoint = list(config, "config.Entrypoint");
  out.command = list(config, "config.Cmd");
  for (const std::string& entry : list(config, "config.Env")) {
    const auto equals = entry.find('=');
    if (equals != std::string::npos && equals > 0) out.env[entry.substr(0, equals)] = entry.substr(equals + 1);
  }
  out.working_dir = base::get_string(config, "config.WorkingDir");
  out.user = base::get_string(config, "config.User");
  out.stop_signal = signal_number(base::get_string(config, "config.StopSignal", "SIGTERM")).value_or(SIGTERM);
  return out;
}

std::vector<std::string> merge_command(const ImageConfig& image, const std::vector<std::string>& command,
                                       const std::vector<std::string>& args) {
  std::vector<std::string> out = command.empty() ? image.entrypoint : command;
  const std::vector<std::string>& rest = !args.empty() || !command.empty() ? args : image.command;
  out.insert(out.end(), rest.begin(), rest.end());
  return out;
}

base::Result<ProcessUser> find_user(std::string_view text, std::string_view passwd, std::string_view group) {
  ProcessUser out;
  const auto colon = text.find(':');
  const std::string_view user = text.substr(0, colon);
  const std::string_view wanted_group = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  std::string name;
  const auto id = number(user);
  bool found = user.empty();
  each_row(passwd, [&](const std::vector<std::string_view>& f) {
    if (f.size() < 6) return false;
    const auto uid = number(f[2]), gid = number(f[3]);
    const bool match = user.empty() ? uid == 0u : (f[0] == user || (id && uid == id));
    if (!match || !uid || !gid) return false;
    out.uid = *uid;
    out.gid = *gid;
    name = f[0];
    if (!f[5].empty()) out.home = f[5];
    found = true;
    return true;
  });
  if (!found) {
    if (!id)
      return fail(
          ErrorCode::kInvalid,
          fmt::format(
              "the image runs as user \"{}\", which its /etc/passwd does not have; set securityContext.runAsUser",
              user));
    out.uid = *id;
  }
  if (!wanted_group.empty()) {
    std::optional<std::uint32_t> gid = number(wanted_group);
    each_row(group, [&](const std::vector<std::string_view>& f) {
      if (gid || f.size() < 3 || f[0] != wanted_group) return false;
      gid = number(f[2]);
      return true;
    });
    if (!gid)
      return fail(
          ErrorCode::kInvalid,
          fmt::format(
              "the image runs as group \"{}\", which its /etc/group does not have; set securityContext.runAsGroup",
              wanted_group));
    out.gid = *gid;
  }
  each_row(group, [&](const std::vector<std::string_view>& f) {
    if (f.size() < 4 || name.empty()) return false;
    const auto members = base::split(f[3], ',');
    if (const auto gid = number(f[2]); gid && *gid != out.gid && std::ranges::find(members, name) != members.end())
      out.groups.push_back(*gid);
    return false;
  });
  return out;
}

}  // namespace mainstay::compute
