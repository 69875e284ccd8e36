#include "capabilities/routing/runtime_api.h"

#include <fmt/core.h>

#include <charconv>

#include "base/strings.h"
#include "net/client.h"

namespace mainstay::routing {
namespace {

constexpr std::chrono::milliseconds kLimit{3000};

std::uint64_t number(std::string_view text) {
  std::uint64_t n = 0;
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

std::vector<std::string_view> words(std::string_view line) {
  std::vector<std::string_view> out;
  for (std::string_view word : base::split(line, ' ')) {
    if (!word.empty()) out.push_back(word);
  }
  return out;
}

}  // namespace

std::vector<ServerLine> parse_servers_state(std::string_view text) {
  std::vector<ServerLine> out;
  for (std::string_view line : base::split(text, '\n')) {
    if (line.starts_with('#')) continue;
    const auto fields = words(line);
    if (fields.size() < 19) continue;
    // be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight … srv_port (the 19th)
    ServerLine server;
    server.backend = fields[1];
    server.name = fields[3];
    server.address = fields[4];
    const std::uint64_t admin = number(fields[6]);
    server.maintenance = (admin & 0x07) != 0;  // forced, inherited or by resolution
    server.drain = (admin & 0x18) != 0;
    server.weight = static_cast<std::uint16_t>(number(fields[7]));
    server.port = static_cast<std::uint16_t>(number(fields[18]));
    out.push_back(std::move(server));
  }
  return out;
}

std::map<std::string, std::string> parse_map(std::string_view text) {
  std::map<std::string, std::string> out;
  for (std::string_view line : base::split(text, '\n')) {
    if (!line.starts_with("0x")) continue;
    const auto key = line.find(' ');
    const auto value = key == std::string_view::npos ? key : line.find(' ', key + 1);
    if (value == std::string_view::npos) continue;
    out[std::string(line.substr(key + 1, value - key - 1))] = line.substr(value + 1);
  }
  return out;
}

std::map<std::string, std::uint64_t> parse_connections(std::string_view text) {
  std::map<std::string, std::uint64_t> out;
  for (std::string_view line : base::split(text, '\n')) {
    if (line.starts_with('#')) continue;
    const auto fields = words(line);  // bkname/svname bkid/svid addr port - purge_delay used_cur …
    if (fields.size() >= 7) out[std::string(fields[0])] = number(fields[6]);
  }
  return out;
}

std::string parse_info(std::string_view text, std::string_view key) {
  for (std::string_view line : base::split(text, '\n')) {
    if (line.starts_with(key) && line.substr(key.size()).starts_with(": "))
      return std::string(base::trim(line.substr(key.size() + 2)));
  }
  return "";
}

std::vector<std::string> parse_certificate_list(std::string_view text) {
  std::vector<std::string> out;
  for (std::string_view line : base::split(text, '\n')) {
    const auto fields = words(line);
    if (!fields.empty() && !fields[0].starts_with('#')) out.emplace_back(fields[0]);
  }
  return out;
}

async::Task<base::Result<std::string>> RuntimeApi::ask(std::string command) const {
  co_return co_await net::unix_exchange(path_, command + "\n", kLimit);
}

async::Task<base::Result<>> RuntimeApi::tell(std::string command, std::string success) const {
  const std::string shown = command.substr(0, command.find(" <<"));  // what follows may be a private key
  MAINSTAY_CO_TRY(std::string answer, co_await ask(std::move(command)));
  const std::string_view said = base::trim(answer);
  if (said == success) co_return base::Result<>{};
  co_return base::fail(base::ErrorCode::kConflict,
                       fmt::format("haproxy: {}: {}", shown, said.empty() ? "no answer" : said.substr(0, 300)));
}

}  // namespace mainstay::routing
