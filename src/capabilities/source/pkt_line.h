// git's pkt-line framing (gitprotocol-common(5)), as far as a push needs it: the commands a client sends, and the band
// that carries words for people.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mainstay::source {

struct PktLine {
  enum class Kind { kData, kFlush, kDelimiter, kEnd } kind = Kind::kFlush;
  std::string_view data;
};
// Takes the first packet off `input`. nullopt: not all of it is there yet; `bad` is set where it can never become one.
std::optional<PktLine> take_pkt_line(std::string_view& input, bool* bad);

struct RefCommand {
  std::string before, after, ref;
};
struct PushHead {
  std::vector<RefCommand> commands;
  bool sideband = false;  // the client asked for side-band-64k
  bool complete = false;  // the closing flush was seen
};
// Reads the start of a receive-pack request. Bounded: at most `max_commands`, the rest is not told.
PushHead parse_push_head(std::string_view body, std::size_t max_commands = 1000);

// Text for the people at the client, as packets of band 2; git puts "remote: " before each line.
std::string progress_packets(std::string_view text);
inline constexpr std::string_view kKeepAlive = "0005\x02";
inline constexpr std::string_view kFlush = "0000";

}  // namespace mainstay::source
