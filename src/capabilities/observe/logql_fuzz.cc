#include "capabilities/observe/log_metrics.h"
#include "capabilities/observe/log_prefilter.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mainstay::observe;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto parsed = parse_logql(text);
  if (!parsed) return 0;
  // Whatever parsed can be asked of any line, and of no logs at all.
  const StreamLabels stream{{"namespace", "shop"}, {"pod", "web"}};
  for (const LogSelector* selector : selectors_of(*parsed)) {
    for (const auto& matcher : selector->matchers) (void)matcher.matches(text);
    PassingLine line{text, 0, stream, {}};
    const bool passes = through(selector->stages, stream, line);
    // What the stages let through, the prefilter does not pass over.
    const auto prefilter = LinePrefilter::of(*selector);
    if (passes && prefilter && text.find('\n') == text.npos && prefilter->next(text, 0) == text.npos) __builtin_trap();
  }
  if (!parsed->lines()) (void)evaluate({}, *parsed, {0, 1'000'000, 3});
  return 0;
}
