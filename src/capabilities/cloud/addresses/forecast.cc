#include "capabilities/cloud/addresses/forecast.h"

#include <algorithm>
#include <cmath>

namespace mainstay::cloud {
namespace {

constexpr double kHorizonDays = 50 * 365.25;
constexpr std::size_t kMaxPoints = 180;  // fitted, so that the pairs stay below 17,000
constexpr double kNormal95 = 1.96;
constexpr auto kHourly = std::chrono::hours(72);
constexpr std::size_t kMaxSamples = 730 + 72;

double days(base::SystemTime::duration span) { return std::chrono::duration<double, std::ratio<86400>>(span).count(); }

base::SystemTime after(base::SystemTime from, double span) {
  return from +
         std::chrono::duration_cast<base::SystemTime::duration>(std::chrono::duration<double, std::ratio<86400>>(span));
}

// One point a day (its last), evenly thinned.
std::vector<Sample> points_of(const std::vector<Sample>& history) {
  std::vector<Sample> daily;
  for (const Sample& sample : history) {
    const auto day = std::chrono::floor<std::chrono::days>(sample.time);
    if (!daily.empty() && std::chrono::floor<std::chrono::days>(daily.back().time) == day)
      daily.back() = sample;
    else
      daily.push_back(sample);
  }
  if (daily.size() <= kMaxPoints) return daily;
  std::vector<Sample> out;
  for (std::size_t i = 0; i < kMaxPoints; ++i) out.push_back(daily[i * (daily.size() - 1) / (kMaxPoints - 1)]);
  return out;
}

// Days until the level reaches the size, growing by `slope` a day and by each plan at its date.
std::optional<double> days_until_full(double size, double used, double slope, const std::vector<Plan>& plans,
                                      base::SystemTime now) {
  double level = used, at = 0;
  if (level >= size) return 0;
  for (const Plan& plan : plans) {
    const double due = days(plan.by - now);
    if (due <= 0) continue;
    const double grown = level + slope * (due - at);
    if (slope > 0 && grown >= size) return at + (size - level) / slope;
    level = std::max(0.0, grown) + plan.addresses;
    at = due;
    if (level >= size) return at;
  }
  if (slope <= 0) return std::nullopt;
  const double out = at + (size - level) / slope;
  return out <= kHorizonDays ? std::optional(out) : std::nullopt;
}

double rounded(double value) { return std::round(value * 10) / 10; }

}  // namespace

Growth fit_growth(const std::vector<Sample>& history) {
  const std::vector<Sample> points = points_of(history);
  Growth out;
  if (points.size() < 3 || days(points.back().time - points.front().time) < 2) return out;
  std::vector<double> slopes;
  for (std::size_t i = 0; i < points.size(); ++i) {
    for (std::size_t j = i + 1; j < points.size(); ++j) {
      const double span = days(points[j].time - points[i].time);
      if (span > 0) slopes.push_back((points[j].used - points[i].used) / span);
    }
  }
  if (slopes.empty()) return out;
  std::ranges::sort(slopes);
  const auto at = [&slopes](double rank) {
    return slopes[static_cast<std::size_t>(std::clamp(rank, 0.0, static_cast<double>(slopes.size() - 1)))];
  };
  const double n = static_cast<double>(points.size()), pairs = static_cast<double>(slopes.size());
  const double spread = kNormal95 * std::sqrt(n * (n - 1) * (2 * n + 5) / 18);
  const std::size_t middle = slopes.size() / 2;
  out.per_day = slopes.size() % 2 == 1 ? slopes[middle] : (slopes[middle - 1] + slopes[middle]) / 2;
  out.low = at(std::floor((pairs - spread) / 2));
  out.high = at(std::ceil((pairs + spread) / 2));
  out.fitted = true;
  return out;
}

Forecast forecast(double size, double used, const std::vector<Sample>& history, const std::vector<Plan>& given,
                  base::SystemTime now) {
  std::vector<Plan> plans = given;
  std::ranges::sort(plans, {}, &Plan::by);
  Forecast out;
  out.growth = fit_growth(history);
  const auto at = [&](double slope) -> std::optional<base::SystemTime> {
    const auto span = days_until_full(size, used, slope, plans, now);
    return span ? std::optional(after(now, *span)) : std::nullopt;
  };
  out.exhausted = at(out.growth.per_day);
  out.earliest = at(out.growth.high);
  out.latest = at(out.growth.low);
  if (out.exhausted) out.months_left = days(*out.exhausted - now) / kDaysAMonth;
  return out;
}

json::object forecast_json(const Forecast& f) {
  json::object out;
  // To the day: nothing here is known better, and a status must not change with each look at the clock.
  const auto put = [&out](const char* name, const std::optional<base::SystemTime>& time) {
    if (time) out[name] = base::rfc3339(std::chrono::round<std::chrono::days>(*time));
  };
  put("exhaustedAt", f.exhausted);
  put("earliest", f.earliest);
  put("latest", f.latest);
  if (f.months_left) out["monthsLeft"] = json_number(rounded(*f.months_left));
  out["growthPerMonth"] = json_number(rounded(f.growth.per_day * kDaysAMonth));
  out["growthPerMonthLow"] = json_number(rounded(f.growth.low * kDaysAMonth));
  out["growthPerMonthHigh"] = json_number(rounded(f.growth.high * kDaysAMonth));
  out["basis"] = f.growth.fitted ? "history" : "plans";
  return out;
}

json::value json_number(double value) {
  if (std::abs(value) < 9e15 && value == std::floor(value)) return static_cast<std::int64_t>(value);
  return value;
}

std::vector<Sample> read_samples(const json::array& history) {
  std::vector<Sample> out;
  for (const json::value& one : history) {
    const auto time = base::parse_rfc3339(base::get_string(one, "time"));
    const json::value* used = base::find(one, "used");
    if (!time || used == nullptr || !used->is_number()) continue;
    out.push_back({*time, used->to_number<double>()});
  }
  std::ranges::sort(out, {}, &Sample::time);
  return out;
}

bool add_sample(json::array& history, base::SystemTime now, double used) {
  std::vector<Sample> samples = read_samples(history);
  if (!samples.empty() && now - samples.back().time < std::chrono::hours(1)) return false;
  samples.push_back({now, used});
  std::vector<Sample> kept;
  for (const Sample& sample : samples) {
    const bool same_day =
        !kept.empty() && now - sample.time > kHourly &&
        std::chrono::floor<std::chrono::days>(kept.back().time) == std::chrono::floor<std::chrono::days>(sample.time);
    if (!same_day)
      kept.push_back(sample);
    else if (sample.used > kept.back().used)
      kept.back() = sample;
  }
  if (kept.size() > kMaxSamples) kept.erase(kept.begin(), kept.end() - kMaxSamples);
  history.clear();
  for (const Sample& sample : kept)
    history.push_back({{"time", base::rfc3339(sample.time)}, {"used", json_number(sample.used)}});
  return true;
}

}  // namespace mainstay::cloud
