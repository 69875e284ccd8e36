// Lines of the edge's and the audit log, which hold what strangers asked for, and times as Loki's clients give them.
#include <cstdlib>

#include "capabilities/observe/loki_request.h"
#include "capabilities/observe/platform_logs.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mainstay::observe;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)parse_loki_time(text);
  if (const auto step = parse_loki_step(text); step && *step <= 0) std::abort();
  if (text.find('\n') != std::string_view::npos) return 0;
  (void)parse_audit_line(text);
  EdgeRequest request;
  if (parse_edge_line(text, request) && (request.seconds < 0 || request.code < 0)) std::abort();
  return 0;
}
