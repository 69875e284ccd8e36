// logs: searches what was kept of every container's output, also of pods long gone, of Events, the edge's access log
// and the audit log, and follows what comes.
#include "base/clock.h"
#include "base/encoding.h"
#include "base/strings.h"
#include "cli/output.h"
#include "cli/verbs.h"

namespace mainstay::cli {
namespace {

struct LogOptions {
  std::string workload, team, environment, pod, container, since = "1h", grep, run, source, output;
  std::int64_t limit = 1000;
  bool follow = false, timestamps = false;
};

std::string target_of(const LogOptions& o) {
  if (o.team.empty()) throw Failure{kUsage, "logs of which team? --team TEAM"};
  const auto back = base::parse_duration(o.since);
  if (!back) throw Failure{kUsage, "--since: " + back.error().message};
  const auto from = base::real_clock().now() - std::chrono::duration_cast<base::SystemTime::duration>(*back);
  std::string ns = o.team;
  if (!o.environment.empty()) ns += "-" + o.environment;
  std::string target = fmt::format("/apis/mainstay.dev/v1/namespaces/{}/logs?since={}&limit={}",
                                   base::percent_encode(ns), base::percent_encode(base::rfc3339_micro(from)), o.limit);
  const std::pair<const char*, const std::string*> filters[] = {
      {"workload", &o.workload}, {"pod", &o.pod}, {"container", &o.container},
      {"grep", &o.grep},         {"run", &o.run}, {"source", &o.source}};
  for (const auto& [name, value] : filters) {
    if (!value->empty()) target += fmt::format("&{}={}", name, base::percent_encode(*value));
  }
  if (o.follow) target += "&follow=true";
  return target;
}

void print_line(const std::string& text, const LogOptions& o) {
  if (o.output == "json") {
    print(text + "\n");
    return;
  }
  const auto entry = base::parse_json(text);
  if (!entry) return;
  std::string out;
  if (o.timestamps) out += base::get_string(*entry, "time") + " ";
  if (const std::string pod = base::get_string(*entry, "pod"); o.pod.empty() && !pod.empty()) out += pod + " ";
  print(out + base::get_string(*entry, "line") + "\n");
}

async::Task<int> logs(Session& session, const LogOptions& o) {
  net::ClientRequest request;
  request.target = target_of(o);
  net::ClientResponse response = co_await session.client().raw(std::move(request));
  if (response.status != 200) {
    const std::string body = co_await response.body->read_all(1u << 20);
    auto parsed = base::parse_json(body);
    throw base::StatusError::from_json(response.status, parsed ? *parsed : json::value(body));
  }
  std::string pending;
  std::vector<char> buffer(64 * 1024);
  while (const std::size_t n = co_await response.body->read(buffer)) {
    pending.append(buffer.data(), n);
    std::size_t start = 0;
    for (std::size_t end; (end = pending.find('\n', start)) != std::string::npos; start = end + 1) {
      if (end > start) print_line(pending.substr(start, end - start), o);
    }
    pending.erase(0, start);
  }
  co_return kDone;
}

}  // namespace

void add_logs_verb(Command app, Context& context) {
  auto o = std::make_shared<LogOptions>();
  Command sub = app.add_subcommand(
      "logs", "Search the kept output of a team's containers, Events, access or audit log, and follow it");
  sub.option("workload", o->workload, "A workload (a Deployment's name)");
  sub.option("--team", o->team, "The team");
  sub.option("--env", o->environment, "Its environment; without one, the team's own namespace, where jobs run");
  sub.option("--pod", o->pod, "One pod");
  sub.option("--container", o->container, "One container");
  sub.option("--run", o->run, "The jobs of one workflow run");
  sub.option("--source", o->source, "In place of containers' output: events, edge (the access log) or audit")
      .one_of({"container", "events", "edge", "audit"});
  sub.option("--since", o->since, "How far back: 90s, 15m, 24h").show_default();
  sub.option("--grep", o->grep, "Only lines that match this regular expression (RE2)");
  sub.option("--limit", o->limit, "At most so many lines, the newest").range(1, 100000).show_default();
  sub.flag("-f,--follow", o->follow, "Go on with lines as they come");
  sub.flag("--timestamps", o->timestamps, "Begin lines with their time");
  sub.option("-o,--output", o->output, "json: one object a line").one_of({"json"});
  sub.callback([&context, o] { context.choose(&logs, o); });
}

}  // namespace mainstay::cli
