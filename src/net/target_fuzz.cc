// Whatever a client asks for, the path that comes out is safe to route by, and reading it again changes nothing.
#include <cstdlib>

#include "base/encoding.h"
#include "net/target.h"

using namespace mainstay;

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto target = net::parse_target("GET", text);
  if (!target) return 0;
  const std::string path = target->path + "/";
  if (!path.starts_with('/')) std::abort();
  for (const char* bad : {"/../", "/./"}) {
    if (path.find(bad) != std::string::npos) std::abort();
  }
  if (target->path.find("//") != std::string::npos || path.find('\0') != std::string::npos) std::abort();
  const auto again = net::parse_target("GET", base::percent_encode(target->path, "/"));
  if (!again || again->path != target->path) std::abort();
  return 0;
}
