// usage, capacity: what teams ask for, what it costs a month, and what the machines still have.
#include "cli/output.h"
#include "cli/verbs.h"

namespace mainstay::cli {
namespace {

const client::Resource kUsageReports{"mainstay.dev", "v1", "usagereports", true, "UsageReport"};
const client::Resource kCapacityReports{"mainstay.dev", "v1", "capacityreports", false, "CapacityReport"};

struct UsageOptions {
  std::string team, output;
};

void add_line(std::vector<std::vector<std::string>>& rows, const std::string& where, const std::string& workload,
              const json::value& line, const std::string& currency) {
  const auto text = [&](std::string_view path) { return base::get_string(line, path, "-"); };
  rows.push_back({where, workload, text("requested.cpu"), text("used.cpu"), text("requested.memory"),
                  text("used.memory"), text("requested.storage"), text("used.storage"),
                  std::to_string(base::get_int(line, "requested.addresses")),
                  base::get_string(line, "monthlyCost") + " " + currency});
}

async::Task<int> usage(Session& session, const UsageOptions& o) {
  const json::value list = co_await session.client().list(kUsageReports, o.team);
  const json::array& items = base::get_array(list, "items");
  if (!o.team.empty() && items.empty())
    throw Failure{kNotFound,
                  fmt::format("no usage is reported for team {}: is the name right? (mainstay get teams)", o.team)};
  if (!o.output.empty()) {
    print(format_object(list, o.output));
    co_return kDone;
  }
  std::vector<std::vector<std::string>> rows;
  for (const json::value& report : items) {
    const std::string team = base::get_string(report, "metadata.namespace");
    const json::value status = base::get_object(report, "status");
    const std::string currency = base::get_string(status, "currency");
    for (const json::value& environment : base::get_array(status, "environments")) {
      const std::string ns = base::get_string(environment, "namespace");
      for (const json::value& workload : base::get_array(environment, "workloads"))
        add_line(rows, ns, base::get_string(workload, "name"), workload, currency);
      const json::value left = base::get_object(environment, "free");
      if (!left.as_object().empty())
        rows.push_back({ns, "(left by quota)", base::get_string(left, "cpu", "-"), "",
                        base::get_string(left, "memory", "-"), "", base::get_string(left, "storage", "-"), "", "", ""});
    }
    add_line(rows, team, "(all)", status, currency);
  }
  print(format_table({"WHERE", "WORKLOAD", "CPU", "USED", "MEMORY", "USED", "STORAGE", "USED", "ADDRESSES", "A MONTH"},
                     rows));
  co_return kDone;
}

async::Task<int> capacity(Session& session, const UsageOptions& o) {
  const json::value report = co_await session.client().get(kCapacityReports, "", "platform");
  if (!o.output.empty()) {
    print(format_object(report, o.output));
    co_return kDone;
  }
  std::vector<std::vector<std::string>> rows;
  for (const char* part : {"cpu", "memory", "disk"}) {
    const json::value line = base::get_object(report, std::string("status.") + part);
    rows.push_back({part, base::get_string(line, "total"), base::get_string(line, "requested"),
                    base::get_string(line, "used", "-"), base::get_string(line, "free")});
  }
  for (const auto& entry : base::get_object(report, "status.disk.stored"))
    rows.push_back(
        {fmt::format("  {}", std::string_view(entry.key())), "", "", std::string(entry.value().as_string()), ""});
  for (const json::value& pool : base::get_array(report, "status.addresses"))
    rows.push_back({"addresses " + base::get_string(pool, "pool"), std::to_string(base::get_int(pool, "total")), "",
                    std::to_string(base::get_int(pool, "used")), std::to_string(base::get_int(pool, "free"))});
  print(format_table({"WHAT", "TOTAL", "REQUESTED", "USED", "FREE"}, rows));
  co_return kDone;
}

}  // namespace

void add_usage_verbs(Command app, Context& context) {
  auto u = std::make_shared<UsageOptions>();
  Command sub = app.add_subcommand("usage", "What teams ask for, by environment and workload, and its monthly cost");
  sub.option("team", u->team, "One team (default: all that you may see)");
  sub.option("-o,--output", u->output, "json or yaml").one_of({"json", "yaml"});
  sub.callback([&context, u] { context.choose(&usage, u); });
  auto c = std::make_shared<UsageOptions>();
  sub = app.add_subcommand("capacity", "What the machines have, what is asked for, used and free");
  sub.option("-o,--output", c->output, "json or yaml").one_of({"json", "yaml"});
  sub.callback([&context, c] { context.choose(&capacity, c); });
}

}  // namespace mainstay::cli
