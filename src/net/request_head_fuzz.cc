// The server's core without its sockets: a request's head, its target and its chunked body, however they are cut.
#include <cstdlib>

#include "net/parser.h"
#include "net/target.h"
#include "net/wire.h"

using namespace mainstay::net;

namespace {

using State = MessageParser::State;

struct Outcome {
  State state = State::kNeedMore;
  std::string method, target, body;
};

// Feeds the bytes in pieces of `step`.
Outcome feed(std::string_view text, std::size_t step) {
  MessageParser parser(MessageParser::Kind::kRequest, 4096);
  Outcome out;
  std::string pending;
  bool head = false;
  for (std::size_t at = 0; at < text.size(); at += step) {
    pending += text.substr(at, step);
    std::size_t used = 0, written = 0;
    if (!head) {
      out.state = parser.parse_head(pending, used);
      pending.erase(0, used);
      if (out.state == State::kNeedMore) continue;
      if (out.state != State::kDone) return out;
      head = true;
      out.method = parser.head().method;
      out.target = parser.head().target;
      if (!parser.head().chunked) return out;
    }
    do {
      char room[16];
      out.state = parser.decode(pending, room, used, written);
      if (used > pending.size() || written > sizeof room) std::abort();
      pending.erase(0, used);
      out.body.append(room, written);
      if (out.state != State::kNeedMore) return out;
    } while (used > 0 || written > 0);
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Outcome whole = feed(text, size == 0 ? 1 : size), pieces = feed(text, 7);
  // A message must not mean two things depending on how the network cuts it.
  if (whole.state == State::kDone &&
      (pieces.state != State::kDone || pieces.body != whole.body || pieces.target != whole.target)) {
    std::abort();
  }
  if (whole.state != State::kDone) return 0;
  const auto target = parse_target(whole.method, whole.target);
  if (target && target->path.find("/../") != std::string::npos) std::abort();
  Response response = Response::text(200, "x");
  response.headers.add("X-Echo", std::string(text));
  const std::string head = response_head(response, {Framing::Kind::kLength, 1}, true, false);
  if (head.find("\r\n\r\n") != head.size() - 4) std::abort();
  return 0;
}
