#include "api/audit.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <deque>

#include "base/files.h"
#include "base/json.h"
#include "base/log.h"
#include "base/utf8.h"

namespace mainstay::api {
namespace {
namespace json = base::json;

constexpr std::size_t kMaxQueued = 10'000;
constexpr std::size_t kMaxField = 2048;  // of what a client chose: user agent, path, what a refusal repeats of it
constexpr std::string_view kComponent = "audit";

// Headers and queries are bytes: a line of the log is JSON whatever they are, or nobody would find it.
std::string bounded(const std::string& text) { return base::utf8_text(text, kMaxField); }

json::object user_json(const UserInfo& user) {
  json::object out{{"username", user.name}};
  if (!user.uid.empty()) out["uid"] = user.uid;
  out["groups"] = json::value_from(user.groups);
  if (!user.extra.empty()) out["extra"] = json::value_from(user.extra);
  return out;
}

json::object reference_json(const AuditEvent& event) {
  json::object out;
  auto add = [&](std::string_view key, const std::string& value) {
    if (!value.empty()) out[key] = value;
  };
  add("resource", event.what.resource);
  add("subresource", event.what.subresource);
  add("namespace", event.what.ns);
  add("name", event.what.name);
  add("apiGroup", event.what.group);
  add("apiVersion", event.api_version);
  return out;
}

std::string to_line(AuditEvent event) {
  json::object line{{"kind", "Event"},           {"apiVersion", "audit.k8s.io/v1"}, {"level", "Metadata"},
                    {"auditID", event.audit_id}, {"stage", "ResponseComplete"},     {"requestURI", bounded(event.uri)},
                    {"verb", event.verb}};
  if (event.impersonator.empty()) {
    line["user"] = user_json(event.user);
  } else {
    line["user"] = json::object{{"username", event.impersonator}};
    line["impersonatedUser"] = user_json(event.user);
  }
  line["sourceIPs"] = json::array{json::value(event.source_ip)};
  line["userAgent"] = bounded(event.user_agent);
  if (!event.what.resource.empty()) line["objectRef"] = reference_json(event);
  line["responseStatus"] = json::object{{"metadata", json::object{}}, {"code", event.status}};
  line["requestReceivedTimestamp"] = base::rfc3339_micro(event.received);
  line["stageTimestamp"] = base::rfc3339_micro(event.done);
  line["annotations"] = json::object{{"authorization.k8s.io/decision", event.decision},
                                     {"authorization.k8s.io/reason", bounded(event.reason)}};
  for (const auto& [key, value] : event.annotations) line["annotations"].as_object()[key] = bounded(value);
  return base::utf8_text(json::serialize(line)) + "\n";
}

// The file and its older generations: audit.log, audit.log.1 … audit.log.<keep>. On one pool thread at a time.
class RotatingFile {
 public:
  RotatingFile(std::filesystem::path path, std::size_t max_bytes, int keep)
      : path_(std::move(path)), max_bytes_(max_bytes), keep_(keep) {}
  ~RotatingFile() { close(); }

  bool append(std::string_view text) {
    if (fd_ >= 0 && size_ + text.size() > max_bytes_) rotate();
    if (fd_ < 0 && !open()) return false;
    while (!text.empty()) {
      const ssize_t n = ::write(fd_, text.data(), text.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return fail("write");
      size_ += static_cast<std::size_t>(n);
      text.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }

 private:
  bool open() {
    if (auto made = base::make_directories(path_.parent_path(), 0700); !made) {
      base::log::error(kComponent, "{}", made.error().message);
      return false;
    }
    fd_ = ::open(path_.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd_ < 0) return fail("open");
    size_ = static_cast<std::size_t>(std::max<off_t>(::lseek(fd_, 0, SEEK_END), 0));
    // A line that a kill or a full disk cut off must not take the next one with it.
    char last = '\n';
    if (size_ > 0 && ::pread(fd_, &last, 1, static_cast<off_t>(size_) - 1) == 1 && last != '\n')
      size_ += ::write(fd_, "\n", 1) == 1 ? 1 : 0;
    return true;
  }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  void rotate() {
    close();
    auto generation = [&](int n) {
      return n == 0 ? path_ : std::filesystem::path(path_.string() + "." + std::to_string(n));
    };
    std::error_code ignored;
    std::filesystem::remove(generation(keep_), ignored);
    for (int n = keep_ - 1; n >= 0; --n) std::filesystem::rename(generation(n), generation(n + 1), ignored);
  }
  bool fail(std::string_view what) {
    base::log::error(kComponent, "cannot {} {}: {}", what, path_.string(), std::strerror(errno));
    close();
    return false;
  }

  std::filesystem::path path_;
  std::size_t max_bytes_;
  int keep_;
  int fd_ = -1;
  std::size_t size_ = 0;
};

}  // namespace

struct AuditLog::Impl {
  Impl(async::Runtime& r, std::filesystem::path path, std::size_t max_bytes, int keep)
      : runtime(r), file(std::move(path), max_bytes, keep), group(r.executor(), "audit") {}

  async::Runtime& runtime;
  RotatingFile file;
  async::TaskGroup group;
  std::deque<std::string> queue;
  std::vector<std::function<void(const std::string&)>> sinks;
  std::uint64_t dropped = 0;
  bool flushing = false, stopped = false;

  static async::Task<> flush(std::shared_ptr<Impl> self) {
    while (!self->queue.empty()) {
      auto batch = std::make_shared<std::deque<std::string>>(std::exchange(self->queue, {}));
      const std::size_t lines = batch->size();
      const bool written = co_await self->runtime.blocking([self, batch] {
        std::string text;
        for (const auto& line : *batch) text += line;
        return self->file.append(text);
      });
      if (!written) self->dropped += lines;
    }
    self->flushing = false;
  }
};

AuditLog::AuditLog(async::Runtime& runtime, std::filesystem::path file, std::size_t max_bytes, int keep)
    : impl_(std::make_shared<Impl>(runtime, std::move(file), max_bytes, keep)) {}
AuditLog::~AuditLog() = default;

void AuditLog::write(AuditEvent event) {
  Impl& impl = *impl_;
  if (impl.stopped || impl.queue.size() >= kMaxQueued) {
    if (impl.dropped++ % 1000 == 0)
      base::log::error(kComponent, "the audit log cannot keep up: {} events lost", impl.dropped);
    return;
  }
  std::string line = to_line(std::move(event));
  for (const auto& sink : impl.sinks) sink(line);
  impl.queue.push_back(std::move(line));
  if (impl.flushing) return;
  impl.flushing = true;
  impl.group.spawn("flush", Impl::flush(impl_));
}

void AuditLog::on_line(std::function<void(const std::string&)> sink) { impl_->sinks.push_back(std::move(sink)); }

std::uint64_t AuditLog::dropped() const { return impl_->dropped; }

async::Task<> AuditLog::stop() {
  auto impl = impl_;
  impl->stopped = true;
  co_await impl->group.join();
}

}  // namespace mainstay::api
