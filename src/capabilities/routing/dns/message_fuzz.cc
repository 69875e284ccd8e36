// Whatever arrives: reading ends, a reply to it can be read, stays within its bound, and has the question's id.
#include <cstdlib>

#include "capabilities/routing/dns/forwarder.h"
#include "capabilities/routing/dns/message.h"

using namespace mainstay::routing::dns;

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto layout = read_layout(text)) {
    std::string message(text);
    age(message, *layout, 7);
    (void)lifetime_of(text, *layout);
    for (const Section& section : layout->records) (void)read_name(text, section.data);
  }
  const ParsedQuery parsed = parse_query(text);
  if (!parsed.query) return 0;
  (void)text_name(parsed.query->name);
  Reply reply;
  reply.rcode = parsed.rcode;
  if (parsed.rcode == kNoError) {
    for (int i = 0; i < 40; ++i) reply.answers.push_back({parsed.query->name, kA, 5, std::string(4, 'x')});
    reply.authority.push_back({std::string(parent_name(parsed.query->name)), kNs, 5, parsed.query->name});
    if (reply.authority[0].name.empty()) reply.authority.clear();
  }
  std::string out(1232, '\0');
  const std::size_t written = write_reply(*parsed.query, text, reply, out, parsed.query->payload);
  if (written > out.size()) std::abort();
  if (parsed.rcode != kNoError) return 0;
  const auto back = read_layout(std::string_view(out).substr(0, written));
  if (!back || back->id != parsed.query->id || back->name != parsed.query->name) std::abort();
  return 0;
}
