// What a browser sends over the console's stream; a request inside it never leaves the API's paths.
#include <cstdlib>

#include "capabilities/console/stream.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mainstay::console;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto message = parse_stream_message(text);
  if (!message) return message.error().message.empty() ? std::abort(), 0 : 0;
  if (!message->id) return 0;
  const auto request = stream_request(message->target, "token", "127.0.0.1");
  if (request && (*request)->path.find("/../") != std::string::npos) std::abort();
  return 0;
}
