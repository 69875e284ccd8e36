// Counters, gauges and histograms in the Prometheus text format. Registered once, lock-free to bump, thread-safe.
// Names follow the ecosystem's: apiserver_request_duration_seconds, mainstay_…; a label set over `max_series` folds
// into one series labelled `overflow` (bounded memory whatever the input).
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mainstay::base {

class Counter {
 public:
  void add(double by = 1) { value_.fetch_add(by, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};
class Gauge {
 public:
  void set(double to) { value_.store(to, std::memory_order_relaxed); }
  void add(double by) { value_.fetch_add(by, std::memory_order_relaxed); }
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};
class Histogram {
 public:
  explicit Histogram(std::vector<double> bounds);
  void observe(double value);
  void write(std::string& out, std::string_view name, std::string_view labels) const;

 private:
  std::vector<double> bounds_;
  std::vector<std::atomic<std::uint64_t>> buckets_;
  std::atomic<double> sum_{0};
  std::atomic<std::uint64_t> count_{0};
};

class Metrics {
 public:
  // The series of these labels (name, value), made where it is new: keep the reference on hot paths, it stays valid for
  // the registry's life. `bounds` are upper bounds without +Inf; the family's first help and type stay.
  Counter& counter(std::string_view name, std::string_view help,
                   std::vector<std::pair<std::string, std::string>> labels = {});
  Gauge& gauge(std::string_view name, std::string_view help,
               std::vector<std::pair<std::string, std::string>> labels = {});
  Histogram& histogram(std::string_view name, std::string_view help, std::vector<double> bounds,
                       std::vector<std::pair<std::string, std::string>> labels = {});
  // Called at each scrape to refresh gauges.
  void on_scrape(std::function<void()> refresh);
  std::string scrape();  // text format 0.0.4

 private:
  struct Family {
    std::string help, type;
    std::map<std::string, std::unique_ptr<Counter>> counters;
    std::map<std::string, std::unique_ptr<Gauge>> gauges;
    std::map<std::string, std::unique_ptr<Histogram>> histograms;
  };
  Family& family(std::string_view name, std::string_view help, std::string_view type);  // under the lock

  static constexpr std::size_t kMaxSeries = 2000;
  std::mutex mutex_;
  std::map<std::string, Family, std::less<>> families_;
  std::vector<std::function<void()>> refreshers_;
};

}  // namespace mainstay::base
