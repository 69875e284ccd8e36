// terraform: runs of a workspace's module: plan, look, approve, destroy.
#include "async/runtime.h"
#include "base/ids.h"
#include "base/strings.h"
#include "cli/output.h"
#include "cli/verbs.h"

namespace mainstay::cli {
namespace {

const client::Resource kRuns{"mainstay.dev", "v1", "terraformruns", true, "TerraformRun"};
const client::Resource kWorkspaces{"mainstay.dev", "v1", "workspaces", true, "Workspace"};

struct TerraformOptions {
  std::string name, ns, comment, operation, output;
  std::int64_t wait_seconds = 1800;
  bool no_wait = false;
};

std::string text(const json::value& object, std::string_view path) { return base::get_string(object, path); }

void need_namespace(const TerraformOptions& o) {
  if (o.ns.empty()) throw Failure{kUsage, "in which namespace? -n NAMESPACE, as shop-dev"};
}

bool waits_or_over(const json::value& run) {
  static constexpr std::string_view kStill[] = {"", "Pending", "Planning", "Applying"};
  return std::ranges::find(kStill, text(run, "status.phase")) == std::end(kStill);
}

// Until it waits for somebody or has ended.
async::Task<json::value> follow(client::ApiClient client, json::value run) {
  const std::string ns = text(run, "metadata.namespace"), name = text(run, "metadata.name");
  while (!waits_or_over(run)) {
    client::ListQuery query;
    query.field_selector = "metadata.name=" + name;
    const auto stream = co_await client.watch(kRuns, ns, text(run, "metadata.resourceVersion"), query);
    while (auto event = co_await stream->next()) {
      if (event->type == "DELETED") throw Failure{kFailed, fmt::format("run {} was deleted", name)};
      if (!event->object || event->type == "BOOKMARK") continue;
      run = *event->object;
      if (waits_or_over(run)) break;
    }
    if (!waits_or_over(run)) run = co_await client.get(kRuns, ns, name);
  }
  co_return run;
}

async::Task<json::value> wait_for(client::ApiClient client, json::value run, std::int64_t seconds) {
  auto ended = co_await async::with_timeout(follow(client, run), std::chrono::seconds(seconds));
  if (!ended) throw Failure{kFailed, fmt::format("it did not end within {} s; it goes on", seconds)};
  co_return *std::move(ended);
}

int report(const json::value& run, const TerraformOptions& o) {
  const std::string phase = text(run, "status.phase"), name = text(run, "metadata.name");
  if (!o.output.empty()) {
    print(format_object(run, o.output));
    return phase == "Failed" ? kFailed : kDone;
  }
  if (phase == "AwaitingApproval" || phase == "Planned") print(text(run, "status.plan"));
  if (phase == "Failed" || phase == "Applied") print(text(run, "status.log"));
  std::string line =
      fmt::format("run {} of {}: {}", name, text(run, "spec.workspace"), phase.empty() ? "Pending" : phase);
  if (const std::string summary = text(run, "status.summary"); !summary.empty()) line += ", " + summary;
  if (const std::string message = text(run, "status.message"); !message.empty()) line += " (" + message + ")";
  print(line + "\n");
  if (phase == "AwaitingApproval")
    print(fmt::format("  mainstay terraform approve {} -n {}\n  mainstay terraform discard {} -n {}\n", name, o.ns,
                      name, o.ns));
  return phase == "Failed" ? kFailed : kDone;
}

async::Task<int> begin(Session& session, const TerraformOptions& o) {
  need_namespace(o);
  client::ApiClient client = session.client();
  json::object object{
      {"apiVersion", "mainstay.dev/v1"},
      {"kind", "TerraformRun"},
      {"metadata",
       json::object{{"name", fmt::format("{}-{}-{}", o.name.substr(0, 200), o.operation, base::random_suffix())},
                    {"namespace", o.ns}}},
      {"spec", json::object{{"workspace", o.name}, {"operation", o.operation}}}};
  static_cast<void>(co_await client.get(kWorkspaces, o.ns, o.name));
  json::value run = co_await client.create(kRuns, o.ns, std::move(object));
  if (!o.no_wait) run = co_await wait_for(client, std::move(run), o.wait_seconds);
  co_return report(run, o);
}

async::Task<int> decide(Session& session, const TerraformOptions& o) {
  need_namespace(o);
  client::ApiClient client = session.client();
  json::value run =
      co_await client.create_subresource(kRuns, o.ns, o.name, o.operation, json::object{{"comment", o.comment}});
  if (!o.no_wait) run = co_await wait_for(client, std::move(run), o.wait_seconds);
  co_return report(run, o);
}

async::Task<int> runs(Session& session, const TerraformOptions& o) {
  const json::value all = co_await session.client().list(kRuns, o.ns);
  if (!o.output.empty()) {
    print(format_object(all, o.output));
    co_return kDone;
  }
  std::vector<std::vector<std::string>> rows;
  for (const json::value& run : base::get_array(all, "items")) {
    if (!o.name.empty() && text(run, "spec.workspace") != o.name) continue;
    const std::string phase = text(run, "status.phase");
    rows.push_back({text(run, "metadata.namespace"), text(run, "metadata.name"), text(run, "spec.workspace"),
                    text(run, "spec.operation"), phase.empty() ? "Pending" : phase, text(run, "status.summary"),
                    text(run, "status.approvedBy"), age(text(run, "metadata.creationTimestamp"))});
  }
  print(format_table({"NAMESPACE", "NAME", "WORKSPACE", "OPERATION", "PHASE", "PLAN", "APPROVED BY", "AGE"}, rows));
  co_return kDone;
}

// A run, or a workspace's last one.
async::Task<int> show(Session& session, const TerraformOptions& o) {
  need_namespace(o);
  client::ApiClient client = session.client();
  auto run = co_await client.find(kRuns, o.ns, o.name);
  if (!run) {
    const json::value workspace = co_await client.get(kWorkspaces, o.ns, o.name);
    const std::string last = text(workspace, "status.lastRun");
    if (last.empty()) throw Failure{kNotFound, fmt::format("workspace {} has had no run yet", o.name)};
    run = co_await client.get(kRuns, o.ns, last);
  }
  report(*run, o);
  co_return kDone;
}

}  // namespace

void add_terraform_verbs(Command app, Context& context) {
  Command terraform = app.add_subcommand("terraform", "Plan, approve and apply a workspace's module");
  terraform.require_subcommand();
  using Verb = async::Task<int> (*)(Session&, const TerraformOptions&);
  const auto add = [&](const char* name, const char* help, const char* what, bool needed, bool waits, Verb verb) {
    auto o = std::make_shared<TerraformOptions>();
    o->operation = name;
    Command sub = terraform.add_subcommand(name, help);
    Option option = sub.option("name", o->name, what);
    if (needed) option.required();
    sub.option("-n,--namespace", o->ns, "The namespace, as shop-dev");
    sub.option("-o,--output", o->output, "json or yaml").one_of({"json", "yaml"});
    if (waits) {
      sub.flag("--no-wait", o->no_wait, "Do not wait for its plan or its end");
      sub.option("--timeout", o->wait_seconds, "Seconds to wait at most").show_default();
    }
    if (verb == &decide) sub.option("--comment", o->comment, "Kept with the run");
    sub.callback([&context, o, verb] { context.choose(verb, o); });
  };
  const char* workspace = "The workspace";
  const char* run = "The run";
  add("plan", "Show what an apply would change", workspace, true, true, &begin);
  add("apply", "Plan, and apply the plan once it is approved", workspace, true, true, &begin);
  add("destroy", "Plan to destroy all that the state names, and do it once approved", workspace, true, true, &begin);
  add("drift", "Compare what is there with what was applied", workspace, true, true, &begin);
  add("approve", "Apply the plan that waits", run, true, true, &decide);
  add("discard", "Throw the plan away that waits", run, true, false, &decide);
  add("runs", "List runs", "A workspace; without one, all", false, false, &runs);
  add("show", "Show a run's plan, or how it went", "A run, or a workspace: its last", true, false, &show);
}

}  // namespace mainstay::cli
