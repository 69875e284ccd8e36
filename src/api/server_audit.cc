// What is kept of a request: the audit line, and the metrics under upstream's names.
#include <fmt/format.h>

#include "api/server_impl.h"
#include "base/status.h"

namespace mainstay::api {
namespace {

// So many lines a second, or whoever sends requests without end would push everybody else's out of the log.
constexpr int kStrangersASecond = 20;

const std::vector<double> kSeconds{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60};

// Reports of the platform's own services, many a second: they tell what the log would be read for, not who did it.
bool is_report(const Exchange& x) {
  if (!x.in_process || !x.user.in_group(kMastersGroup)) return false;
  return x.what.subresource == "status" || x.what.resource == "events" || x.what.resource == "leases" ||
         x.what.resource == "endpointslices";
}

std::string host_of(const std::string& peer) {
  const auto colon = peer.rfind(':');
  return colon == std::string::npos ? peer : peer.substr(0, colon);
}

// In capitals, as upstream has them. A method that the client made up is no label of its own: there is no end of those.
std::string metric_verb(const Exchange& x) {
  static const std::set<std::string, std::less<>> kMethods{"get",    "head",    "post",    "put",  "patch",
                                                           "delete", "options", "connect", "list", "propfind"};
  if (!x.type && !kMethods.contains(x.verb)) return "OTHER";
  std::string upper = x.verb;
  std::ranges::transform(upper, upper.begin(), [](unsigned char c) { return std::toupper(c); });
  return upper;
}

}  // namespace

void Server::Impl::audit(const Exchange& x, int status, const std::string& refusal) const {
  const bool refused = status == 401 || status == 403;
  const bool always = x.route && x.route->audit_reads;
  if (!refused && !always && (!x.changes || is_report(x))) return;
  AuditEvent event;
  event.annotations = *x.annotations;
  // What a handler has noted (a sign-in) is kept in any case: sign-in has limits of its own.
  if (x.user.anonymous() && event.annotations.empty()) {
    if (!keeps_line_of_stranger()) return;
    if (strangers.left_out > 0)
      event.annotations["mainstay.dev/left-out-before"] = std::to_string(std::exchange(strangers.left_out, 0));
  }
  event.audit_id = x.audit_id;
  event.user_agent = x.http->headers.get("User-Agent");
  event.source_ip = host_of(x.http->peer);
  // The query of other routes may hold codes and tokens (OAuth): only object requests keep theirs.
  event.uri = x.path ? x.http->raw_target : x.http->path;
  event.verb = x.verb;
  event.user = x.user;
  event.impersonator = x.impersonator;
  event.what = x.what;
  if (x.path) event.api_version = x.path->version;
  event.status = status;
  event.decision = x.decision.allowed && !refused ? "allow" : "forbid";
  event.reason = refused && !refusal.empty() ? refusal : x.decision.reason;
  event.received = x.received;
  event.done = d.clock.now();
  d.audit.write(std::move(event));
}

bool Server::Impl::keeps_line_of_stranger() const {
  const base::SteadyTime now = d.clock.steady();
  if (now - strangers.since >= std::chrono::seconds(1)) strangers = {now, 0, strangers.left_out};
  if (++strangers.kept <= kStrangersASecond) return true;
  ++strangers.left_out;
  return false;
}

void Server::Impl::measure(const Exchange& x, int status) {
  const std::string verb = metric_verb(x);
  const std::string group = x.type ? x.type->group : "", version = x.type ? x.type->version : "",
                    resource = x.type ? x.type->plural : "";
  // As upstream: requests that are not about objects are told apart by their path, here the route's pattern.
  const std::string subresource = x.type ? x.what.subresource : x.route ? x.route->pattern : "unknown";
  const std::string scope = !x.type                ? ""
                            : !x.what.name.empty() ? "resource"
                            : x.what.ns.empty()    ? "cluster"
                                                   : "namespace";
  const std::string key =
      fmt::format("{}|{}|{}|{}|{}|{}|{}", verb, group, version, resource, subresource, scope, status);
  auto [at, fresh] = series.try_emplace(key);
  if (fresh) {
    std::vector<std::pair<std::string, std::string>> labels{
        {"verb", verb},  {"group", group}, {"version", version}, {"resource", resource}, {"subresource", subresource},
        {"scope", scope}};
    at->second.seconds = &d.metrics.histogram("apiserver_request_duration_seconds",
                                              "Time from a request's head to its answer's.", kSeconds, labels);
    labels.emplace_back("code", std::to_string(status));
    at->second.total =
        &d.metrics.counter("apiserver_request_total", "Requests by verb, resource and response code.", labels);
  }
  at->second.total->add();
  if (!x.long_running) at->second.seconds->observe(std::chrono::duration<double>(d.clock.steady() - x.begun).count());
}

InflightLimits::Slot InflightLimits::take(const UserInfo& user, bool write) {
  if (user.in_group(kMastersGroup)) return Slot();
  constexpr std::size_t kMaxUsers = 10'000;
  if (users_.size() > kMaxUsers)
    std::erase_if(users_, [](const auto& entry) { return entry.second.reads == 0 && entry.second.writes == 0; });
  Counts& counts = users_[user.name];
  int& count = write ? counts.writes : counts.reads;
  if (count >= (write ? kWritesPerUser : kReadsPerUser)) {
    throw base::too_many_requests("too many requests of this user are under way; try again in a second", 1);
  }
  return Slot(&count);
}

int InflightLimits::total(bool write) const {
  int sum = 0;
  for (const auto& [user, counts] : users_) sum += write ? counts.writes : counts.reads;
  return sum;
}

}  // namespace mainstay::api
