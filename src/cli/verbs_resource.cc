// resource: what workloads asked for and what came of it; backups.
#include "base/strings.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "reconcile/controller.h"

namespace mainstay::cli {
namespace {

const client::Resource kClaims{"mainstay.dev", "v1", "resourceclaims", true, "ResourceClaim"};
const client::Resource kClasses{"mainstay.dev", "v1", "resourceclasses", false, "ResourceClass"};

struct ResourceOptions {
  std::string name, team, environment, backup, to_time, output;
};

std::string namespace_of(const ResourceOptions& o) { return o.team.empty() ? "" : o.team + "-" + o.environment; }

std::string dash(std::string text) { return text.empty() ? "-" : text; }

std::string ready_message(const json::value& claim) {
  const json::value* ready = reconcile::find_condition(claim, "Ready");
  return ready == nullptr ? "" : base::get_string(*ready, "message");
}

async::Task<int> list(Session& session, const ResourceOptions& o) {
  const json::value all = co_await session.client().list(kClaims, namespace_of(o));
  if (!o.output.empty()) {
    print(format_object(all, o.output));
    co_return kDone;
  }
  std::vector<std::vector<std::string>> rows;
  for (const json::value& claim : base::get_array(all, "items"))
    rows.push_back({base::get_string(claim, "metadata.namespace"), base::get_string(claim, "metadata.name"),
                    base::get_string(claim, "spec.type"), dash(base::get_string(claim, "status.class")),
                    dash(base::get_string(claim, "spec.workload")), base::get_string(claim, "status.phase", "Pending"),
                    age(base::get_string(claim, "metadata.creationTimestamp"))});
  print(format_table({"NAMESPACE", "NAME", "TYPE", "CLASS", "WORKLOAD", "PHASE", "AGE"}, rows));
  co_return kDone;
}

async::Task<int> classes(Session& session, const ResourceOptions& o) {
  const json::value all = co_await session.client().list(kClasses, "");
  if (!o.output.empty()) {
    print(format_object(all, o.output));
    co_return kDone;
  }
  std::vector<std::vector<std::string>> rows;
  for (const json::value& cls : base::get_array(all, "items")) {
    std::vector<std::string> environments;
    for (const json::value& name : base::get_array(cls, "spec.environments"))
      environments.emplace_back(name.as_string());
    rows.push_back({base::get_string(cls, "spec.type"), base::get_string(cls, "metadata.name"),
                    base::get_string(cls, "spec.driver"), environments.empty() ? "all" : base::join(environments, ","),
                    base::get_string(cls, "spec.reclaimPolicy"), base::get_string(cls, "spec.description")});
  }
  print(format_table({"TYPE", "CLASS", "DRIVER", "ENVIRONMENTS", "RECLAIM", "DESCRIPTION"}, rows));
  co_return kDone;
}

async::Task<int> describe(Session& session, const ResourceOptions& o) {
  const json::value claim = co_await session.client().get(kClaims, namespace_of(o), o.name);
  if (!o.output.empty()) {
    print(format_object(claim, o.output));
    co_return kDone;
  }
  std::string out;
  const auto row = [&out](std::string_view key, const std::string& value) {
    if (!value.empty()) out += fmt::format("{:<16}{}\n", fmt::format("{}:", key), value);
  };
  row("Name", base::get_string(claim, "metadata.name"));
  row("Namespace", base::get_string(claim, "metadata.namespace"));
  row("Type", base::get_string(claim, "spec.type"));
  row("Workload", base::get_string(claim, "spec.workload"));
  row("Class", base::get_string(claim, "status.class"));
  row("Reclaim policy", base::get_string(claim, "status.reclaimPolicy"));
  row("Phase", base::get_string(claim, "status.phase", "Pending"));
  row("Message", ready_message(claim));
  std::string size = base::get_string(claim, "status.usage.size");
  if (const std::string limit = base::get_string(claim, "status.usage.limit"); !limit.empty()) size += " of " + limit;
  row("Size", size);
  row("Monthly cost", base::get_string(claim, "status.monthlyCost"));
  row("Dashboard", base::get_string(claim, "status.url"));
  row("Secret", base::get_string(claim, "status.secretName"));
  for (const auto& entry : base::get_object(claim, "status.outputs"))
    row(fmt::format("  {}", std::string_view(entry.key())), std::string(entry.value().as_string()));
  for (const json::value& key : base::get_array(claim, "status.secretOutputs"))
    row(fmt::format("  {}", std::string_view(key.as_string())), "(in the Secret)");
  if (const std::string from = base::get_string(claim, "status.pointInTime.earliest"); !from.empty())
    row("Point in time", fmt::format("{} to {}", from, base::get_string(claim, "status.pointInTime.latest", "now")));
  for (const json::value& backup : base::get_array(claim, "status.backups"))
    row("Backup", fmt::format("{}  {} bytes", base::get_string(backup, "name"), base::get_int(backup, "bytes")));
  print(out);
  co_return kDone;
}

// Both are answered when they are done, and large data take their time.
constexpr std::chrono::hours kDataLimit{6};

async::Task<int> backup(Session& session, const ResourceOptions& o) {
  const json::value answer = co_await session.client().create_subresource(kClaims, namespace_of(o), o.name, "backup",
                                                                          json::object{}, kDataLimit);
  print(base::get_string(answer, "status.backup.name") + "\n");
  co_return kDone;
}

async::Task<int> restore(Session& session, const ResourceOptions& o) {
  json::object spec;
  if (!o.backup.empty()) spec["backup"] = o.backup;
  if (!o.to_time.empty()) spec["toTime"] = o.to_time;
  const json::value answer = co_await session.client().create_subresource(kClaims, namespace_of(o), o.name, "restore",
                                                                          {{"spec", std::move(spec)}}, kDataLimit);
  print(fmt::format("resource {} is as it was {} {}\n", o.name, o.backup.empty() ? "at" : "in backup",
                    base::get_string(answer, "status.restored")));
  co_return kDone;
}

void place_options(Command sub, ResourceOptions& o, bool required) {
  Option team = sub.option("--team", o.team, "The team");
  Option environment = sub.option("--env", o.environment, "Its environment");
  team.needs(environment);
  environment.needs(team);
  if (required) team.required();
}

void output_option(Command sub, ResourceOptions& o) {
  sub.option("-o,--output", o.output, "json or yaml").one_of({"json", "yaml"});
}

}  // namespace

void add_resource_verbs(Command app, Context& context) {
  Command resource =
      app.add_subcommand("resource", "Databases, caches, buckets and volumes of workloads").require_subcommand();
  auto o = std::make_shared<ResourceOptions>();
  Command all = resource.add_subcommand("list", "What workloads asked for (ResourceClaims)");
  place_options(all, *o, false);
  output_option(all, *o);
  all.callback([&context, o] { context.choose(&list, o); });
  Command kinds = resource.add_subcommand("classes", "What can be asked for (ResourceClasses)");
  output_option(kinds, *o);
  kinds.callback([&context, o] { context.choose(&classes, o); });
  Command one = resource.add_subcommand("describe", "One claim: its outputs, its Secret, its backups");
  one.option("name", o->name, "The claim, <workload>-<name>").required();
  place_options(one, *o, true);
  output_option(one, *o);
  one.callback([&context, o] { context.choose(&describe, o); });
  Command save = resource.add_subcommand("backup", "Make a backup and print its name");
  save.option("name", o->name, "The claim").required();
  place_options(save, *o, true);
  save.callback([&context, o] { context.choose(&backup, o); });
  Command load = resource.add_subcommand(
      "restore", "Put a backup, or what there was at a moment, in the place of the data there is");
  load.option("name", o->name, "The claim").required();
  Command what = load.exclusive_group("what");
  what.option("--backup", o->backup, "Its name, as `resource describe` lists it");
  what.option("--to-time", o->to_time, "A moment as in RFC 3339, such as 2026-01-02T15:04:05Z");
  place_options(load, *o, true);
  load.callback([&context, o] { context.choose(&restore, o); });
}

}  // namespace mainstay::cli
