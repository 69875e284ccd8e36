#include "capabilities/observe/log_pipeline.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto parsed = mainstay::observe::parse_logql(text);
  if (!parsed) return 0;
  // Whatever parsed can be asked of any line.
  for (const auto& matcher : parsed->selector.matchers) (void)matcher.matches(text);
  mainstay::observe::StreamLabels labels{{"namespace", "shop"}, {"pod", "web"}};
  (void)mainstay::observe::through(parsed->selector.stages, text, labels);
  if (parsed->metric && parsed->range <= std::chrono::nanoseconds(0)) __builtin_trap();
  return 0;
}
