#include "capabilities/source/push_report.h"

#include "capabilities/source/pkt_line.h"

namespace mainstay::source {
namespace {

constexpr std::size_t kMaxReport = 1u << 20;

}  // namespace

std::string PushReport::feed(std::string_view output) {
  if (raw_) return std::string(output);
  pending_ += output;
  std::string out;
  std::string_view rest = pending_;
  bool bad = false;
  for (;;) {
    const std::string_view before = rest;
    const auto line = take_pkt_line(rest, &bad);
    if (!line) {
      rest = before;
      break;
    }
    if (held_) {
      out += kFlush;
      held_ = false;
    }
    if (line->kind == PktLine::Kind::kFlush) {
      held_ = true;
      continue;
    }
    if (line->kind == PktLine::Kind::kData && !line->data.empty() && line->data[0] >= 1 && line->data[0] <= 3) {
      banded_ = true;
      if (line->data[0] == 1 && report_.size() < kMaxReport) report_ += line->data.substr(1);
    }
    out += before.substr(0, before.size() - rest.size());
  }
  if (bad) {
    raw_ = true;
    if (held_) out += kFlush;
    held_ = false;
    out += rest;
    rest = {};
  }
  pending_ = std::string(rest);
  return out;
}

std::set<std::string> PushReport::accepted() const {
  std::set<std::string> refs;
  std::string_view rest = report_;
  bool bad = false;
  while (auto line = take_pkt_line(rest, &bad)) {
    std::string_view text = line->data;
    if (!text.starts_with("ok ")) continue;
    text.remove_prefix(3);
    if (text.ends_with('\n')) text.remove_suffix(1);
    refs.emplace(text);
  }
  return refs;
}

std::string PushReport::finish() {
  std::string out;
  if (held_) out += kFlush;
  held_ = false;
  out += pending_;
  pending_.clear();
  return out;
}

}  // namespace mainstay::source
