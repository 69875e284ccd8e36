#include "capabilities/observe/log_store.h"

#include <re2/re2.h>

namespace mainstay::observe {
namespace {

constexpr std::size_t kFeedLines = 10'000, kFeedBytes = 16u << 20;
constexpr std::size_t kMaxFound = 64u << 20;    // bytes of lines of one search
constexpr std::size_t kPiecesAtOnce = 2;        // of one search, each of a segment's size in memory
constexpr std::uint64_t kTrimEvery = 4u << 20;  // bytes appended between two looks at the total

// The newest `limit` records of those offered, segments newest first.
class Newest {
 public:
  explicit Newest(std::size_t limit) : limit_(limit) {}
  // Whether a record of this time could still be among them.
  bool wants(std::int64_t time_us) const { return kept_.size() < limit_ || time_us >= kept_.front().record.time_us; }
  void add(LogRecord record) {
    bytes_ += record.line.size();
    kept_.push_back({order_++, std::move(record)});
    std::push_heap(kept_.begin(), kept_.end(), later);
    while (kept_.size() > limit_ || bytes_ > kMaxFound) {
      if (bytes_ > kMaxFound) limit_ = kept_.size() - 1;  // what is older does not come back in place of it
      std::pop_heap(kept_.begin(), kept_.end(), later);
      bytes_ -= kept_.back().record.line.size();
      kept_.pop_back();
    }
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
  std::size_t limit_, order_ = 0, bytes_ = 0;
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
  if (query_.grep.empty()) return;
  regex_ = std::make_unique<Regex>(query_.grep);
  prefilter_ = LinePrefilter::of_regex(query_.grep);
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

std::pair<std::string, LogRecord> LogFeed::take() {
  auto oldest = std::move(lines.front());
  lines.pop_front();
  bytes -= oldest.second.line.size();
  return oldest;
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
      feed->lines.emplace_back(name, r);
      feed->bytes += r.line.size();
      while (feed->lines.size() > kFeedLines || feed->bytes > kFeedBytes) {
        feed->take();
        ++feed->missed;
      }
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

// One of the pieces that are looked at side by side.
struct LogStore::PieceSearch {
  std::shared_ptr<const LogFilter> filter;
  Segments::Piece piece;
  base::Result<std::vector<LogRecord>> found;
};

async::Task<> LogStore::search_piece(async::Runtime& runtime, std::shared_ptr<PieceSearch> search) {
  const std::function<void()> work = [search] {
    const LogFilter& filter = *search->filter;
    Newest newest(filter.query().limit);
    Segments::Scan scan;
    scan.from_us = filter.query().from_us;
    scan.to_us = filter.query().to_us;
    scan.prefilter = filter.prefilter();
    scan.each = [&](const RecordView& r) {
      if (newest.wants(r.time_us) && filter.matches(r)) newest.add(copy(r));
      return true;
    };
    std::string room;
    Segments::Scanned done;
    const auto scanned = Segments::scan_piece(search->piece, scan, room, done);
    search->found = scanned ? base::Result<std::vector<LogRecord>>(newest.take()) : std::unexpected(scanned.error());
  };
  co_await runtime.blocking(work);
}

async::Task<base::Result<std::vector<LogRecord>>> LogStore::search(std::shared_ptr<const LogFilter> filter) {
  const std::function<base::Result<std::vector<Segments::Piece>>()> list = [filter,
                                                                            folder = folder_ / filter->query().ns] {
    Segments::Scan scan;
    scan.from_us = filter->query().from_us;
    scan.to_us = filter->query().to_us;
    scan.newest_first = true;
    return Segments::pieces(folder, scan);
  };
  MAINSTAY_CO_TRY(std::vector<Segments::Piece> pieces, co_await runtime_.blocking(list));
  Newest newest(filter->query().limit);
  std::size_t next = 0;
  while (next < pieces.size() && newest.wants(pieces[next].to_us)) {
    async::TaskGroup group(runtime_.executor(), "log search");
    std::vector<std::shared_ptr<PieceSearch>> searches;
    for (; next < pieces.size() && searches.size() < kPiecesAtOnce; ++next) {
      searches.push_back(std::make_shared<PieceSearch>(PieceSearch{filter, std::move(pieces[next]), {}}));
      group.spawn("piece", search_piece(runtime_, searches.back()));
    }
    co_await group.join();
    for (const auto& search : searches) {
      if (!search->found) co_return std::unexpected(search->found.error());
      for (LogRecord& r : *search->found) {
        if (newest.wants(r.time_us)) newest.add(std::move(r));
      }
    }
  }
  co_return newest.take();
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
