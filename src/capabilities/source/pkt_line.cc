#include "capabilities/source/pkt_line.h"

#include <fmt/format.h>

#include "base/strings.h"
#include "capabilities/source/git.h"

namespace mainstay::source {
namespace {

constexpr std::size_t kMaxPacket = 65520;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool has_capability(std::string_view list, std::string_view wanted) {
  for (std::string_view word : base::split(list, ' '))
    if (base::trim(word) == wanted) return true;
  return false;
}

}  // namespace

std::optional<PktLine> take_pkt_line(std::string_view& input, bool* bad) {
  if (input.size() < 4) return std::nullopt;
  std::size_t length = 0;
  for (int i = 0; i < 4; ++i) {
    const int digit = hex_digit(input[i]);
    if (digit < 0) {
      *bad = true;
      return std::nullopt;
    }
    length = length * 16 + static_cast<std::size_t>(digit);
  }
  if (length < 4) {
    input.remove_prefix(4);
    if (length == 3) *bad = true;
    return length == 3 ? std::nullopt
                       : std::optional(
                             PktLine{static_cast<PktLine::Kind>(static_cast<int>(PktLine::Kind::kFlush) + length), {}});
  }
  if (length > kMaxPacket) {
    *bad = true;
    return std::nullopt;
  }
  if (input.size() < length) return std::nullopt;
  PktLine line{PktLine::Kind::kData, input.substr(4, length - 4)};
  input.remove_prefix(length);
  return line;
}

PushHead parse_push_head(std::string_view body, std::size_t max_commands) {
  PushHead head;
  bool bad = false;
  bool first = true;
  while (auto line = take_pkt_line(body, &bad)) {
    if (line->kind != PktLine::Kind::kData) {
      head.complete = line->kind == PktLine::Kind::kFlush;
      break;
    }
    std::string_view text = line->data;
    if (text.starts_with("shallow ")) continue;
    if (text.starts_with("push-cert")) break;  // Signed pushes are not advertised.
    if (const auto nul = text.find('\0'); nul != std::string_view::npos) {
      if (first) head.sideband = has_capability(text.substr(nul + 1), "side-band-64k");
      text = text.substr(0, nul);
    }
    first = false;
    text = base::trim(text);
    const auto words = base::split(text, ' ');
    if (words.size() != 3 || !is_object_id(words[0]) || !is_object_id(words[1])) break;
    if (head.commands.size() < max_commands)
      head.commands.push_back({std::string(words[0]), std::string(words[1]), std::string(words[2])});
  }
  return head;
}

std::string progress_packets(std::string_view text) {
  constexpr std::size_t kMost = kMaxPacket - 5;
  std::string out;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, kMost);
    out += fmt::format("{:04x}\x02{}", part.size() + 5, part);
    text.remove_prefix(part.size());
  }
  return out;
}

}  // namespace mainstay::source
