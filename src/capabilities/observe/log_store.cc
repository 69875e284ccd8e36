#include "capabilities/observe/log_store.h"

#include <re2/re2.h>

namespace mainstay::observe {
namespace {

constexpr std::size_t kFeedLines = 10'000;
constexpr std::uint64_t kTrimEvery = 4u << 20;  // bytes appended between two looks at the total

// The newest `limit` records of those offered, segments newest first.
class Newest {
 public:
  explicit Newest(std::size_t limit) : limit_(limit) {}
  // Whether a record of this time could still be among them.
  bool wants(std::int64_t time_us) const { return kept_.size() < limit_ || time_us >= kept_.front().record.time_us; }
  void add(LogRecord record) {
    kept_.push_back({order_++, std::move(record)});
    std::push_heap(kept_.begin(), kept_.end(), later);
    if (kept_.size() <= limit_) return;
    std::pop_heap(kept_.begin(), kept_.end(), later);
    kept_.pop_back();
  }
  // Oldest first. Lines of one microsecond keep the order in which they were written.
  std::vector<LogRecord> take() {
    std::sort(kept_.begin(), kept_.end(), [](const Kept& a, const Kept& b) {
      return std::pair(a.record.time_us, a.order) < std::pair(b.record.time_us, b.order);
    });
    std::vector<LogRecord> out;
    for (Kept& k : kept_) out.push_back(std::move(k.record));
    return out;
  }

 private:
  struct Kept {
    std::size_t order;
    LogRecord record;
  };
  static bool later(const Kept& a, const Kept& b) {
    return std::pair(a.record.time_us, a.order) > std::pair(b.record.time_us, b.order);
  }
  std::size_t limit_, order_ = 0;
  std::vector<Kept> kept_;
};

}  // namespace

struct LogFilter::Regex {
  explicit Regex(const std::string& pattern) : re(pattern, options()) {}
  static RE2::Options options() {
    RE2::Options o(RE2::Quiet);
    o.set_max_mem(4 << 20);
    return o;
  }
  RE2 re;
};

LogFilter::LogFilter(LogQuery query) : query_(std::move(query)) {
  if (!query_.grep.empty()) regex_ = std::make_unique<Regex>(query_.grep);
}
LogFilter::~LogFilter() = default;

base::Result<std::shared_ptr<const LogFilter>> LogFilter::compile(LogQuery query) {
  if (query.grep.size() > 1000) return base::fail(base::ErrorCode::kInvalid, "grep: longer than 1000 characters");
  std::shared_ptr<LogFilter> filter(new LogFilter(std::move(query)));
  if (filter->regex_ && !filter->regex_->re.ok())
    return base::fail(base::ErrorCode::kInvalid,
                      fmt::format("grep: not a regular expression (RE2): {}", filter->regex_->re.error()));
  return std::shared_ptr<const LogFilter>(std::move(filter));
}

bool LogFilter::matches(const RecordView& r) const {
  if (r.time_us < query_.from_us || r.time_us > query_.to_us) return false;
  if (source_of(r.stream) != query_.source) return false;
  if (!query_.pod.empty() && r.pod != query_.pod) return false;
  if (!query_.pod_prefix.empty() && !r.pod.starts_with(query_.pod_prefix)) return false;
  if (!query_.container.empty() && r.container != query_.container) return false;
  if (!query_.workload.empty() && r.workload != query_.workload) return false;
  return !regex_ || RE2::PartialMatch(r.line, regex_->re);
}

bool LogFilter::matches(const LogRecord& r) const {
  return matches(RecordView{r.time_us, r.stream, r.pod, r.container, r.workload, r.line, {}});
}

LogStore::LogStore(async::Runtime& runtime, std::filesystem::path folder, std::uint64_t max_bytes_a_namespace)
    : runtime_(runtime), folder_(std::move(folder)), max_bytes_(max_bytes_a_namespace) {}

async::Task<base::Result<std::shared_ptr<LogStore::Namespace>>> LogStore::acquire(std::string name) {
  std::shared_ptr<Namespace>& slot = namespaces_[name];
  if (!slot) {
    slot = std::make_shared<Namespace>();
    slot->free = std::make_unique<async::Event>(runtime_.executor());
  }
  const std::shared_ptr<Namespace> ns = slot;
  while (ns->busy) co_await ns->free->wait();
  ns->busy = true;
  if (!ns->segments) {
    const std::filesystem::path folder = folder_ / name;
    const std::function<base::Result<Segments>()> open = [folder] { return Segments::open(folder); };
    auto opened = co_await runtime_.blocking(open);
    if (!opened) {
      release(*ns);
      co_return std::unexpected(opened.error());
    }
    ns->segments = std::make_shared<Segments>(*std::move(opened));
  }
  co_return ns;
}

void LogStore::release(Namespace& ns) {
  ns.busy = false;
  ns.free->notify_all();
}

async::Task<base::Result<>> LogStore::append(std::string name, std::vector<LogRecord> records,
                                             std::vector<Position> positions) {
  auto acquired = co_await acquire(name);
  if (!acquired) co_return std::unexpected(acquired.error());
  const std::shared_ptr<Namespace> ns = *acquired;
  auto shared = std::make_shared<std::vector<LogRecord>>(std::move(records));
  for (const LogRecord& r : *shared) ns->appended += r.line.size() + 64;
  const bool trim = ns->appended >= kTrimEvery;
  if (trim) ns->appended = 0;
  const std::function<base::Result<>()> write = [segments = ns->segments, shared, positions, trim, max = max_bytes_] {
    auto done = segments->append(*shared, positions);
    if (trim) segments->trim(max);
    return done;
  };
  const auto done = co_await runtime_.blocking(write);
  release(*ns);
  if (!done) co_return std::unexpected(done.error());
  std::erase_if(feeds_, [](const auto& feed) { return feed.expired(); });
  for (const auto& weak : feeds_) {
    const auto feed = weak.lock();
    if (!feed || !(feed->all || feed->namespaces.contains(name))) continue;
    for (const LogRecord& r : *shared) {
      if (feed->lines.size() >= kFeedLines) {
        feed->lines.pop_front();
        ++feed->missed;
      }
      feed->lines.emplace_back(name, r);
    }
    feed->changed->notify_all();
  }
  co_return base::Result<>{};
}

async::Task<base::Result<std::uint64_t>> LogStore::position(std::string name, std::string file) {
  auto acquired = co_await acquire(name);
  if (!acquired) co_return std::unexpected(acquired.error());
  const auto& positions = (*acquired)->segments->positions();
  const auto it = positions.find(file);
  const std::uint64_t offset = it == positions.end() ? 0 : it->second;
  release(**acquired);
  co_return offset;
}

void LogStore::forget(const std::string& name, const std::string& file) {
  const auto it = namespaces_.find(name);
  if (it != namespaces_.end() && it->second->segments && !it->second->busy) it->second->segments->forget(file);
}

async::Task<base::Result<std::vector<LogRecord>>> LogStore::search(std::shared_ptr<const LogFilter> filter) {
  const std::function<base::Result<std::vector<LogRecord>>()> work =
      [filter, folder = folder_ / filter->query().ns]() -> base::Result<std::vector<LogRecord>> {
    Newest newest(filter->query().limit);
    Segments::Scan scan;
    scan.from_us = filter->query().from_us;
    scan.to_us = filter->query().to_us;
    scan.newest_first = true;
    scan.go_on = [&](std::int64_t bound) { return newest.wants(bound); };
    scan.each = [&](const RecordView& r) {
      if (newest.wants(r.time_us) && filter->matches(r)) newest.add(copy(r));
      return true;
    };
    MAINSTAY_TRY_VOID(Segments::scan(folder, scan));
    return newest.take();
  };
  co_return co_await runtime_.blocking(work);
}

std::shared_ptr<LogFeed> LogStore::follow(std::set<std::string, std::less<>> namespaces, bool all) {
  auto feed = std::make_shared<LogFeed>();
  feed->namespaces = std::move(namespaces);
  feed->all = all;
  feed->changed = std::make_unique<async::Event>(runtime_.executor());
  feeds_.push_back(feed);
  return feed;
}

}  // namespace mainstay::observe
