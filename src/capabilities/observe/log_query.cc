#include "capabilities/observe/log_query.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <map>
#include <unordered_map>

#include "capabilities/observe/segments.h"

namespace mainstay::observe {
namespace {

constexpr std::size_t kMaxStreams = 5000;
constexpr std::size_t kMaxPoints = 4'000'000;  // of all series of one answer

struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

// Whether anything of this namespace can match, by the labels that all of it has.
bool may_hold(const LogSelector& selector, const LogSpace& space) {
  for (const LabelMatcher& m : selector.matchers) {
    if (m.name == "namespace" && !m.matches(space.ns)) return false;
    if (m.name == "team" && !m.matches(space.team)) return false;
  }
  return true;
}

// Tells streams apart while one namespace is scanned: the selector is asked once a stream, not once a line.
class StreamTable {
 public:
  static constexpr std::size_t kNone = SIZE_MAX;
  StreamTable(const std::vector<const LogSelector*>& selectors, std::vector<StreamLabels>& streams)
      : selectors_(selectors), streams_(streams) {}
  void begin(const LogSpace& space) {
    space_ = &space;
    known_.clear();
  }
  // The stream's number, kNone where the selector leaves it out, or the caller may not see it.
  std::size_t of(const RecordView& record) {
    if (const auto at = known_.find(record.identity); at != known_.end()) return at->second;
    return known_[std::string(record.identity)] = decide(record);
  }
  bool full() const { return full_; }

 private:
  std::size_t decide(const RecordView& record) {
    if (record.stream == 'a' ? !space_->audit : !space_->logs) return kNone;
    StreamLabels labels = labels_of(*space_, record);
    bool wanted = selectors_.empty();
    for (const LogSelector* selector : selectors_) wanted = wanted || selects(*selector, labels);
    if (!wanted) return kNone;
    if (streams_.size() >= kMaxStreams) {
      full_ = true;
      return kNone;
    }
    streams_.push_back(std::move(labels));
    return streams_.size() - 1;
  }
  std::vector<const LogSelector*> selectors_;
  std::vector<StreamLabels>& streams_;
  const LogSpace* space_ = nullptr;
  std::unordered_map<std::string, std::size_t, TextHash, std::equal_to<>> known_;
  bool full_ = false;
};

std::unexpected<base::Error> too_many() {
  return base::fail(base::ErrorCode::kTooLarge,
                    fmt::format("more than {} streams match: narrow the selector or the time", kMaxStreams));
}

// Takes lines through the selector's stages.
class Pipeline {
 public:
  explicit Pipeline(const LogSelector& selector) : stages_(selector.stages), parses_(selector.parses()) {
    for (const PipelineStage& s : stages_) labels_matter_ = labels_matter_ || s.kind != PipelineStage::Kind::kLine;
  }
  bool parses() const { return parses_; }
  // Afterwards labels() are the line's.
  bool through(const StreamLabels& stream, std::string_view line) {
    if (labels_matter_) labels_ = stream;
    return observe::through(stages_, line, labels_);
  }
  StreamLabels& labels() { return labels_; }

 private:
  const std::vector<PipelineStage>& stages_;
  bool parses_ = false, labels_matter_ = false;
  StreamLabels labels_;
};

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

// Counts of one stream as differences from step to step: a line is one addition and one subtraction, however long the
// range.
struct Differences {
  std::vector<double> at;
  std::vector<double> lines;  // to tell none from zero bytes
};

StreamLabels group_of(const LogExpression& e, const StreamLabels& labels) {
  if (e.aggregation == Aggregation::kNone) return labels;
  StreamLabels out;
  for (const auto& label : labels) {
    const bool named = std::find(e.grouping.begin(), e.grouping.end(), label.first) != e.grouping.end();
    if (named != e.without) out.push_back(label);
  }
  return out;
}

double combined(Aggregation how, const std::vector<double>& values) {
  double sum = 0, least = INFINITY, most = -INFINITY;
  std::size_t n = 0;
  for (const double v : values) {
    if (std::isnan(v)) continue;
    ++n;
    sum += v;
    least = std::min(least, v);
    most = std::max(most, v);
  }
  if (n == 0) return std::numeric_limits<double>::quiet_NaN();
  switch (how) {
    case Aggregation::kMin:
      return least;
    case Aggregation::kMax:
      return most;
    case Aggregation::kAvg:
      return sum / static_cast<double>(n);
    case Aggregation::kCount:
      return static_cast<double>(n);
    default:
      return sum;
  }
}

std::vector<CountedSeries> aggregated(const LogExpression& e, std::vector<CountedSeries> series) {
  if (e.aggregation == Aggregation::kNone) return series;
  std::map<StreamLabels, std::vector<const CountedSeries*>> groups;
  for (const CountedSeries& s : series) groups[group_of(e, s.labels)].push_back(&s);
  std::vector<CountedSeries> out;
  for (const auto& [labels, members] : groups) {
    CountedSeries made{labels, std::vector<double>(members.front()->values.size())};
    std::vector<double> values(members.size());
    for (std::size_t i = 0; i < made.values.size(); ++i) {
      for (std::size_t m = 0; m < members.size(); ++m) values[m] = members[m]->values[i];
      made.values[i] = combined(e.aggregation, values);
    }
    out.push_back(std::move(made));
  }
  return out;
}

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return a / b + (a % b > 0 ? 1 : 0); }

}  // namespace

StreamLabels labels_of(const LogSpace& space, const RecordView& record) {
  StreamLabels out;
  const auto add = [&out](const char* name, std::string_view value) {
    if (!value.empty()) out.emplace_back(name, value);
  };
  add("container", record.container);
  add("namespace", space.ns);
  add("pod", record.pod);
  add("source", source_of(record.stream));
  if (record.stream == 'o' || record.stream == 'e') add("stream", record.stream == 'e' ? "stderr" : "stdout");
  add("team", space.team);
  add("workload", record.workload);
  return out;
}

bool selects(const LogSelector& selector, const StreamLabels& labels) {
  for (const LabelMatcher& m : selector.matchers) {
    std::string_view value;  // a label that is not there is an empty one
    for (const auto& [name, text] : labels) {
      if (name == m.name) value = text;
    }
    if (!m.matches(value)) return false;
  }
  return true;
}

base::Result<FoundLines> find_lines(const std::filesystem::path& folder, const std::vector<LogSpace>& spaces,
                                    const LogSelector& selector, LogSpan span, std::size_t limit, bool newest) {
  FoundLines out;
  StreamTable table({&selector}, out.streams);
  Pipeline pipeline(selector);
  std::size_t order = 0;
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
    scan.go_on = wants;
    scan.each = [&](const RecordView& r) {
      if (!wants(r.time_us)) return true;
      const std::size_t stream = table.of(r);
      if (stream == StreamTable::kNone || !pipeline.through(out.streams[stream], r.line)) return true;
      out.lines.push_back({r.time_us, stream, std::string(r.line), order++,
                           pipeline.parses() ? std::move(pipeline.labels()) : StreamLabels()});
      std::push_heap(out.lines.begin(), out.lines.end(), worse);
      if (out.lines.size() > limit) {
        std::pop_heap(out.lines.begin(), out.lines.end(), worse);
        out.lines.pop_back();
      }
      return true;
    };
    MAINSTAY_TRY(const Segments::Scanned scanned, Segments::scan(folder / space.ns, scan));
    out.bytes += scanned.bytes;
    out.segments += scanned.segments;
  }
  if (table.full()) return too_many();
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
  if (table.full()) return too_many();
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
  if (table.full()) return too_many();
  out.streams = streams.size();
  return out;
}

base::Result<std::vector<CountedSeries>> count_lines(const std::filesystem::path& folder,
                                                     const std::vector<LogSpace>& spaces, const LogExpression& e,
                                                     CountSteps steps) {
  if (steps.count == 0 || steps.count > kMaxSteps || steps.step_us <= 0)
    return base::fail(base::ErrorCode::kInvalid,
                      fmt::format("step: from 1 to {} points, got {}", kMaxSteps, steps.count));
  const std::int64_t range = std::chrono::duration_cast<std::chrono::microseconds>(e.range).count();
  const bool bytes = e.function == RangeFunction::kBytesOverTime || e.function == RangeFunction::kBytesRate;
  const bool rate = e.function == RangeFunction::kRate || e.function == RangeFunction::kBytesRate;
  std::vector<StreamLabels> streams;
  std::vector<Differences> counts;
  StreamTable table({&e.selector}, streams);
  Pipeline pipeline(e.selector);
  // Of lines that are parsed: what they are counted by. A sum may count its groups straight away.
  std::map<StreamLabels, std::size_t> parsed;
  std::vector<StreamLabels> keys;
  bool over = false;
  const auto counted_as = [&](std::size_t stream) {
    if (!pipeline.parses()) return stream;
    const StreamLabels& labels = pipeline.labels();
    const auto [at, fresh] =
        parsed.try_emplace(e.aggregation == Aggregation::kSum ? group_of(e, labels) : labels, keys.size());
    if (fresh) keys.push_back(at->first);
    return at->second;
  };
  const std::int64_t last = steps.start_us + static_cast<std::int64_t>(steps.count - 1) * steps.step_us;
  for (const LogSpace& space : spaces) {
    if (!may_hold(e.selector, space)) continue;
    table.begin(space);
    Segments::Scan scan;
    scan.from_us = steps.start_us - range + 1;
    scan.to_us = last;
    scan.each = [&](const RecordView& r) {
      const std::size_t selected = table.of(r);
      if (selected == StreamTable::kNone || !pipeline.through(streams[selected], r.line)) return true;
      const std::size_t stream = counted_as(selected);
      if (stream >= kMaxStreams || (stream + 1) * steps.count > kMaxPoints) {
        over = true;
        return false;
      }
      while (counts.size() <= stream)
        counts.push_back({std::vector<double>(steps.count + 1), std::vector<double>(steps.count + 1)});
      // Counted at each step t with t - range < time <= t.
      const auto clamp = [&](std::int64_t i) {
        return static_cast<std::size_t>(std::clamp<std::int64_t>(i, 0, static_cast<std::int64_t>(steps.count)));
      };
      const std::size_t first = clamp(ceil_div(r.time_us - steps.start_us, steps.step_us)),
                        after = clamp(ceil_div(r.time_us + range - steps.start_us, steps.step_us));
      const double weight = bytes ? static_cast<double>(r.line.size()) : 1;
      counts[stream].at[first] += weight;
      counts[stream].at[after] -= weight;
      counts[stream].lines[first] += 1;
      counts[stream].lines[after] -= 1;
      return true;
    };
    MAINSTAY_TRY_VOID(Segments::scan(folder / space.ns, scan));
  }
  if (table.full()) return too_many();
  if (over)
    return base::fail(base::ErrorCode::kTooLarge,
                      fmt::format("more than {} points: sum by fewer labels, or make the step longer", kMaxPoints));
  if (pipeline.parses()) streams = std::move(keys);
  const double divisor = rate ? std::chrono::duration<double>(e.range).count() : 1;
  std::vector<CountedSeries> series;
  for (std::size_t s = 0; s < counts.size(); ++s) {
    CountedSeries made{streams[s], std::vector<double>(steps.count)};
    double value = 0, lines = 0;
    for (std::size_t i = 0; i < steps.count; ++i) {
      value += counts[s].at[i];
      lines += counts[s].lines[i];
      made.values[i] = lines > 0 ? value / divisor : std::numeric_limits<double>::quiet_NaN();
    }
    series.push_back(std::move(made));
  }
  return aggregated(e, std::move(series));
}

}  // namespace mainstay::observe
