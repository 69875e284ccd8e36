#include "capabilities/observe/log_record.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)mainstay::observe::parse_cri(text);
  if (const auto record = mainstay::observe::decode(text)) {
    std::string again;
    mainstay::observe::encode(*record, again);
    if (!mainstay::observe::decode(std::string_view(again).substr(0, again.size() - 1)) &&
        text.find('\n') == std::string_view::npos)
      __builtin_trap();
  }
  return 0;
}
