// HAProxy's runtime API over its admin socket (HAProxy 2.6 management guide, section 9.3): the commands the edge uses,
// and the parsing of their answers, which is pure.
#pragma once
#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "async/task.h"
#include "base/result.h"

namespace mainstay::routing {

struct ServerLine {
  std::string backend, name, address;
  std::uint16_t port = 0;
  std::uint16_t weight = 1;
  bool drain = false, maintenance = false;
};
std::vector<ServerLine> parse_servers_state(std::string_view text);   // show servers state
std::map<std::string, std::string> parse_map(std::string_view text);  // show map <file>: key to value
std::map<std::string, std::uint64_t> parse_connections(
    std::string_view text);  // show servers conn: "backend/server" to connections in use
std::string parse_info(std::string_view text, std::string_view key);  // show info: "" where missing
std::vector<std::string> parse_certificate_list(
    std::string_view text);  // show ssl crt-list <file>: the certificates' files

class RuntimeApi {
 public:
  explicit RuntimeApi(std::string socket_path) : path_(std::move(socket_path)) {}
  // The answer as it is. kUnavailable where nobody listens.
  async::Task<base::Result<std::string>> ask(std::string command) const;
  // For commands that answer nothing, or exactly `success`: any other answer is an error (kConflict) with HAProxy's
  // words.
  async::Task<base::Result<>> tell(std::string command, std::string success = "") const;

 private:
  std::string path_;
};

}  // namespace mainstay::routing
