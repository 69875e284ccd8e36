#include "capabilities/observe/log_record.h"

#include <fmt/format.h>

#include <charconv>

#include "base/utf8.h"

namespace mainstay::observe {
namespace {

std::int64_t to_us(base::SystemTime time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}

// Cuts the next field at a tab; false where there is none.
bool field(std::string_view& rest, std::string_view& out) {
  const auto tab = rest.find('\t');
  if (tab == std::string_view::npos) return false;
  out = rest.substr(0, tab);
  rest.remove_prefix(tab + 1);
  return true;
}

}  // namespace

void encode(const LogRecord& r, std::string& out) {
  fmt::format_to(std::back_inserter(out), "{}\t{}\t{}\t{}\t{}\t", r.time_us, r.stream, r.pod, r.container, r.workload);
  out.append(r.line, 0, kMaxLine);
  out += '\n';
}

std::optional<RecordView> view(std::string_view line) {
  std::string_view time, stream;
  RecordView r;
  if (!field(line, time)) return std::nullopt;
  const char* identity = line.data();
  if (!field(line, stream) || !field(line, r.pod) || !field(line, r.container) || !field(line, r.workload))
    return std::nullopt;
  const auto [end, error] = std::from_chars(time.data(), time.data() + time.size(), r.time_us);
  if (error != std::errc() || end != time.data() + time.size() || stream.size() != 1) return std::nullopt;
  r.stream = stream[0];
  r.line = line;
  r.identity = std::string_view(identity, static_cast<std::size_t>(line.data() - identity));
  return r;
}

LogRecord copy(const RecordView& v) {
  return {v.time_us, std::string(v.pod), std::string(v.container), std::string(v.workload),
          v.stream,  std::string(v.line)};
}

std::optional<LogRecord> decode(std::string_view line) {
  const auto found = view(line);
  return found ? std::optional(copy(*found)) : std::nullopt;
}

std::string_view source_of(char stream) {
  switch (stream) {
    case 'v':
      return "events";
    case 'g':
      return "edge";
    case 'a':
      return "audit";
    default:
      return "container";
  }
}

boost::json::object to_json(const LogRecord& r) {
  return {{"time", base::rfc3339_micro(base::SystemTime(std::chrono::microseconds(r.time_us)))},
          {"pod", r.pod},
          {"container", r.container},
          {"workload", r.workload},
          {"stream", r.stream == 'e'   ? "stderr"
                     : r.stream == 'o' ? "stdout"
                                       : source_of(r.stream)},
          {"line", base::utf8_text(r.line)}};
}

std::optional<CriLine> parse_cri(std::string_view line) {
  const auto first = line.find(' ');
  if (first == std::string_view::npos || first > 64) return std::nullopt;
  const auto second = line.find(' ', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const auto third = line.find(' ', second + 1);
  const std::string_view stream = line.substr(first + 1, second - first - 1);
  const std::string_view tag = line.substr(second + 1, third == std::string_view::npos ? third : third - second - 1);
  const auto time = base::parse_rfc3339(line.substr(0, first));
  if (!time || (stream != "stdout" && stream != "stderr") || tag.empty()) return std::nullopt;
  CriLine out;
  out.time_us = to_us(*time);
  out.stream = stream == "stderr" ? 'e' : 'o';
  out.partial = tag[0] == 'P';
  out.text = third == std::string_view::npos ? std::string_view() : line.substr(third + 1);
  return out;
}

}  // namespace mainstay::observe
