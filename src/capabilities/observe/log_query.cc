#include "capabilities/observe/log_query.h"

#include <fmt/format.h>

#include <algorithm>

#include "capabilities/observe/log_prefilter.h"
#include "capabilities/observe/segments.h"

namespace mainstay::observe {
namespace {

// Gives lines that were parsed the streams that their labels make.
void regroup(FoundLines& found) {
  std::map<StreamLabels, std::size_t> known;
  found.streams.clear();
  for (FoundLine& line : found.lines) {
    const auto [at, fresh] = known.try_emplace(std::move(line.parsed), found.streams.size());
    if (fresh) found.streams.push_back(at->first);
    line.stream = at->second;
  }
}

}  // namespace

base::Result<FoundLines> find_lines(const std::filesystem::path& folder, const std::vector<LogSpace>& spaces,
                                    const LogSelector& selector, LogSpan span, std::size_t limit, bool newest) {
  FoundLines out;
  StreamTable table({&selector}, out.streams);
  Pipeline pipeline(selector);
  const auto prefilter = LinePrefilter::of(selector);
  std::size_t order = 0, held = 0;
  const auto weight = [](const FoundLine& l) { return l.line.size() + size_of(l.parsed); };
  // A heap whose front is the first to be given up for a better one.
  const auto worse = [newest](const FoundLine& a, const FoundLine& b) {
    const auto left = std::pair(a.time_us, a.order), right = std::pair(b.time_us, b.order);
    return newest ? left > right : left < right;
  };
  const auto wants = [&](std::int64_t time) {
    if (out.lines.size() < limit) return true;
    return newest ? time >= out.lines.front().time_us : time <= out.lines.front().time_us;
  };
  for (const LogSpace& space : spaces) {
    if (!may_hold(selector, space)) continue;
    table.begin(space);
    Segments::Scan scan;
    scan.from_us = span.from_us;
    scan.to_us = span.to_us;
    scan.newest_first = newest;
    scan.prefilter = prefilter.get();
    scan.go_on = wants;
    scan.each = [&](const RecordView& r) {
      if (!wants(r.time_us)) return true;
      const std::size_t stream = table.of(r);
      if (stream == StreamTable::kNone || !pipeline.through(out.streams[stream], r)) return true;
      out.lines.push_back({r.time_us, stream, std::string(pipeline.line()), order++,
                           pipeline.parses() ? std::move(pipeline.labels()) : StreamLabels()});
      held += weight(out.lines.back());
      std::push_heap(out.lines.begin(), out.lines.end(), worse);
      if (out.lines.size() > limit) {
        std::pop_heap(out.lines.begin(), out.lines.end(), worse);
        held -= weight(out.lines.back());
        out.lines.pop_back();
      }
      return held <= kMaxHeld;
    };
    MAINSTAY_TRY(const Segments::Scanned scanned, Segments::scan(folder / space.ns, scan));
    if (held > kMaxHeld)
      return base::fail(base::ErrorCode::kTooLarge,
                        fmt::format("the lines found and their labels are more than {} MiB: ask for fewer by limit, or "
                                    "drop labels",
                                    kMaxHeld >> 20));
    out.bytes += scanned.bytes;
    out.segments += scanned.segments;
  }
  if (table.full()) return StreamTable::too_many();
  std::sort(out.lines.begin(), out.lines.end(), [](const FoundLine& a, const FoundLine& b) {
    return std::pair(a.time_us, a.order) < std::pair(b.time_us, b.order);
  });
  if (pipeline.parses()) regroup(out);
  return out;
}

base::Result<std::vector<StreamLabels>> find_streams(const std::filesystem::path& folder,
                                                     const std::vector<LogSpace>& spaces,
                                                     const std::vector<LogSelector>& selectors, LogSpan span) {
  std::vector<StreamLabels> out;
  std::vector<const LogSelector*> pointers;
  for (const LogSelector& s : selectors) pointers.push_back(&s);
  StreamTable table(pointers, out);
  for (const LogSpace& space : spaces) {
    bool possible = selectors.empty();
    for (const LogSelector& s : selectors) possible = possible || may_hold(s, space);
    if (!possible) continue;
    table.begin(space);
    Segments::Scan scan;
    scan.from_us = span.from_us;
    scan.to_us = span.to_us;
    scan.each = [&](const RecordView& r) {
      table.of(r);
      return true;
    };
    MAINSTAY_TRY_VOID(Segments::scan(folder / space.ns, scan));
  }
  if (table.full()) return StreamTable::too_many();
  std::sort(out.begin(), out.end());
  return out;
}

base::Result<LogStatistics> log_statistics(const std::filesystem::path& folder, const std::vector<LogSpace>& spaces,
                                           const LogSelector& selector, LogSpan span) {
  LogStatistics out;
  std::vector<StreamLabels> streams;
  StreamTable table({&selector}, streams);
  for (const LogSpace& space : spaces) {
    if (!may_hold(selector, space)) continue;
    table.begin(space);
    Segments::Scan scan;
    scan.from_us = span.from_us;
    scan.to_us = span.to_us;
    scan.each = [&](const RecordView& r) {
      if (table.of(r) == StreamTable::kNone) return true;
      ++out.lines;
      out.bytes += r.line.size();
      return true;
    };
    MAINSTAY_TRY(const Segments::Scanned scanned, Segments::scan(folder / space.ns, scan));
    out.segments += scanned.segments;
  }
  if (table.full()) return StreamTable::too_many();
  out.streams = streams.size();
  return out;
}

}  // namespace mainstay::observe
