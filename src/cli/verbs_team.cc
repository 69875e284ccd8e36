// team, repo, user: the first things a platform team makes, without writing YAML.
#include "base/strings.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "reconcile/controller.h"

namespace mainstay::cli {
namespace {
namespace resources = client::resources;

struct Options {
  std::string name, team, description, display_name, email, output, token_file;
  std::vector<std::string> members, environments;
  bool if_missing = false, admin = false;
  std::int64_t hours = 24 * 30;
};

// Watches until the object's Ready condition is true; throws with its message where it says it cannot be.
async::Task<> wait_ready(client::ApiClient client, client::Resource resource, std::string ns, std::string name) {
  client::ListQuery query;
  query.field_selector = "metadata.name=" + name;
  json::value object = co_await client.get(resource, ns, name);
  if (reconcile::condition_true(object, "Ready")) co_return;
  auto stream = co_await client.watch(resource, ns, base::get_string(object, "metadata.resourceVersion"), query);
  while (auto event = co_await stream->next()) {
    if (!event->object || event->type == "BOOKMARK") continue;
    if (reconcile::condition_true(*event->object, "Ready")) co_return;
    const json::value* ready = reconcile::find_condition(*event->object, "Ready");
    if (ready != nullptr && base::get_string(*ready, "status") == "False")
      throw Failure{kFailed, fmt::format("{} {}: {}", resource.kind, name, base::get_string(*ready, "message"))};
  }
}

async::Task<> wait_ready_for(client::ApiClient client, client::Resource resource, std::string ns, std::string name) {
  if (!co_await async::with_timeout(wait_ready(client, resource, ns, name), std::chrono::seconds(30)))
    throw Failure{kFailed, fmt::format("{0} {1} was made but is not ready after 30 s: mainstay describe {0} {1}",
                                       base::lower(resource.kind), name)};
}

// Creates; with --if-missing an existing one is fine.
async::Task<bool> create(client::ApiClient client, client::Resource resource, std::string ns, json::value object,
                         bool if_missing) {
  try {
    co_await client.create(resource, ns, std::move(object));
    co_return true;
  } catch (const base::StatusError& e) {
    if (!if_missing || !e.is_already_exists()) throw;
  }
  co_return false;
}

async::Task<int> team_create(Session& session, const Options& o) {
  json::array members, environments;
  for (const std::string& m : o.members) {
    const auto colon = m.find(':');
    members.push_back(
        {{"user", m.substr(0, colon)}, {"role", colon == std::string::npos ? "developer" : m.substr(colon + 1)}});
  }
  for (const std::string& e : o.environments) environments.push_back({{"name", e}});
  json::object spec;
  if (!o.display_name.empty()) spec["displayName"] = o.display_name;
  if (!members.empty()) spec["members"] = members;
  if (!environments.empty()) spec["environments"] = environments;
  client::ApiClient client = session.client();
  const json::value object = {
      {"apiVersion", "mainstay.dev/v1"}, {"kind", "Team"}, {"metadata", {{"name", o.name}}}, {"spec", spec}};
  const bool made = co_await create(client, resources::kTeams, "", object, o.if_missing);
  co_await wait_ready_for(client, resources::kTeams, "", o.name);
  print(fmt::format("team {} {}\n", o.name, made ? "created" : "is there"));
  co_return kDone;
}

async::Task<int> team_list(Session& session, const Options& o) {
  const json::value list = co_await session.client().list(resources::kTeams, "");
  if (!o.output.empty()) {
    print(format_object(list, o.output));
    co_return kDone;
  }
  std::vector<std::vector<std::string>> rows;
  for (const json::value& team : base::get_array(list, "items")) {
    std::vector<std::string> namespaces;
    for (const json::value& ns : base::get_array(team, "status.namespaces")) namespaces.emplace_back(ns.as_string());
    rows.push_back({base::get_string(team, "metadata.name"),
                    std::to_string(base::get_array(team, "spec.members").size()), base::join(namespaces, ","),
                    age(base::get_string(team, "metadata.creationTimestamp"))});
  }
  print(format_table({"NAME", "MEMBERS", "NAMESPACES", "AGE"}, rows));
  co_return kDone;
}

async::Task<int> repo_create(Session& session, const Options& o) {
  client::ApiClient client = session.client();
  json::object spec;
  if (!o.description.empty()) spec["description"] = o.description;
  const json::value object = {{"apiVersion", "mainstay.dev/v1"},
                              {"kind", "Repository"},
                              {"metadata", {{"name", o.name}, {"namespace", o.team}}},
                              {"spec", spec}};
  const bool made = co_await create(client, resources::kRepositories, o.team, object, o.if_missing);
  co_await wait_ready_for(client, resources::kRepositories, o.team, o.name);
  const json::value repository = co_await client.get(resources::kRepositories, o.team, o.name);
  print(fmt::format("repository {}/{} {}: {}\n", o.team, o.name, made ? "created" : "is there",
                    base::get_string(repository, "status.url")));
  co_return kDone;
}

async::Task<int> repo_list(Session& session, const Options& o) {
  const json::value list = co_await session.client().list(resources::kRepositories, o.team);
  if (!o.output.empty()) {
    print(format_object(list, o.output));
    co_return kDone;
  }
  std::vector<std::vector<std::string>> rows;
  for (const json::value& r : base::get_array(list, "items")) {
    rows.push_back({base::get_string(r, "metadata.namespace"), base::get_string(r, "metadata.name"),
                    base::get_string(r, "status.url"), age(base::get_string(r, "metadata.creationTimestamp"))});
  }
  print(format_table({"TEAM", "NAME", "URL", "AGE"}, rows));
  co_return kDone;
}

async::Task<int> user_create(Session& session, const Options& o) {
  json::object spec = {{"admin", o.admin}};
  if (!o.email.empty()) spec["email"] = o.email;
  if (!o.display_name.empty()) spec["displayName"] = o.display_name;
  const json::value object = {
      {"apiVersion", "mainstay.dev/v1"}, {"kind", "User"}, {"metadata", {{"name", o.name}}}, {"spec", spec}};
  const bool made = co_await create(session.client(), resources::kUsers, "", object, o.if_missing);
  print(fmt::format("user {} {}\n", o.name, made ? "created" : "is there"));
  co_return kDone;
}

async::Task<int> user_token(Session& session, const Options& o) {
  const json::value answer = co_await session.client().create_subresource(
      resources::kUsers, "", o.name, "token",
      {{"spec", {{"expirationSeconds", o.hours * 3600}, {"description", o.description}}}});
  // Standard output carries the token and nothing else, so that it can go straight into a file.
  print(base::get_string(answer, "status.token") + "\n");
  co_return kDone;
}

void output_option(Command sub, Options& o) {
  sub.option("-o,--output", o.output, "json or yaml").one_of({"json", "yaml"});
}

void add_team(Command app, Context& context) {
  Command team = app.add_subcommand("team", "Teams: their namespaces, roles and environments follow from one object")
                     .require_subcommand();
  auto o = std::make_shared<Options>();
  Command make = team.add_subcommand("create", "Create a team");
  make.option("name", o->name, "A DNS label of at most 30 characters").required();
  make.option("--display-name", o->display_name, "For people");
  make.option("--member", o->members, "USER[:owner|developer|viewer], repeatable");
  make.option("--env", o->environments, "An environment, in order of promotion, repeatable (default: dev)");
  make.flag("--if-missing", o->if_missing, "An existing team is no failure");
  make.callback([&context, o] { context.choose(&team_create, o); });
  Command list = team.add_subcommand("list", "List teams");
  output_option(list, *o);
  list.callback([&context, o] { context.choose(&team_list, o); });
}

void add_repo(Command app, Context& context) {
  Command repo = app.add_subcommand("repo", "Git repositories").require_subcommand();
  auto o = std::make_shared<Options>();
  Command make = repo.add_subcommand("create", "Create a repository and print its URL");
  make.option("name", o->name, "A DNS label").required();
  make.option("--team", o->team, "Its team").required();
  make.option("--description", o->description, "One line");
  make.flag("--if-missing", o->if_missing, "An existing repository is no failure");
  make.callback([&context, o] { context.choose(&repo_create, o); });
  Command list = repo.add_subcommand("list", "List repositories");
  list.option("--team", o->team, "Only this team's");
  output_option(list, *o);
  list.callback([&context, o] { context.choose(&repo_list, o); });
}

void add_user(Command app, Context& context) {
  Command user = app.add_subcommand("user", "Users and their access tokens").require_subcommand();
  auto o = std::make_shared<Options>();
  Command make = user.add_subcommand("create", "Create a user");
  make.option("name", o->name, "A DNS label").required();
  make.option("--email", o->email, "Their address");
  make.option("--display-name", o->display_name, "For people");
  make.flag("--admin", o->admin, "May do everything");
  make.flag("--if-missing", o->if_missing, "An existing user is no failure");
  make.callback([&context, o] { context.choose(&user_create, o); });
  Command token =
      user.add_subcommand("token", "Make a personal access token (for git, OCI and API clients) and print it once");
  token.option("name", o->name, "The user").required();
  token.option("--hours", o->hours, "How long it is valid").range(1, 24 * 366).show_default();
  token.option("--description", o->description, "What it is for");
  token.callback([&context, o] { context.choose(&user_token, o); });
}

}  // namespace

void add_team_verbs(Command app, Context& context) {
  add_team(app, context);
  add_repo(app, context);
  add_user(app, context);
}

}  // namespace mainstay::cli
