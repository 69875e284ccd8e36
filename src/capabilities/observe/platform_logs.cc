#include "capabilities/observe/platform_logs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/encoding.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "capabilities/observe/scope.h"

namespace mainstay::observe {
namespace fs = std::filesystem;
namespace {
namespace json = boost::json;

constexpr std::size_t kReadBytes = 1u << 20;
constexpr std::chrono::milliseconds kGather{200}, kRest{100};
constexpr std::chrono::seconds kRetry{2};
constexpr std::size_t kMaxPendingEvents = 20'000;

std::uint64_t inode_of(const fs::path& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 ? static_cast<std::uint64_t>(info.st_ino) : 0;
}

std::string read_at(const fs::path& path, std::uint64_t offset) {
  std::string data;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return data;
  data.resize_and_overwrite(kReadBytes, [&](char* to, std::size_t size) {
    const ssize_t n = ::pread(fd, to, size, static_cast<off_t>(offset));
    return n > 0 ? static_cast<std::size_t>(n) : 0;
  });
  ::close(fd);
  return data;
}

std::int64_t to_us(base::SystemTime time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}

// A field of a line on disk ends at a tab or newline.
std::string field(std::string text) {
  std::replace_if(text.begin(), text.end(), [](char c) { return c == '\t' || c == '\n'; }, ' ');
  return text;
}

// HAProxy escapes a slash too, which JSON need not: whoever searches for a path types it plainly.
std::string plain_slashes(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      if (text[++i] != '/') out += '\\';
    }
    out += text[i];
  }
  return out;
}

std::string in_quotes(std::string_view text) { return json::serialize(json::value(text)); }

double number_of(const json::value& object, std::string_view name) {
  const json::value* v = base::find(object, name);
  if (!v) return 0;
  if (v->is_int64()) return static_cast<double>(v->as_int64());
  return v->is_double() ? v->as_double() : 0;
}

}  // namespace

std::optional<PlatformLine> parse_audit_line(std::string_view text) {
  const auto parsed = base::parse_json(text, 16);
  if (!parsed || !parsed->is_object()) return std::nullopt;
  std::string when = base::get_string(*parsed, "stageTimestamp");
  const auto time = base::parse_rfc3339(when);
  if (!time) return std::nullopt;
  PlatformLine out;
  out.ns = base::get_string(*parsed, "objectRef.namespace");
  out.record.time_us = to_us(*time);
  out.record.stream = 'a';
  out.record.line = text;
  return out;
}

std::optional<PlatformLine> parse_edge_line(std::string_view text, EdgeRequest& request) {
  const auto parsed = base::parse_json(text, 4);
  if (!parsed || !parsed->is_object()) return std::nullopt;
  const double time = number_of(*parsed, "time");
  if (time <= 0) return std::nullopt;
  PlatformLine out;
  const std::string service = base::get_string(*parsed, "service");
  if (const auto slash = service.find('/'); slash != std::string::npos) {
    out.ns = service.substr(0, slash);
    out.record.workload = field(service.substr(slash + 1));
  }
  out.record.pod = field(base::get_string(*parsed, "pod"));
  if (out.record.pod == "<NOSRV>") out.record.pod.clear();
  out.record.time_us = static_cast<std::int64_t>(time * 1e6);
  out.record.stream = 'g';
  out.record.line = plain_slashes(text);
  request.ns = out.ns;
  request.service = out.record.workload;
  request.code = static_cast<int>(base::get_int(*parsed, "status"));
  request.seconds = std::max(0.0, number_of(*parsed, "time_ms") / 1000);
  return out;
}

PlatformLine event_line(const json::value& event) {
  PlatformLine out;
  const std::string kind = base::get_string(event, "involvedObject.kind"),
                    name = base::get_string(event, "involvedObject.name");
  out.ns = base::get_string(event, "metadata.namespace");
  std::string when = base::get_string(event, "lastTimestamp");
  if (when.empty()) when = base::get_string(event, "eventTime");
  if (when.empty()) when = base::get_string(event, "metadata.creationTimestamp");
  if (const auto time = base::parse_rfc3339(when)) out.record.time_us = to_us(*time);
  out.record.stream = 'v';
  if (kind == "Pod") out.record.pod = field(name);
  if (kind == "Deployment") out.record.workload = field(name);
  out.record.line = fmt::format("type={} reason={} kind={} name={} count={} message={}",
                                base::get_string(event, "type"), base::get_string(event, "reason"), kind, name,
                                base::get_int(event, "count", 1), in_quotes(base::get_string(event, "message")));
  std::replace(out.record.line.begin(), out.record.line.end(), '\n', ' ');
  return out;
}

PlatformLogs::PlatformLogs(platform::Host& host, std::shared_ptr<LogStore> store)
    : host_(host),
      store_(std::move(store)),
      namespaces_(host.caches().of(client::resources::kNamespaces)),
      events_(host.caches().of(client::resources::kEvents)) {}

std::string PlatformLogs::space_of(const std::string& ns) const {
  // Of a namespace that is not there anybody could make up names, and a folder for each.
  return !ns.empty() && namespaces_->get("", ns) ? ns : std::string(kNoNamespace);
}

async::Task<std::uint64_t> PlatformLogs::position(std::string ns, std::string name) {
  const auto found = co_await store_->position(std::move(ns), std::move(name));
  co_return found.value_or(0);
}

async::Task<> PlatformLogs::start() {
  const Self self = shared_from_this();
  const async::Executor executor = host_.runtime().executor();
  auto opened = async::FileWatch::open(executor, kRest);
  if (!opened) {
    base::log::error("observe", "{}: access and audit logs cannot be searched", opened.error().message);
    co_return;
  }
  watch_ = *std::move(opened);
  const std::tuple<const char*, fs::path, std::chrono::seconds> known[] = {
      // HAProxy's predecessor finishes its requests for up to a minute, into the file that was renamed.
      {"edge", host_.config().dir("edge") / "access.log", std::chrono::seconds(65)},
      {"audit", host_.config().dir("audit") / "audit.log", std::chrono::seconds(1)}};
  for (const auto& [name, path, linger] : known) {
    auto file = std::make_shared<File>();
    file->name = name;
    file->path = path;
    file->linger = linger;
    file->changed = std::make_unique<async::Event>(executor);
    files_.push_back(file);
    host_.tasks().spawn(fmt::format("{} log", name), pump(self, file));
  }
  host_.tasks().spawn("platform logs", watch(self));
  events_changed_ = std::make_unique<async::Event>(executor);
  events_->on_change([weak = weak_from_this()](const client::ObjectPtr&, const client::ObjectPtr& after) {
    const Self logs = weak.lock();
    if (!logs || !after || logs->pending_events_.size() >= kMaxPendingEvents) return;
    logs->pending_events_.push_back(after);
    logs->events_changed_->notify_all();
  });
  host_.tasks().spawn("kept events", keep_events(self));
}

async::Task<> PlatformLogs::watch(Self self) {
  for (;;) {
    for (const async::FileChange& change : co_await self->watch_->next()) {
      for (const FilePtr& file : self->files_) {
        if (!(change.kind & async::FileChange::kOverflow) && change.path != file->path) continue;
        file->dirty = true;
        file->changed->notify_all();
      }
    }
  }
}

async::Task<> PlatformLogs::pump(Self self, FilePtr file) {
  co_await self->namespaces_->synced();
  const std::string none(kNoNamespace);
  file->inode = co_await self->position(none, file->name + "/inode");
  file->base = co_await self->position(none, file->name + "/base");
  file->offset = co_await self->position(none, file->name) - file->base;
  // The folder is its writer's to make.
  while (!self->watch_->add(file->path.parent_path(), async::FileChange::kModified | async::FileChange::kCreated))
    co_await async::sleep_for(kRetry);
  for (;;) {
    while (!file->dirty) {
      if (file->renamed) {
        co_await file->changed->wait_for(file->linger);
        break;
      }
      co_await file->changed->wait();
    }
    co_await async::sleep_for(kGather);
    file->dirty = false;
    while (co_await read_some(self, file)) {
    }
  }
}

async::Task<bool> PlatformLogs::read_some(Self self, FilePtr file) {
  const std::function<Batch()> work = [path = file->path, inode = file->inode, offset = file->offset,
                                       base = file->base] {
    Batch batch;
    batch.next_inode = inode_of(path);
    batch.inode = inode == 0 ? batch.next_inode : inode;
    const fs::path older = path.string() + ".1";
    const bool moved = batch.inode != batch.next_inode;
    std::string data;
    if (!moved || inode_of(older) == batch.inode) data = read_at(moved ? older : path, offset);
    for (std::size_t end; (end = data.find('\n', batch.used)) != std::string::npos; batch.used = end + 1) {
      const std::string_view line = std::string_view(data).substr(batch.used, end - batch.used);
      const std::uint64_t after = base + offset + end + 1;
      EdgeRequest request;
      auto parsed = path.filename() == "audit.log" ? parse_audit_line(line) : parse_edge_line(line, request);
      if (!parsed) continue;
      if (parsed->record.line.size() > kMaxLine) parsed->record.line.resize(kMaxLine);
      if (request.code != 0) batch.requests.push_back(std::move(request));
      batch.lines.emplace_back(after, *std::move(parsed));
    }
    return batch;
  };
  Batch batch = co_await self->host_.runtime().blocking(work);
  if (batch.next_inode == 0) co_return false;  // nothing was written yet
  file->inode = batch.inode;
  if (batch.used == 0) {
    if (batch.inode == batch.next_inode) {
      file->renamed.reset();
      co_return false;
    }
    const base::SteadyTime now = self->host_.clock().steady();
    if (!file->renamed) file->renamed = now;
    if (now - *file->renamed < file->linger) co_return false;
    // Nobody writes to the old one any more.
    file->base += file->offset;
    file->offset = 0;
    file->inode = batch.next_inode;
    file->renamed.reset();
    co_return true;
  }
  if (const auto kept = co_await self->keep(file, batch); !kept) {
    base::log::warn("observe", "keeping the {} log: {}; trying again", file->name, kept.error().message);
    co_await async::sleep_for(kRetry);
    file->dirty = true;
    co_return false;
  }
  self->measure(batch.requests);  // once: lines that could not be kept are read again
  file->offset += batch.used;
  co_return true;
}

async::Task<base::Result<>> PlatformLogs::keep(FilePtr file, Batch& batch) {
  const std::uint64_t end = file->base + file->offset + batch.used;
  std::map<std::string, std::vector<LogRecord>> by_space;
  for (auto& [after, line] : batch.lines) {
    const std::string space = space_of(line.ns);
    auto at = file->kept.find(space);
    if (at == file->kept.end()) at = file->kept.emplace(space, co_await position(space, file->name)).first;
    if (after > at->second) by_space[space].push_back(std::move(line.record));
  }
  const std::string none(kNoNamespace);
  for (auto& [space, records] : by_space) {
    if (space == none) continue;
    MAINSTAY_CO_TRY_VOID(co_await store_->append(space, std::move(records), {{file->name, end}}));
    file->kept[space] = end;
  }
  MAINSTAY_CO_TRY_VOID(co_await store_->append(
      none, std::move(by_space[none]),
      {{file->name, end}, {file->name + "/base", file->base}, {file->name + "/inode", file->inode}}));
  file->kept[none] = end;
  co_return base::Result<>{};
}

void PlatformLogs::measure(const std::vector<EdgeRequest>& requests) {
  struct Workload {
    base::Histogram* duration = nullptr;
    std::map<int, base::Counter*> requests;
  };
  // To find a series by its labels costs more than all else that is done for a request.
  std::map<std::pair<std::string_view, std::string_view>, Workload> known;
  for (const EdgeRequest& r : requests) {
    if (r.ns.empty()) continue;
    Workload& workload = known[{r.ns, r.service}];
    base::Counter*& counter = workload.requests[r.code];
    if (!counter) {
      const std::string team = team_of(*namespaces_, r.ns);
      counter = &host_.metrics().counter(
          "mainstay_edge_requests_total", "Requests answered at the edge, by service and status",
          {{"namespace", r.ns}, {"team", team}, {"workload", r.service}, {"code", std::to_string(r.code)}});
      workload.duration = &host_.metrics().histogram("mainstay_edge_request_duration_seconds",
                                                     "From a request's first byte to its answer's last",
                                                     {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
                                                     {{"namespace", r.ns}, {"team", team}, {"workload", r.service}});
    }
    counter->add();
    workload.duration->observe(r.seconds);
  }
}

// Changes come in the order of their resource versions, but for the first list.
async::Task<> PlatformLogs::keep_events(Self self) {
  static constexpr const char* kPosition = "events";
  co_await self->namespaces_->synced();
  std::map<std::string, std::uint64_t> kept;
  for (;;) {
    while (self->pending_events_.empty()) co_await self->events_changed_->wait();
    co_await async::sleep_for(kGather);
    struct Item {
      std::uint64_t version;
      PlatformLine line;
    };
    std::map<std::string, std::vector<Item>> by_space;
    for (const client::ObjectPtr& event : std::exchange(self->pending_events_, {})) {
      PlatformLine line = event_line(*event);
      const std::string space = self->space_of(line.ns), version = base::get_string(*event, "metadata.resourceVersion");
      by_space[space].push_back({std::strtoull(version.c_str(), nullptr, 10), std::move(line)});
    }
    for (auto& [space, items] : by_space) {
      if (!kept.contains(space)) kept[space] = co_await self->position(space, kPosition);
      std::sort(items.begin(), items.end(), [](const Item& a, const Item& b) { return a.version < b.version; });
      std::vector<LogRecord> records;
      std::uint64_t last = kept[space];
      for (Item& item : items) {
        if (item.version <= kept[space]) continue;
        last = std::max(last, item.version);
        records.push_back(std::move(item.line.record));
      }
      if (records.empty()) continue;
      const auto done = co_await self->store_->append(space, std::move(records), {{kPosition, last}});
      if (!done) {
        base::log::warn("observe", "keeping Events of {}: {}", space, done.error().message);
        continue;
      }
      kept[space] = last;
    }
  }
}

}  // namespace mainstay::observe
