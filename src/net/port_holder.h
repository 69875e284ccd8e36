// Who listens on a TCP port, for the message that it is taken.
#pragma once
#include <cstdint>
#include <string>

namespace mainstay::net {

// "nginx (pid 812)"; "" where /proc does not show it. Reads all of /proc: for errors only.
std::string port_holder(std::uint16_t port);

}  // namespace mainstay::net
