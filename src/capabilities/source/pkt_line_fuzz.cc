// Whatever a client sends: the head of a push, and what the report filter makes of any output, cut anywhere.
#include "capabilities/source/pkt_line.h"
#include "capabilities/source/push_report.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mainstay::source;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const PushHead head = parse_push_head(input, 10);
  if (head.commands.size() > 10) __builtin_trap();
  const std::size_t cut = size == 0 ? 0 : data[0] % (size + 1);
  PushReport report;
  const std::string out = report.feed(input.substr(0, cut)) + report.feed(input.substr(cut)) + report.finish();
  if (out != input && out != std::string(input)) __builtin_trap();
  return 0;
}
