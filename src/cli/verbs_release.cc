// release, rerun, dora: what was built, on its way through a team's environments.
#include "base/encoding.h"
#include "base/strings.h"
#include "cli/output.h"
#include "cli/verbs.h"

namespace mainstay::cli {
namespace {

const client::Resource kReleases{"mainstay.dev", "v1", "releases", true, "Release"};
const client::Resource kEnvironments{"mainstay.dev", "v1", "environments", true, "Environment"};
const client::Resource kReports{"mainstay.dev", "v1", "deliveryreports", true, "DeliveryReport"};

struct ReleaseOptions {
  std::string name, team, environment, comment, to, output;
  std::int64_t wait_seconds = 600;
  bool no_wait = false;
};

const json::value* entry_of(const json::value& release, const std::string& environment) {
  for (const json::value& entry : base::get_array(release, "status.environments"))
    if (base::get_string(entry, "name") == environment) return &entry;
  return nullptr;
}

std::string state_of(const json::value& release, const std::string& environment) {
  const json::value* entry = entry_of(release, environment);
  return entry == nullptr ? "" : base::get_string(*entry, "state");
}

async::Task<std::vector<std::string>> environments(client::ApiClient client, std::string team) {
  const json::value list = co_await client.list(kEnvironments, team);
  std::vector<std::pair<std::int64_t, std::string>> found;
  for (const json::value& item : base::get_array(list, "items"))
    found.emplace_back(base::get_int(item, "spec.order"), base::get_string(item, "metadata.name"));
  std::ranges::sort(found);
  std::vector<std::string> names;
  for (auto& [order, name] : found) names.push_back(std::move(name));
  co_return names;
}

// The newest first; of one workload where it is named.
async::Task<std::vector<json::value>> releases(client::ApiClient client, std::string team, std::string workload) {
  const json::value list = co_await client.list(kReleases, team);
  std::vector<json::value> out;
  for (const json::value& item : base::get_array(list, "items"))
    if (workload.empty() || base::get_string(item, "spec.workload") == workload) out.push_back(item);
  std::ranges::sort(out, std::ranges::greater(), [](const json::value& r) {
    return std::pair(base::get_string(r, "metadata.creationTimestamp"), base::get_string(r, "spec.pushedAt"));
  });
  co_return out;
}

// Of at most 120 bytes, and whole characters.
std::string first_line(std::string text) {
  std::size_t end = std::min({text.size(), text.find('\n'), std::size_t{120}});
  while (end > 0 && end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  text.resize(end);
  return text;
}

void need_team(const ReleaseOptions& o) {
  if (o.team.empty()) throw Failure{kUsage, "releases of which team? --team TEAM"};
}

// A release by its name, or the newest of a workload; with `environment`, the one that is deployed there.
async::Task<json::value> release_for(client::ApiClient client, const ReleaseOptions& o, std::string environment) {
  need_team(o);
  if (auto found = co_await client.find(kReleases, o.team, o.name)) co_return *found;
  for (const json::value& release : co_await releases(client, o.team, o.name))
    if (environment.empty() || state_of(release, environment) == "Deployed") co_return release;
  throw Failure{kNotFound,
                environment.empty()
                    ? fmt::format("team {} has no release or workload \"{}\": mainstay release list --team {}", o.team,
                                  o.name, o.team)
                    : fmt::format("nothing of \"{}\" is deployed in {}", o.name, environment)};
}

async::Task<int> list_releases(Session& session, const ReleaseOptions& o) {
  need_team(o);
  client::ApiClient client = session.client();
  const auto all = co_await releases(client, o.team, o.name);
  if (!o.output.empty()) {
    print(format_object(
        json::value{{"apiVersion", "v1"}, {"kind", "List"}, {"items", json::array(all.begin(), all.end())}}, o.output));
    co_return kDone;
  }
  std::vector<std::string> header{"NAME", "WORKLOAD", "COMMIT", "AUTHOR"};
  const auto names = co_await environments(client, o.team);
  for (const std::string& name : names) header.push_back(base::lower(name));
  header.emplace_back("AGE");
  std::vector<std::vector<std::string>> rows;
  for (const json::value& release : all) {
    std::vector<std::string> row{base::get_string(release, "metadata.name"), base::get_string(release, "spec.workload"),
                                 base::get_string(release, "spec.commit").substr(0, 7),
                                 base::get_string(release, "spec.author")};
    for (const std::string& name : names) {
      const std::string state = state_of(release, name);
      row.push_back(state.empty() ? "-" : state);
    }
    row.push_back(age(base::get_string(release, "metadata.creationTimestamp")));
    rows.push_back(std::move(row));
  }
  print(format_table(header, rows));
  co_return kDone;
}

async::Task<int> history(Session& session, const ReleaseOptions& o) {
  need_team(o);
  struct Entry {
    std::string at;
    std::vector<std::string> row;
  };
  std::vector<Entry> entries;
  json::array items;
  for (const json::value& release : co_await releases(session.client(), o.team, o.name)) {
    for (const json::value& past : base::get_array(release, "status.history")) {
      if (!o.environment.empty() && base::get_string(past, "environment") != o.environment) continue;
      const std::string at = base::get_string(past, "finishedAt");
      entries.push_back({at,
                         {at.substr(0, 19), base::get_string(past, "environment"), base::get_string(past, "action"),
                          base::get_string(past, "result"), base::get_string(release, "metadata.name"),
                          base::get_string(past, "by"), first_line(base::get_string(past, "message"))}});
      json::object item = past.as_object();
      item["release"] = base::get_string(release, "metadata.name");
      items.push_back(std::move(item));
    }
  }
  if (!o.output.empty()) {
    print(format_object(json::value{{"apiVersion", "v1"}, {"kind", "List"}, {"items", items}}, o.output));
    co_return kDone;
  }
  std::ranges::sort(entries, std::ranges::greater(), &Entry::at);
  std::vector<std::vector<std::string>> rows;
  for (Entry& entry : entries) rows.push_back(std::move(entry.row));
  print(format_table({"TIME", "ENVIRONMENT", "ACTION", "RESULT", "RELEASE", "BY", "WHY"}, rows));
  co_return kDone;
}

// Follows the release until its deployment in the environment has ended, or waits for people.
async::Task<json::value> follow(client::ApiClient client, json::value release, std::string environment) {
  const auto settled = [&](const json::value& object) {
    const std::string state = state_of(object, environment);
    return state != "Pending" && state != "Deploying";
  };
  const std::string ns = base::get_string(release, "metadata.namespace"),
                    name = base::get_string(release, "metadata.name");
  while (!settled(release)) {
    client::ListQuery query;
    query.field_selector = "metadata.name=" + name;
    auto stream = co_await client.watch(kReleases, ns, base::get_string(release, "metadata.resourceVersion"), query);
    while (auto event = co_await stream->next()) {
      if (!event->object || event->type == "BOOKMARK") continue;
      release = *event->object;
      if (settled(release)) break;
    }
    if (!settled(release)) release = co_await client.get(kReleases, ns, name);
  }
  co_return release;
}

async::Task<int> report(client::ApiClient client, json::value release, std::string environment,
                        const ReleaseOptions& o) {
  if (!o.no_wait) {
    auto ended =
        co_await async::with_timeout(follow(client, release, environment), std::chrono::seconds(o.wait_seconds));
    if (!ended) throw Failure{kFailed, fmt::format("it did not end within {} s; it goes on", o.wait_seconds)};
    release = std::move(*ended);
  }
  const std::string name = base::get_string(release, "metadata.name"), state = state_of(release, environment);
  const json::value* entry = entry_of(release, environment);
  const std::string message = entry == nullptr ? "" : base::get_string(*entry, "message");
  if (!o.output.empty()) print(format_object(release, o.output));
  if (state == "Failed" || state == "Superseded")
    throw Failure{kFailed, fmt::format("release {} in {}: {}: {}", name, environment, state, message)};
  if (!o.output.empty()) co_return kDone;
  if (state == "AwaitingApproval") {
    print(fmt::format("release {} waits: {}\n  mainstay release approve {} --team {} --env {}\n", name, message, name,
                      o.team, environment));
    co_return kDone;
  }
  const std::string url = entry == nullptr ? "" : base::get_string(*entry, "url");
  print(fmt::format("release {} in {}: {}{}\n", name, environment, state, url.empty() ? "" : "  " + url));
  co_return kDone;
}

async::Task<int> promote(Session& session, const ReleaseOptions& o) {
  client::ApiClient client = session.client();
  const json::value release = co_await release_for(client, o, "");
  json::object body;
  if (!o.environment.empty()) body["environment"] = o.environment;
  const json::value after = co_await client.create_subresource(
      kReleases, o.team, base::get_string(release, "metadata.name"), "promote", std::move(body));
  // Without --env the server chose: the environment whose entry is the newest.
  std::string environment = o.environment, newest;
  if (environment.empty())
    for (const json::value& entry : base::get_array(after, "status.environments"))
      if (const std::string at = base::get_string(entry, "requestedAt"); at >= newest) {
        newest = at;
        environment = base::get_string(entry, "name");
      }
  co_return co_await report(client, after, environment, o);
}

async::Task<int> approve(Session& session, const ReleaseOptions& o) {
  client::ApiClient client = session.client();
  const json::value release = co_await release_for(client, o, "");
  json::object body{{"comment", o.comment}};
  if (!o.environment.empty()) body["environment"] = o.environment;
  const json::value after = co_await client.create_subresource(
      kReleases, o.team, base::get_string(release, "metadata.name"), "approve", std::move(body));
  if (!o.output.empty()) {
    print(format_object(after, o.output));
    co_return kDone;
  }
  const json::array& approvals = base::get_array(after, "status.approvals");
  for (const json::value& approval : approvals) {
    if (&approval != &approvals.back() && !o.environment.empty() &&
        base::get_string(approval, "environment") != o.environment)
      continue;
    print(fmt::format("release {} is approved for {} by {}\n", base::get_string(after, "metadata.name"),
                      base::get_string(approval, "environment"), base::get_string(approval, "by")));
    if (const std::string digest = base::get_string(approval, "attestation"); !digest.empty())
      print(fmt::format("  signed statement {} on {}\n", digest, base::get_string(after, "spec.image")));
  }
  co_return kDone;
}

async::Task<int> rollback(Session& session, const ReleaseOptions& o) {
  if (o.environment.empty()) throw Failure{kUsage, "which environment is to go back? --env ENVIRONMENT"};
  client::ApiClient client = session.client();
  const json::value release = co_await release_for(client, o, o.environment);
  json::object body{{"environment", o.environment}};
  if (!o.to.empty()) body["to"] = o.to;
  const json::value after = co_await client.create_subresource(
      kReleases, o.team, base::get_string(release, "metadata.name"), "rollback", std::move(body));
  co_return co_await report(client, after, o.environment, o);
}

async::Task<int> rerun(Session& session, const ReleaseOptions& o) {
  need_team(o);
  const json::value made = co_await session.client().create_subresource(client::resources::kWorkflowRuns, o.team,
                                                                        o.name, "rerun", json::object());
  if (!o.output.empty())
    print(format_object(made, o.output));
  else
    print(fmt::format("run {} is made: mainstay get workflowruns -n {}\n", base::get_string(made, "metadata.name"),
                      o.team));
  co_return kDone;
}

async::Task<int> dora(Session& session, const ReleaseOptions& o) {
  const json::value found = co_await session.client().get(kReports, o.name, "delivery");
  if (!o.output.empty()) {
    print(format_object(found, o.output));
    co_return kDone;
  }
  const auto text = [&](const char* key) {
    const std::string value = base::get_string(found, fmt::format("status.{}", key));
    return value.empty() ? std::string("none yet") : value;
  };
  print(format_table(
      {"FIGURE", fmt::format("LAST {} DAYS, {}", base::get_int(found, "status.days"), text("environment"))},
      {{"deployment frequency",
        fmt::format("{} a day ({} in all)", text("deploymentsPerDay"), base::get_int(found, "status.deployments"))},
       {"lead time for changes", text("leadTime")},
       {"change failure rate",
        fmt::format("{} ({} failed)", text("changeFailureRate"), base::get_int(found, "status.failures"))},
       {"time to restore", text("timeToRestore")}}));
  co_return kDone;
}

void add_output(Command sub, const std::shared_ptr<ReleaseOptions>& o) {
  sub.option("-o,--output", o->output, "json or yaml").one_of({"json", "yaml"});
}

}  // namespace

void add_release_verbs(Command app, Context& context) {
  auto o = std::make_shared<ReleaseOptions>();
  Command release = app.add_subcommand("release", "What was built, on its way through a team's environments");
  release.require_subcommand();
  using Verb = async::Task<int> (*)(Session&, const ReleaseOptions&);
  const auto add = [&](const char* name, const char* help, const char* what, bool needed, Verb verb) {
    Command sub = release.add_subcommand(name, help);
    Option option = sub.option("name", o->name, what);
    if (needed) option.required();
    sub.option("--team", o->team, "The team");
    add_output(sub, o);
    sub.callback([&context, o, verb] { context.choose(verb, o); });
    return sub;
  };
  add("list", "List releases and where they are", "A workload; without one, all", false, &list_releases);
  add("history", "What was deployed when, by whom, and how it ended", "A workload; without one, all", false, &history)
      .option("--env", o->environment, "One environment");
  const char* which = "A release, or a workload: its newest";
  Command promoted = add("promote", "Deploy a release in the next environment", which, true, &promote);
  Command approved = add("approve", "Approve a release that somebody else wrote", which, true, &approve);
  Command back =
      add("rollback", "Go back to what an environment ran before", "The release or workload to leave", true, &rollback);
  promoted.option("--env", o->environment, "Default: the environment after the furthest it was deployed in");
  approved.option("--env", o->environment, "Default: the first environment that still asks for an approval");
  back.option("--env", o->environment, "The environment that goes back");
  approved.option("--comment", o->comment, "Kept with the approval");
  back.option("--to", o->to, "Another release that was deployed there; default: the one before");
  for (Command sub : {promoted, back}) {
    sub.flag("--no-wait", o->no_wait, "Do not wait for the rollout");
    sub.option("--timeout", o->wait_seconds, "Seconds to wait at most").show_default();
  }
  Command again = app.add_subcommand("rerun", "Run a workflow run again, at the same commit");
  again.option("run", o->name, "The run").required();
  again.option("--team", o->team, "The team");
  add_output(again, o);
  again.callback([&context, o] { context.choose(&rerun, o); });
  Command figures = app.add_subcommand("dora", "DORA's four figures of a team");
  figures.option("team", o->name, "The team").required();
  add_output(figures, o);
  figures.callback([&context, o] { context.choose(&dora, o); });
}

}  // namespace mainstay::cli
