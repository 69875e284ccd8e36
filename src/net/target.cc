#include "net/target.h"

#include <algorithm>

#include "base/encoding.h"
#include "base/strings.h"
#include "base/utf8.h"

namespace mainstay::net {
namespace {

std::unexpected<base::Error> refuse(std::string_view why) {
  return base::fail(base::ErrorCode::kInvalid, "request target: " + std::string(why));
}

base::Result<std::string> decode_segment(std::string_view raw) {
  MAINSTAY_TRY(std::string segment, base::percent_decode(raw));
  if (segment == "." || segment == "..") return refuse("\".\" and \"..\" segments are not accepted");
  if (segment.find('/') != std::string::npos) return refuse("an encoded slash in a segment is not accepted");
  if (std::any_of(segment.begin(), segment.end(),
                  [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; })) {
    return refuse("control characters are not accepted");
  }
  if (!base::is_utf8(segment)) return refuse("the path is not UTF-8");
  return segment;
}

// "http://host/path" as proxies send it: the authority says nothing we rely on.
std::string_view without_authority(std::string_view text) {
  for (std::string_view scheme : {"http://", "https://"}) {
    if (text.size() < scheme.size() || !base::iequals(text.substr(0, scheme.size()), scheme)) continue;
    const auto slash = text.find_first_of("/?", scheme.size());
    return slash == std::string_view::npos ? "/" : text.substr(slash);
  }
  return text;
}

}  // namespace

base::Result<Target> parse_target(std::string_view method, std::string_view text) {
  if (text == "*" && method == "OPTIONS") return Target{"*", {}};
  text = without_authority(text);
  const auto mark = text.find('?');
  const std::string_view raw = text.substr(0, mark);
  if (!raw.starts_with('/') && !(raw.empty() && mark == 0)) return refuse("must begin with \"/\"");
  if (text.find('#') != std::string_view::npos) return refuse("a fragment is not accepted");
  Target out;
  if (mark != std::string_view::npos) {
    MAINSTAY_TRY(out.query, Query::parse(text.substr(mark + 1)));
  }
  out.path.reserve(raw.size());
  for (auto part : base::split(raw, '/')) {
    if (part.empty()) continue;
    MAINSTAY_TRY(const std::string segment, decode_segment(part));
    out.path += '/';
    out.path += segment;
  }
  if (out.path.empty() || raw.ends_with('/')) out.path += '/';
  return out;
}

}  // namespace mainstay::net
