// What a server we ask sends: the head, and a chunked body cut anywhere, mean the same however the network cuts them.
#include <cstdlib>

#include "net/parser.h"

using namespace mainstay::net;

namespace {

using State = MessageParser::State;

State feed(std::string_view text, std::size_t step, std::string& body) {
  MessageParser parser(MessageParser::Kind::kResponse, 4096);
  State state = State::kNeedMore;
  std::string pending;
  bool head = false;
  for (std::size_t at = 0; at < text.size(); at += step) {
    pending += text.substr(at, step);
    std::size_t used = 0, written = 0;
    if (!head) {
      state = parser.parse_head(pending, used);
      pending.erase(0, used);
      if (state == State::kNeedMore) continue;
      if (state != State::kDone) return state;
      head = true;
      if (parser.head().status < 0 || parser.head().status > 999) std::abort();
      if (!parser.head().chunked) return state;
    }
    do {
      char room[16];
      state = parser.decode(pending, room, used, written);
      if (used > pending.size() || written > sizeof room) std::abort();
      pending.erase(0, used);
      body.append(room, written);
      if (state != State::kNeedMore) return state;
    } while (used > 0 || written > 0);
  }
  return state;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::string whole, pieces;
  const State once = feed(text, size == 0 ? 1 : size, whole), cut = feed(text, 5, pieces);
  if (once == State::kDone && (cut != State::kDone || pieces != whole)) std::abort();
  return 0;
}
