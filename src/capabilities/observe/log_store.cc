#include "capabilities/observe/log_store.h"

#include <re2/re2.h>

namespace mainstay::observe {
namespace {

constexpr std::size_t kFeedLines = 10'000;
constexpr std::uint64_t kTrimEvery = 4u << 20;  // bytes appended between two looks at the total

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

bool LogFilter::matches(const LogRecord& r) const {
  if (!query_.pod.empty() && r.pod != query_.pod) return false;
  if (!query_.pod_prefix.empty() && !r.pod.starts_with(query_.pod_prefix)) return false;
  if (!query_.container.empty() && r.container != query_.container) return false;
  if (!query_.workload.empty() && r.workload != query_.workload) return false;
  if (r.time_us < query_.from_us || r.time_us > query_.to_us) return false;
  return !regex_ || RE2::PartialMatch(r.line, regex_->re);
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
    if (!feed || feed->ns != name) continue;
    for (const LogRecord& r : *shared) {
      if (feed->lines.size() >= kFeedLines) {
        feed->lines.pop_front();
        ++feed->missed;
      }
      feed->lines.push_back(r);
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
    std::deque<LogRecord> found;
    const auto take = [&](LogRecord&& r) {
      if (!filter->matches(r)) return true;
      if (found.size() >= filter->query().limit) found.pop_front();
      found.push_back(std::move(r));
      return true;
    };
    MAINSTAY_TRY_VOID(Segments::scan(folder, filter->query().from_us, filter->query().to_us, take));
    // Containers are appended one after the other: their times interleave only after sorting. Lines of one microsecond
    // keep their order.
    std::vector<std::pair<std::int64_t, std::size_t>> order;
    for (std::size_t i = 0; i < found.size(); ++i) order.emplace_back(found[i].time_us, i);
    std::sort(order.begin(), order.end());
    std::vector<LogRecord> out;
    out.reserve(order.size());
    for (const auto& [time, index] : order) out.push_back(std::move(found[index]));
    return out;
  };
  co_return co_await runtime_.blocking(work);
}

std::shared_ptr<LogFeed> LogStore::follow(std::string ns) {
  auto feed = std::make_shared<LogFeed>();
  feed->ns = std::move(ns);
  feed->changed = std::make_unique<async::Event>(runtime_.executor());
  feeds_.push_back(feed);
  return feed;
}

}  // namespace mainstay::observe
