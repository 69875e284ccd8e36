// Keeps what the platform itself writes beside the containers' output: the edge's access log, the audit log, and
// Events. Each line goes to the namespace it speaks of; what speaks of none that exists goes to kNoNamespace, where
// only those look who may see everything.
//
// Files are followed as the collector follows containers', with one difference: lines of one file go to many
// namespaces. The position is a count of bytes over all generations of the file, kept with the lines in each
// namespace and, last, in kNoNamespace, so that after a crash no line is lost and none is kept twice.
#pragma once
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "async/file_watch.h"
#include "capabilities/observe/log_store.h"
#include "client/cache.h"
#include "platform/host.h"

namespace mainstay::observe {

// A line and the namespace it speaks of; "" for none.
struct PlatformLine {
  std::string ns;
  LogRecord record;
};
// nullopt: not a line of that log. `text` has no newline.
std::optional<PlatformLine> parse_audit_line(std::string_view text);

// One request at the edge, for metrics.
struct EdgeRequest {
  std::string ns, service;
  int code = 0;
  double seconds = 0;
};
std::optional<PlatformLine> parse_edge_line(std::string_view text, EdgeRequest& request);

// An Event as a line: type=Warning reason=BackOff kind=Pod name=web-1 count=3 message="…"
PlatformLine event_line(const boost::json::value& event);

class PlatformLogs : public std::enable_shared_from_this<PlatformLogs> {
 public:
  PlatformLogs(platform::Host& host, std::shared_ptr<LogStore> store);
  async::Task<> start();

 private:
  using Self = std::shared_ptr<PlatformLogs>;
  struct File {
    std::string name;  // of its positions: "edge", "audit"
    std::filesystem::path path;
    std::chrono::seconds linger;  // how long its writer may still append to a file that was renamed
    std::uint64_t inode = 0, base = 0, offset = 0;
    std::map<std::string, std::uint64_t> kept;  // by namespace, of the lines' positions
    std::optional<base::SteadyTime> renamed;
    bool dirty = true;
    std::unique_ptr<async::Event> changed;
  };
  using FilePtr = std::shared_ptr<File>;
  struct Batch {
    std::vector<std::pair<std::uint64_t, PlatformLine>> lines;  // with the position after each
    std::vector<EdgeRequest> requests;
    std::size_t used = 0;
    std::uint64_t inode = 0, next_inode = 0;  // of what was read; of what is at the path now
  };
  static async::Task<> watch(Self self);
  static async::Task<> pump(Self self, FilePtr file);
  static async::Task<bool> read_some(Self self, FilePtr file);  // true where there may be more
  static async::Task<> keep_events(Self self);
  async::Task<base::Result<>> keep(FilePtr file, Batch& batch);
  async::Task<std::uint64_t> position(std::string ns, std::string name);
  void measure(const std::vector<EdgeRequest>& requests);
  std::string space_of(const std::string& ns) const;

  platform::Host& host_;
  std::shared_ptr<LogStore> store_;
  std::shared_ptr<client::Cache> namespaces_, events_;
  std::unique_ptr<async::FileWatch> watch_;
  std::vector<FilePtr> files_;
  std::vector<client::ObjectPtr> pending_events_;
  std::unique_ptr<async::Event> events_changed_;
};

}  // namespace mainstay::observe
