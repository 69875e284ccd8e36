// The audit log: one JSON line (audit.k8s.io/v1 Event, level Metadata) for each mutation and each refusal, appended to
// DIR/audit/audit.log, rotated by size.
// The platform's own services are left out where they only report (status, events, leases): see server_audit.cc. Never
// bodies of sealed types, never credentials.
#pragma once
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "api/user.h"
#include "async/runtime.h"
#include "base/clock.h"

namespace mainstay::api {

struct AuditEvent {
  std::string audit_id, user_agent, source_ip, uri, verb;
  UserInfo user;
  std::string impersonator;  // who acts as `user`, where somebody does
  Attributes what;
  std::string api_version;  // of `what`
  int status = 0;
  std::string decision, reason;
  std::map<std::string, std::string> annotations;
  base::SystemTime received, done;
};

class AuditLog {
 public:
  AuditLog(async::Runtime& runtime, std::filesystem::path file, std::size_t max_bytes = 64u << 20, int keep = 8);
  ~AuditLog();
  AuditLog(const AuditLog&) = delete;
  void write(AuditEvent event);  // on the loop; queued (bounded), flushed by the pool
  // Every line as it is written, for observe/'s log store.
  void on_line(std::function<void(const std::string&)> sink);
  std::uint64_t dropped() const;  // lines lost because the disk was too slow or full
  // Writes what is queued. Later events are dropped.
  async::Task<> stop();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace mainstay::api
