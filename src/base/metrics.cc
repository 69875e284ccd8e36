#include "base/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace mainstay::base {
namespace {

std::string escaped(std::string_view value, bool quotes) {
  std::string out;
  for (char c : value) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '"' && quotes) {
      out += "\\\"";
    } else {
      out += c;
    }
  }
  return out;
}

using Labels = std::vector<std::pair<std::string, std::string>>;

std::string label_text(const Labels& labels) {
  std::string out;
  for (const auto& [name, value] : labels) {
    if (!out.empty()) out += ',';
    out += fmt::format("{}=\"{}\"", name, escaped(value, true));
  }
  return out;
}

std::string number(double value) {
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  if (std::isnan(value)) return "NaN";
  return fmt::format("{}", value);
}

// The series of these labels; past `most` the one labelled `overflow`, so that outside input cannot grow the memory.
template <class T, class Make>
T& series(std::map<std::string, std::unique_ptr<T>>& all, const Labels& labels, std::size_t most, Make make) {
  std::string key = label_text(labels);
  auto at = all.find(key);
  if (at == all.end()) {
    if (all.size() >= most) key = "overflow=\"true\"";
    auto& slot = all[key];
    if (!slot) slot = make();
    return *slot;
  }
  return *at->second;
}

template <class T>
void write_values(std::string& out, const std::string& name, const std::map<std::string, std::unique_ptr<T>>& all) {
  for (const auto& [labels, value] : all) {
    out += name;
    if (!labels.empty()) out += fmt::format("{{{}}}", labels);
    out += fmt::format(" {}\n", number(value->value()));
  }
}

}  // namespace

Histogram::Histogram(std::vector<double> bounds) : bounds_(std::move(bounds)), buckets_(bounds_.size()) {
  std::sort(bounds_.begin(), bounds_.end());
}

void Histogram::observe(double value) {
  const auto at = std::lower_bound(bounds_.begin(), bounds_.end(), value);
  if (at != bounds_.end()) {
    buckets_[static_cast<std::size_t>(at - bounds_.begin())].fetch_add(1, std::memory_order_relaxed);
  }
  sum_.fetch_add(value, std::memory_order_relaxed);
  count_.fetch_add(1, std::memory_order_relaxed);
}

void Histogram::write(std::string& out, std::string_view name, std::string_view labels) const {
  const std::string_view comma = labels.empty() ? "" : ",";
  const std::string braced = labels.empty() ? "" : fmt::format("{{{}}}", labels);
  // The count is read first: observe() bumps it last, so the +Inf bucket may lag but never falls below its neighbours
  // once it is raised to them.
  std::uint64_t total = count_.load(std::memory_order_relaxed), cumulative = 0;
  for (std::size_t i = 0; i < bounds_.size(); ++i) {
    cumulative += buckets_[i].load(std::memory_order_relaxed);
    out += fmt::format("{}_bucket{{{}{}le=\"{}\"}} {}\n", name, labels, comma, number(bounds_[i]), cumulative);
  }
  total = std::max(total, cumulative);
  out += fmt::format("{}_bucket{{{}{}le=\"+Inf\"}} {}\n", name, labels, comma, total);
  out += fmt::format("{}_sum{} {}\n{}_count{} {}\n", name, braced, number(sum_.load(std::memory_order_relaxed)), name,
                     braced, total);
}

Counter& Metrics::counter(std::string_view name, std::string_view help, Labels labels) {
  const std::lock_guard lock(mutex_);
  return series(family(name, help, "counter").counters, labels, kMaxSeries, [] { return std::make_unique<Counter>(); });
}

Gauge& Metrics::gauge(std::string_view name, std::string_view help, Labels labels) {
  const std::lock_guard lock(mutex_);
  return series(family(name, help, "gauge").gauges, labels, kMaxSeries, [] { return std::make_unique<Gauge>(); });
}

Histogram& Metrics::histogram(std::string_view name, std::string_view help, std::vector<double> bounds, Labels labels) {
  const std::lock_guard lock(mutex_);
  return series(family(name, help, "histogram").histograms, labels, kMaxSeries,
                [&] { return std::make_unique<Histogram>(std::move(bounds)); });
}

Metrics::Family& Metrics::family(std::string_view name, std::string_view help, std::string_view type) {
  auto at = families_.find(name);
  if (at == families_.end()) {
    at = families_.emplace(std::string(name), Family{std::string(help), std::string(type), {}, {}, {}}).first;
  }
  return at->second;
}

void Metrics::on_scrape(std::function<void()> refresh) {
  const std::lock_guard lock(mutex_);
  refreshers_.push_back(std::move(refresh));
}

std::string Metrics::scrape() {
  std::vector<std::function<void()>> refreshers;
  {
    const std::lock_guard lock(mutex_);
    refreshers = refreshers_;
  }
  for (const auto& refresh : refreshers) refresh();  // without the lock: they register and set
  const std::lock_guard lock(mutex_);
  std::string out;
  for (const auto& [name, family] : families_) {
    out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, escaped(family.help, false), name, family.type);
    write_values(out, name, family.counters);
    write_values(out, name, family.gauges);
    for (const auto& [labels, histogram] : family.histograms) histogram->write(out, name, labels);
  }
  return out;
}

}  // namespace mainstay::base
