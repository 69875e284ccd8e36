// Logs of all namespaces: appends from the collector, searches, and a live feed for those who follow. On the loop;
// files on the pool.
#pragma once
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "async/runtime.h"
#include "async/sync.h"
#include "capabilities/observe/segments.h"

namespace mainstay::observe {

struct LogQuery {
  std::string ns;
  std::string pod, pod_prefix, container, workload;  // empty: any
  std::string source = "container";                  // container, events, edge or audit
  std::string grep;                                  // RE2; empty: any
  std::int64_t from_us = 0, to_us = INT64_MAX;
  std::size_t limit = 1000;  // the newest so many
};
// The query's filter, compiled; kInvalid where grep is not a regular expression.
class LogFilter {
 public:
  static base::Result<std::shared_ptr<const LogFilter>> compile(LogQuery query);
  bool matches(const LogRecord& record) const;
  bool matches(const RecordView& record) const;
  const LogQuery& query() const { return query_; }
  const LinePrefilter* prefilter() const { return prefilter_.get(); }
  ~LogFilter();

 private:
  explicit LogFilter(LogQuery query);
  struct Regex;
  LogQuery query_;
  std::unique_ptr<Regex> regex_;
  std::unique_ptr<const LinePrefilter> prefilter_;
};

// What belongs to no namespace that exists is kept under this name, which no namespace can have.
inline constexpr std::string_view kNoNamespace = "_platform";

// New lines of some namespaces, as they are kept. A follower too slow for the bound misses lines and is told how many.
struct LogFeed {
  std::set<std::string, std::less<>> namespaces;
  bool all = false;                                     // those of all namespaces, also of those to come
  std::deque<std::pair<std::string, LogRecord>> lines;  // with their namespace
  std::size_t bytes = 0;                                // of those
  std::size_t missed = 0;
  std::unique_ptr<async::Event> changed;
  std::pair<std::string, LogRecord> take();  // the oldest line, where there is one
};

class LogStore {
 public:
  LogStore(async::Runtime& runtime, std::filesystem::path folder, std::uint64_t max_bytes_a_namespace);
  // Appends for one namespace are done one after the other, in the order of the calls.
  async::Task<base::Result<>> append(std::string ns, std::vector<LogRecord> records, std::vector<Position> positions);
  // How far a file was kept, in an earlier life too.
  async::Task<base::Result<std::uint64_t>> position(std::string ns, std::string file);
  void forget(const std::string& ns, const std::string& file);
  // Oldest first.
  async::Task<base::Result<std::vector<LogRecord>>> search(std::shared_ptr<const LogFilter> filter);
  // Until the last reference is dropped.
  std::shared_ptr<LogFeed> follow(std::set<std::string, std::less<>> namespaces, bool all = false);
  const std::filesystem::path& folder() const { return folder_; }

 private:
  struct Namespace {
    std::shared_ptr<Segments> segments;
    bool busy = false;
    std::unique_ptr<async::Event> free;
    std::uint64_t appended = 0;
  };
  struct PieceSearch;
  static async::Task<> search_piece(async::Runtime& runtime, std::shared_ptr<PieceSearch> search);
  async::Task<base::Result<std::shared_ptr<Namespace>>> acquire(std::string ns);
  void release(Namespace& ns);

  async::Runtime& runtime_;
  std::filesystem::path folder_;
  std::uint64_t max_bytes_;
  std::map<std::string, std::shared_ptr<Namespace>> namespaces_;
  std::vector<std::weak_ptr<LogFeed>> feeds_;
};

}  // namespace mainstay::observe
