// What anybody with the right to forward a port sends.
#include "capabilities/compute/forward/spdy.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace mainstay::compute;
  SpdyReader reader;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::size_t half = size / 2;
  for (const std::string_view piece : {bytes.substr(0, half), bytes.substr(half)}) {
    const auto frames = reader.feed(piece);
    if (!frames) return 0;
    for (const SpdyFrame& frame : *frames) {
      if (frame.data.size() > SpdyReader::kMaxFrame) __builtin_trap();
    }
  }
  return 0;
}
