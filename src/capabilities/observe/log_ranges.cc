// Range functions: one scan of the logs, and a window that goes over what it found.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "capabilities/observe/log_metrics.h"
#include "capabilities/observe/log_prefilter.h"
#include "capabilities/observe/segments.h"

namespace mainstay::observe {
namespace {

constexpr std::size_t kMaxSamples = 2'000'000;     // unwrapped numbers of one operand
constexpr std::size_t kMaxLookedAt = 200'000'000;  // of them in the windows of all steps: seconds of a thread's work
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return a / b + (a % b > 0 ? 1 : 0); }

// Counts of one series as differences from step to step: a line is one addition and one subtraction, however long the
// range.
struct Differences {
  std::vector<double> at;
  std::vector<double> lines;  // to tell none from zero bytes
};
struct Sample {
  std::int64_t time_us;
  double value;
  std::size_t order;  // in which it was found: of one time the last is the last
};

// What is scanned for one range function.
class RangeScan {
 public:
  RangeScan(const LogExpression& e, LogSteps steps, const Grouping* sum_of)
      : e_(e), steps_(steps), sum_of_(sum_of), table_({&e.selector}, streams_), pipeline_(e.selector) {
    range_ = std::chrono::duration_cast<std::chrono::microseconds>(e.range).count();
    offset_ = std::chrono::duration_cast<std::chrono::microseconds>(e.offset).count();
    per_line_ = pipeline_.parses() || e.unwrap;
  }

  base::Result<> run(const LogSource& source) {
    const auto prefilter = LinePrefilter::of(e_.selector);
    const std::int64_t last = steps_.start_us + static_cast<std::int64_t>(steps_.count - 1) * steps_.step_us;
    for (const LogSpace& space : source.spaces) {
      if (!may_hold(e_.selector, space)) continue;
      table_.begin(space);
      Segments::Scan scan;
      scan.from_us = steps_.start_us - range_ - offset_ + 1;
      scan.to_us = last - offset_;
      scan.prefilter = prefilter.get();
      scan.each = [this](const RecordView& r) { return take(r); };
      MAINSTAY_TRY_VOID(Segments::scan(source.folder / space.ns, scan));
      if (over_) break;
    }
    if (table_.full()) return StreamTable::too_many();
    if (over_)
      return base::fail(
          base::ErrorCode::kTooLarge,
          fmt::format("more than {} series, {} points or {} MiB of labels: group by fewer labels, make the "
                      "step longer or the time shorter",
                      kMaxStreams, e_.unwrap ? kMaxSamples : kMaxPoints, kMaxHeld >> 20));
    return {};
  }

  base::Result<std::vector<LogSeries>> result() {
    if (!e_.unwrap) return counts();
    return windows();
  }

 private:
  bool take(const RecordView& r) {
    const std::size_t stream = table_.of(r);
    if (stream == StreamTable::kNone || !pipeline_.through(streams_[stream], r)) return true;
    if (!e_.unwrap) {
      const std::size_t series = per_line_ ? series_of(counted_by(pipeline_.labels())) : stream;
      return count(series, r.time_us, pipeline_.line().size());
    }
    const std::string* text = find_label(pipeline_.labels(), e_.unwrap->label);
    const auto value = text ? number_of(*text, e_.unwrap->unit) : std::nullopt;
    if (!value || std::isnan(*value)) return true;
    const std::size_t series = series_of(unwrapped_by(pipeline_.labels()));
    if (++total_ > kMaxSamples || held_ > kMaxHeld || series >= kMaxStreams || (series + 1) * steps_.count > kMaxPoints)
      return !(over_ = true);
    if (samples_.size() <= series) samples_.resize(series + 1);
    samples_[series].push_back({r.time_us + offset_, *value, total_});
    return true;
  }

  StreamLabels counted_by(const StreamLabels& labels) const { return sum_of_ ? grouped(*sum_of_, labels) : labels; }
  StreamLabels unwrapped_by(StreamLabels labels) const {
    if (e_.grouping.given) return grouped(e_.grouping, labels);
    std::erase_if(labels, [this](const auto& l) { return l.first == e_.unwrap->label; });
    return labels;
  }
  std::size_t series_of(StreamLabels labels) {
    const auto [at, fresh] = known_.try_emplace(std::move(labels), keys_.size());
    if (fresh) {
      held_ += size_of(at->first);
      keys_.push_back(at->first);
    }
    return at->second;
  }

  // A line counts at each step t with t - range < time <= t.
  bool count(std::size_t series, std::int64_t time_us, std::size_t bytes) {
    if (held_ > kMaxHeld || series >= kMaxStreams || (series + 1) * steps_.count > kMaxPoints) return !(over_ = true);
    while (counts_.size() <= series)
      counts_.push_back({std::vector<double>(steps_.count + 1), std::vector<double>(steps_.count + 1)});
    const auto clamp = [this](std::int64_t i) {
      return static_cast<std::size_t>(std::clamp<std::int64_t>(i, 0, static_cast<std::int64_t>(steps_.count)));
    };
    const std::int64_t at = time_us + offset_ - steps_.start_us;
    const std::size_t first = clamp(ceil_div(at, steps_.step_us)), after = clamp(ceil_div(at + range_, steps_.step_us));
    const bool weighs = e_.function == RangeFunction::kBytes || e_.function == RangeFunction::kBytesRate;
    const double weight = weighs ? static_cast<double>(bytes) : 1;
    counts_[series].at[first] += weight;
    counts_[series].at[after] -= weight;
    counts_[series].lines[first] += 1;
    counts_[series].lines[after] -= 1;
    return true;
  }

  std::vector<LogSeries> counts() {
    const bool rate = e_.function == RangeFunction::kRate || e_.function == RangeFunction::kBytesRate;
    const double divisor = rate ? std::chrono::duration<double>(e_.range).count() : 1;
    std::vector<LogSeries> out;
    for (std::size_t s = 0; s < counts_.size(); ++s) {
      LogSeries made{per_line_ ? keys_[s] : streams_[s], std::vector<double>(steps_.count)};
      double value = 0, lines = 0;
      for (std::size_t i = 0; i < steps_.count; ++i) {
        value += counts_[s].at[i];
        lines += counts_[s].lines[i];
        made.values[i] = lines > 0 ? value / divisor : kNone;
      }
      out.push_back(std::move(made));
    }
    return out;
  }

  // Calls f with each step in whose window there are numbers, and with these.
  template <class F>
  void each_window(const std::vector<Sample>& all, F f) const {
    std::size_t begin = 0, end = 0;
    for (std::size_t i = 0; i < steps_.count; ++i) {
      const std::int64_t t = steps_.start_us + static_cast<std::int64_t>(i) * steps_.step_us;
      while (end < all.size() && all[end].time_us <= t) ++end;
      while (begin < end && all[begin].time_us <= t - range_) ++begin;
      if (begin < end) f(i, all.data() + begin, all.data() + end);
    }
  }

  base::Result<std::vector<LogSeries>> windows() {
    std::size_t looked_at = 0;
    for (std::vector<Sample>& all : samples_) {
      std::sort(all.begin(), all.end(), [](const Sample& a, const Sample& b) {
        return std::pair(a.time_us, a.order) < std::pair(b.time_us, b.order);
      });
      each_window(all, [&](std::size_t, const Sample* begin, const Sample* end) {
        looked_at += static_cast<std::size_t>(end - begin);
      });
    }
    if (looked_at > kMaxLookedAt)
      return base::fail(base::ErrorCode::kTooLarge,
                        fmt::format("the ranges of all steps hold more than {} numbers: make the step longer, or the "
                                    "range or the time shorter",
                                    kMaxLookedAt));
    std::vector<LogSeries> out;
    for (std::size_t s = 0; s < samples_.size(); ++s) {
      LogSeries made{keys_[s], std::vector<double>(steps_.count, kNone)};
      each_window(samples_[s],
                  [&](std::size_t i, const Sample* begin, const Sample* end) { made.values[i] = over(begin, end); });
      out.push_back(std::move(made));
    }
    return out;
  }

  // Of the numbers in one window, of which there is one at least.
  double over(const Sample* begin, const Sample* end) const {
    const auto by_value = [](const Sample& a, const Sample& b) { return a.value < b.value; };
    const double n = static_cast<double>(end - begin);
    switch (e_.function) {
      case RangeFunction::kFirst:
        return begin->value;
      case RangeFunction::kLast:
        return (end - 1)->value;
      case RangeFunction::kMin:
        return std::min_element(begin, end, by_value)->value;
      case RangeFunction::kMax:
        return std::max_element(begin, end, by_value)->value;
      case RangeFunction::kQuantile:
        return quantile(begin, end);
      default:
        break;
    }
    double sum = 0;
    for (const Sample* s = begin; s != end; ++s) sum += s->value;
    if (e_.function == RangeFunction::kSum) return sum;
    if (e_.function == RangeFunction::kRate) return sum / std::chrono::duration<double>(e_.range).count();
    if (e_.function == RangeFunction::kAvg) return sum / n;
    double squares = 0;
    for (const Sample* s = begin; s != end; ++s) squares += (s->value - sum / n) * (s->value - sum / n);
    return e_.function == RangeFunction::kStdvar ? squares / n : std::sqrt(squares / n);
  }

  // Between the two nearest, as Prometheus has it.
  double quantile(const Sample* begin, const Sample* end) const {
    if (e_.number < 0) return -INFINITY;
    if (e_.number > 1) return INFINITY;
    std::vector<double> values;
    for (const Sample* s = begin; s != end; ++s) values.push_back(s->value);
    const double rank = e_.number * static_cast<double>(values.size() - 1);
    const auto low = static_cast<std::size_t>(rank);
    const auto at = values.begin() + static_cast<std::ptrdiff_t>(low);
    std::nth_element(values.begin(), at, values.end());
    const double below = *at;
    if (low + 1 >= values.size()) return below;
    return below + (rank - static_cast<double>(low)) * (*std::min_element(at + 1, values.end()) - below);
  }

  const LogExpression& e_;
  LogSteps steps_;
  const Grouping* sum_of_;
  std::int64_t range_ = 0, offset_ = 0;
  bool per_line_ = false, over_ = false;
  std::size_t total_ = 0, held_ = 0;
  std::vector<StreamLabels> streams_, keys_;
  StreamTable table_;
  Pipeline pipeline_;
  std::map<StreamLabels, std::size_t> known_;
  std::vector<Differences> counts_;
  std::vector<std::vector<Sample>> samples_;
};

}  // namespace

StreamLabels grouped(const Grouping& grouping, const StreamLabels& labels) {
  StreamLabels out;
  for (const auto& label : labels) {
    const bool named = std::find(grouping.labels.begin(), grouping.labels.end(), label.first) != grouping.labels.end();
    if (named != grouping.without) out.push_back(label);
  }
  return out;
}

base::Result<std::vector<LogSeries>> evaluate_range(const LogSource& source, const LogExpression& range, LogSteps steps,
                                                    const Grouping* sum_of) {
  RangeScan scan(range, steps, sum_of);
  MAINSTAY_TRY_VOID(scan.run(source));
  return scan.result();
}

}  // namespace mainstay::observe
