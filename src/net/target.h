// The request target (RFC 9112 section 3.2): what a client asks for, taken apart and made safe to route by.
#pragma once
#include <string>
#include <string_view>

#include "base/result.h"
#include "net/http.h"

namespace mainstay::net {

struct Target {
  std::string path;
  Query query;
};

// Accepts the origin and the absolute form, and `*` for OPTIONS. The path comes out percent-decoded, without empty
// segments
// ("//" is read as "/"); a slash at the end stays, because Git and OCI clients mean something by it. Refused
// (kInvalid):
// `.` and `..` segments, NUL and other control characters, an encoded slash inside a segment (it would change what the
// segments are), and anything that is not UTF-8. Who needs other bytes in a path finds them in Request::raw_target.
base::Result<Target> parse_target(std::string_view method, std::string_view text);

}  // namespace mainstay::net
