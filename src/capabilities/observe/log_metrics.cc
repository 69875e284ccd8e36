#include "capabilities/observe/log_metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace mainstay::observe {
namespace {

using Kind = LogExpression::Kind;
constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

double combined(Aggregation how, const std::vector<double>& values) {
  double sum = 0, least = INFINITY, most = -INFINITY, squares = 0;
  std::size_t count = 0;
  for (const double v : values) {
    if (std::isnan(v)) continue;
    ++count;
    sum += v;
    least = std::min(least, v);
    most = std::max(most, v);
  }
  if (count == 0) return kNone;
  const double n = static_cast<double>(count);
  switch (how) {
    case Aggregation::kMin:
      return least;
    case Aggregation::kMax:
      return most;
    case Aggregation::kAvg:
      return sum / n;
    case Aggregation::kCount:
      return n;
    case Aggregation::kStddev:
    case Aggregation::kStdvar:
      for (const double v : values) squares += std::isnan(v) ? 0 : (v - sum / n) * (v - sum / n);
      return how == Aggregation::kStdvar ? squares / n : std::sqrt(squares / n);
    default:
      return sum;
  }
}

using Groups = std::map<StreamLabels, std::vector<LogSeries*>>;

// Of each group, and at each step, the k greatest (or least) stay.
void keep_k(Groups& groups, std::size_t k, bool greatest, std::size_t steps) {
  for (auto& [labels, members] : groups) {
    for (std::size_t i = 0; i < steps; ++i) {
      std::vector<LogSeries*> present;
      for (LogSeries* s : members) {
        if (!std::isnan(s->values[i])) present.push_back(s);
      }
      if (present.size() <= k) continue;
      const auto cut = present.begin() + static_cast<std::ptrdiff_t>(k);
      std::nth_element(present.begin(), cut, present.end(), [i, greatest](const LogSeries* a, const LogSeries* b) {
        return greatest ? a->values[i] > b->values[i] : a->values[i] < b->values[i];
      });
      std::for_each(cut, present.end(), [i](LogSeries* s) { s->values[i] = kNone; });
    }
  }
}

std::vector<LogSeries> aggregated(const LogExpression& e, std::vector<LogSeries> series, std::size_t steps) {
  if (e.aggregation == Aggregation::kSort || e.aggregation == Aggregation::kSortDesc) {
    const bool down = e.aggregation == Aggregation::kSortDesc;
    // By their last value; those without one come last.
    const auto key = [down](const LogSeries& s) {
      const double v = s.values.back();
      return std::pair(std::isnan(v) ? std::numeric_limits<double>::infinity() : down ? -v : v, &s.labels);
    };
    std::sort(series.begin(), series.end(), [&key](const LogSeries& a, const LogSeries& b) {
      const auto [left, left_labels] = key(a);
      const auto [right, right_labels] = key(b);
      return left != right ? left < right : *left_labels < *right_labels;
    });
    return series;
  }
  Groups groups;
  for (LogSeries& s : series) groups[grouped(e.grouping, s.labels)].push_back(&s);
  if (e.aggregation == Aggregation::kTopk || e.aggregation == Aggregation::kBottomk) {
    keep_k(groups, static_cast<std::size_t>(e.number), e.aggregation == Aggregation::kTopk, steps);
    return series;
  }
  std::vector<LogSeries> out;
  for (const auto& [labels, members] : groups) {
    LogSeries made{labels, std::vector<double>(steps)};
    std::vector<double> values(members.size());
    for (std::size_t i = 0; i < steps; ++i) {
      for (std::size_t m = 0; m < members.size(); ++m) values[m] = members[m]->values[i];
      made.values[i] = combined(e.aggregation, values);
    }
    out.push_back(std::move(made));
  }
  return out;
}

bool holds(BinaryOp op, double a, double b) {
  switch (op) {
    case BinaryOp::kEqual:
      return a == b;
    case BinaryOp::kNotEqual:
      return a != b;
    case BinaryOp::kGreater:
      return a > b;
    case BinaryOp::kGreaterEqual:
      return a >= b;
    case BinaryOp::kLess:
      return a < b;
    default:
      return a <= b;
  }
}

double reckoned(const LogExpression& e, double a, double b, double kept) {
  if (std::isnan(a) || std::isnan(b)) return kNone;
  switch (e.op) {
    case BinaryOp::kAdd:
      return a + b;
    case BinaryOp::kSubtract:
      return a - b;
    case BinaryOp::kMultiply:
      return a * b;
    case BinaryOp::kDivide:
      return a / b;
    case BinaryOp::kModulo:
      return std::fmod(a, b);
    case BinaryOp::kPower:
      return std::pow(a, b);
    default:
      break;
  }
  const bool yes = holds(e.op, a, b);
  return e.as_bool ? (yes ? 1 : 0) : (yes ? kept : kNone);
}

// The labels that series of both sides must have in common.
StreamLabels matched_by(const LogExpression& e, const StreamLabels& labels) {
  return e.grouping.given ? grouped(e.grouping, labels) : labels;
}

// One side by those labels. Of series that have them in common, as those that a comparison or topk leaves, there may be
// one at each step.
base::Result<std::map<StreamLabels, std::vector<double>>> one_each(const LogExpression& e,
                                                                   const std::vector<LogSeries>& series) {
  std::map<StreamLabels, std::vector<double>> out;
  for (const LogSeries& s : series) {
    const auto [at, fresh] = out.try_emplace(matched_by(e, s.labels), s.values);
    for (std::size_t i = 0; !fresh && i < s.values.size(); ++i) {
      if (std::isnan(s.values[i])) continue;
      if (!std::isnan(at->second[i]))
        return base::fail(base::ErrorCode::kInvalid,
                          "query: several series of one side match one of the other: sum them by the labels that both "
                          "have, or name those by on (…)");
      at->second[i] = s.values[i];
    }
  }
  return out;
}

// and, or, unless: at each step, by what is there.
std::vector<LogSeries> combined_sets(const LogExpression& e, std::vector<LogSeries> left, std::vector<LogSeries> right,
                                     std::size_t steps) {
  const auto present = [&e, steps](const std::vector<LogSeries>& series) {
    std::map<StreamLabels, std::vector<char>> out;
    for (const LogSeries& s : series) {
      auto& at = out[matched_by(e, s.labels)];
      at.resize(steps);
      for (std::size_t i = 0; i < steps; ++i) at[i] |= static_cast<char>(!std::isnan(s.values[i]));
    }
    return out;
  };
  const auto keep = [&e, steps](std::vector<LogSeries>& series, const std::map<StreamLabels, std::vector<char>>& other,
                                bool where_there) {
    for (LogSeries& s : series) {
      const auto at = other.find(matched_by(e, s.labels));
      for (std::size_t i = 0; i < steps; ++i) {
        const bool there = at != other.end() && at->second[i];
        if (there != where_there) s.values[i] = kNone;
      }
    }
  };
  if (e.op != BinaryOp::kOr) {
    keep(left, present(right), e.op == BinaryOp::kAnd);
    return left;
  }
  keep(right, present(left), false);
  for (LogSeries& s : right) {
    const auto same = std::find_if(left.begin(), left.end(), [&s](const LogSeries& l) { return l.labels == s.labels; });
    if (same == left.end()) {
      left.push_back(std::move(s));
      continue;
    }
    for (std::size_t i = 0; i < steps; ++i) {
      if (std::isnan(same->values[i])) same->values[i] = s.values[i];
    }
  }
  return left;
}

base::Result<LogNumbers> operated(const LogExpression& e, LogNumbers left, LogNumbers right, std::size_t steps) {
  if (left.scalar || right.scalar) {
    LogNumbers out;
    out.scalar = left.scalar && right.scalar;
    std::vector<LogSeries>& series = left.scalar ? right.series : left.series;
    const std::vector<double> number = left.scalar ? left.series[0].values : right.series[0].values;
    for (LogSeries& s : series) {
      for (std::size_t i = 0; i < steps; ++i) {
        const double a = left.scalar ? number[i] : s.values[i], b = left.scalar ? s.values[i] : number[i];
        s.values[i] = reckoned(e, a, b, s.values[i]);
      }
    }
    out.series = std::move(series);
    return out;
  }
  LogNumbers out;
  if (e.op == BinaryOp::kAnd || e.op == BinaryOp::kOr || e.op == BinaryOp::kUnless) {
    out.series = combined_sets(e, std::move(left.series), std::move(right.series), steps);
    return out;
  }
  MAINSTAY_TRY(const auto lefts, one_each(e, left.series));
  MAINSTAY_TRY(const auto rights, one_each(e, right.series));
  for (const auto& [labels, a] : lefts) {
    const auto b = rights.find(labels);
    if (b == rights.end()) continue;
    LogSeries made{labels, std::vector<double>(steps)};
    for (std::size_t i = 0; i < steps; ++i) made.values[i] = reckoned(e, a[i], b->second[i], a[i]);
    out.series.push_back(std::move(made));
  }
  return out;
}

base::Result<LogNumbers> value_of(const LogSource& source, const LogExpression& e, LogSteps steps) {
  switch (e.kind) {
    case Kind::kNumber:
    case Kind::kVector:
      return LogNumbers{e.kind == Kind::kNumber, {{{}, std::vector<double>(steps.count, e.number)}}};
    case Kind::kRange: {
      MAINSTAY_TRY(auto series, evaluate_range(source, e, steps, nullptr));
      return LogNumbers{false, std::move(series)};
    }
    case Kind::kAggregate: {
      const LogExpression& inner = e.parts[0];
      const bool sums_counts = e.aggregation == Aggregation::kSum && inner.kind == Kind::kRange && !inner.unwrap;
      LogNumbers found;
      if (sums_counts) {
        MAINSTAY_TRY(found.series, evaluate_range(source, inner, steps, &e.grouping));
      } else {
        MAINSTAY_TRY(found, value_of(source, inner, steps));
      }
      return LogNumbers{false, aggregated(e, std::move(found.series), steps.count)};
    }
    case Kind::kBinary: {
      MAINSTAY_TRY(LogNumbers left, value_of(source, e.parts[0], steps));
      MAINSTAY_TRY(LogNumbers right, value_of(source, e.parts[1], steps));
      return operated(e, std::move(left), std::move(right), steps.count);
    }
    case Kind::kLines:
      break;
  }
  return base::fail(base::ErrorCode::kInvalid, "query: lines are no numbers");
}

}  // namespace

base::Result<LogNumbers> evaluate(const LogSource& source, const LogExpression& expression, LogSteps steps) {
  if (steps.count == 0 || steps.count > kMaxSteps || steps.step_us <= 0)
    return base::fail(base::ErrorCode::kInvalid,
                      fmt::format("step: from 1 to {} points, got {}", kMaxSteps, steps.count));
  return value_of(source, expression, steps);
}

}  // namespace mainstay::observe
