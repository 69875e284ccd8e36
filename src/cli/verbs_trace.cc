// trace: the chain from a commit to the pods that run it and the address they answer at, from any link of it.
#include <algorithm>
#include <map>
#include <set>

#include "base/strings.h"
#include "cli/output.h"
#include "cli/verbs.h"

namespace mainstay::cli {
namespace {
namespace resources = client::resources;

const client::Resource kReleases{"mainstay.dev", "v1", "releases", true, "Release"};

struct TraceOptions {
  std::string what, team, environment, output;
};

constexpr std::size_t kShortCommit = 7, kShortDigest = 12, kDigest = 64;

bool hex(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// What is searched for: any of these may be known.
struct Link {
  std::string team, commit, digest, run;
};

// https://web.prod.shop.localhost:8443/x: workload, environment and team are the first three labels of its name.
async::Task<Link> from_url(client::ApiClient client, std::string url) {
  std::string_view rest = std::string_view(url).substr(url.find("://") + 3);
  const auto labels = base::split(rest.substr(0, rest.find_first_of(":/")), '.');
  if (labels.size() < 4 || labels[0].empty() || labels[1].empty() || labels[2].empty())
    throw Failure{kUsage, url + " is not an address of a workload: <workload>.<environment>.<team>.…"};
  const std::string team(labels[2]), ns = fmt::format("{}-{}", labels[2], labels[1]);
  const json::value deployment = co_await client.get(resources::kDeployments, ns, std::string(labels[0]));
  co_return Link{team, base::annotation(deployment, "mainstay.dev/commit"), "",
                 base::annotation(deployment, "mainstay.dev/workflow-run")};
}

async::Task<Link> from_pod(client::ApiClient client, std::string ns, std::string name) {
  const json::value pod = co_await client.get(resources::kPods, ns, name);
  const std::string repository = base::annotation(pod, "mainstay.dev/repository");
  Link link{repository.substr(0, repository.find('/')), base::annotation(pod, "mainstay.dev/commit"), "",
            base::annotation(pod, "mainstay.dev/workflow-run")};
  if (link.run.empty())
    throw Failure{kNotFound, fmt::format("pod {}/{} was not deployed by a workflow run: it names none", ns, name)};
  co_return link;
}

async::Task<Link> find_start(client::ApiClient client, const TraceOptions& o) {
  const std::string& what = o.what;
  if (what.starts_with("http://") || what.starts_with("https://")) co_return co_await from_url(client, what);
  if (const auto at = what.find("sha256:"); at != std::string::npos) {
    const std::string digest = base::lower(what.substr(at)), digits = digest.substr(7);
    if (digits.size() < kShortDigest || digits.size() > kDigest || !hex(digits))
      throw Failure{kUsage, fmt::format("{} is not a digest: sha256: and {} hexadecimal digits, of which {} are enough",
                                        what.substr(at), kDigest, kShortDigest)};
    co_return Link{o.team, "", digest, ""};
  }
  if (const auto slash = what.find('/'); slash != std::string::npos) {
    const std::string ns = what.substr(0, slash), name = what.substr(slash + 1);
    if (ns.empty() || name.empty() || name.contains('/') || name.contains(':'))
      throw Failure{kUsage, what + " is neither a pod (NAMESPACE/NAME) nor an image by digest (NAME@sha256:…)"};
    co_return co_await from_pod(client, ns, name);
  }
  if (const std::string commit = base::lower(what); commit.size() >= kShortCommit && hex(commit))
    co_return Link{o.team, commit, "", ""};
  if (o.team.empty())
    throw Failure{
        kUsage, fmt::format("{} is not a URL, an image's digest (sha256:…), a commit ({} hexadecimal digits at least) "
                            "or a pod (NAMESPACE/NAME, or NAME with --team TEAM --env ENVIRONMENT)",
                            what, kShortCommit)};
  co_return co_await from_pod(client, o.environment.empty() ? o.team : o.team + "-" + o.environment, what);
}

bool is_of(const Link& link, const json::value& run) {
  if (!link.run.empty()) return base::get_string(run, "metadata.name") == link.run;
  if (!link.digest.empty()) {
    for (const json::value& image : base::get_array(run, "status.images"))
      if (base::get_string(image, "digest").starts_with(link.digest)) return true;
    return false;
  }
  return base::get_string(run, "spec.commit").starts_with(link.commit);
}

// The teams to look in: the one that is known, else all that the caller may read.
async::Task<std::vector<std::string>> teams(client::ApiClient client, std::string known) {
  if (!known.empty()) co_return std::vector<std::string>{known};
  std::vector<std::string> out;
  for (const json::value& team : base::get_array(co_await client.list(resources::kTeams, ""), "items"))
    out.push_back(base::get_string(team, "metadata.name"));
  co_return out;
}

async::Task<json::array> pods_of(client::ApiClient client, std::string ns, std::string run) {
  json::array out;
  try {
    const json::value pods = co_await client.list(resources::kPods, ns);
    for (const json::value& pod : base::get_array(pods, "items"))
      if (base::annotation(pod, "mainstay.dev/workflow-run") == run)
        out.push_back(json::object{{"namespace", ns},
                                   {"name", base::get_string(pod, "metadata.name")},
                                   {"phase", base::get_string(pod, "status.phase")}});
  } catch (const base::StatusError& error) {
    if (error.code() != 403) throw;
  }
  co_return out;
}

// A run with all that came of it.
async::Task<json::object> chain(client::ApiClient client, std::string team, json::value run) {
  const std::string name = base::get_string(run, "metadata.name");
  json::object out{{"commit", base::get_string(run, "spec.commit")},
                   {"repository", team + "/" + base::get_string(run, "spec.repository")},
                   {"ref", base::get_string(run, "spec.ref")},
                   {"actor", base::get_string(run, "spec.actor")},
                   {"run", name},
                   {"workflow", base::get_string(run, "spec.workflow")},
                   {"phase", base::get_string(run, "status.phase")}};
  out["images"] = base::get_array(run, "status.images");
  json::array releases;
  const json::value listed = co_await client.list(kReleases, team);
  for (const json::value& release : base::get_array(listed, "items")) {
    if (base::get_string(release, "spec.run") != name) continue;
    json::object item{{"name", base::get_string(release, "metadata.name")},
                      {"workload", base::get_string(release, "spec.workload")},
                      {"approvals", base::get_array(release, "status.approvals")}};
    json::array environments;
    for (const json::value& entry : base::get_array(release, "status.environments")) {
      json::object place = entry.as_object();
      place["pods"] = co_await pods_of(client, team + "-" + base::get_string(entry, "name"), name);
      environments.push_back(std::move(place));
    }
    item["environments"] = std::move(environments);
    releases.push_back(std::move(item));
  }
  out["releases"] = std::move(releases);
  co_return out;
}

// Of a run that was pruned, what a release still says of it.
json::value run_of(const json::value& release) {
  const auto text = [&](const char* key) { return base::get_string(release, fmt::format("spec.{}", key)); };
  return json::object{{"metadata", json::object{{"name", text("run")}}},
                      {"spec", json::object{{"repository", text("repository")},
                                            {"commit", text("commit")},
                                            {"ref", text("ref")},
                                            {"actor", text("author")},
                                            {"workflow", "not kept any more"}}},
                      {"status", json::object{{"phase", "Succeeded"}, {"images", json::array()}}}};
}

// Each release of the run knows one of its images; several workloads may share one.
void add_image(json::value& run, const json::value& release) {
  const auto text = [&](const char* key) { return base::get_string(release, fmt::format("spec.{}", key)); };
  json::array& images = base::find(run, "status.images")->as_array();
  const bool known = std::ranges::any_of(
      images, [&](const json::value& image) { return base::get_string(image, "digest") == text("digest"); });
  if (text("digest").empty() || known) return;
  images.push_back(json::object{{"repository", text("imageRepository")},
                                {"digest", text("digest")},
                                {"sbom", text("sbom")},
                                {"provenance", text("provenance")}});
}

// The team's runs that the link is of, and those that only releases still know.
async::Task<std::vector<json::value>> runs_of(client::ApiClient client, std::string team, Link link) {
  std::vector<json::value> out;
  std::set<std::string> kept;
  const json::value runs = co_await client.list(resources::kWorkflowRuns, team);
  for (const json::value& run : base::get_array(runs, "items")) {
    kept.insert(base::get_string(run, "metadata.name"));
    if (is_of(link, run)) out.push_back(run);
  }
  std::map<std::string, json::value> pruned;
  const json::value releases = co_await client.list(kReleases, team);
  for (const json::value& release : base::get_array(releases, "items")) {
    const std::string name = base::get_string(release, "spec.run");
    if (kept.contains(name)) continue;
    add_image(pruned.try_emplace(name, run_of(release)).first->second, release);
  }
  for (auto& [name, run] : pruned)
    if (is_of(link, run)) out.push_back(std::move(run));
  co_return out;
}

void print_chain(const json::value& c) {
  const auto text = [&](const json::value& of, const char* key) { return base::get_string(of, key); };
  print(fmt::format("commit       {}  {} {} by {}\n", text(c, "commit"), text(c, "repository"), text(c, "ref"),
                    text(c, "actor")));
  print(fmt::format("run          {}  {} ({})\n", text(c, "run"), text(c, "phase"), text(c, "workflow")));
  for (const json::value& image : base::get_array(c, "images")) {
    print(fmt::format("image        {}@{}\n", text(image, "repository"), text(image, "digest")));
    print(fmt::format("sbom           {}  {} packages\n", text(image, "sbom"), base::get_int(image, "packages")));
    print(fmt::format("provenance     {}\n", text(image, "provenance")));
  }
  for (const json::value& release : base::get_array(c, "releases")) {
    print(fmt::format("release      {}  {}\n", text(release, "name"), text(release, "workload")));
    for (const json::value& approval : base::get_array(release, "approvals"))
      print(fmt::format("approval       {} by {} at {}  {}\n", text(approval, "environment"), text(approval, "by"),
                        text(approval, "at"), text(approval, "attestation")));
    for (const json::value& place : base::get_array(release, "environments")) {
      print(fmt::format("environment    {}  {} {}\n", text(place, "name"), text(place, "state"),
                        text(place, "deployedAt")));
      for (const json::value& pod : base::get_array(place, "pods"))
        print(
            fmt::format("pod              {}/{}  {}\n", text(pod, "namespace"), text(pod, "name"), text(pod, "phase")));
      if (!text(place, "url").empty()) print(fmt::format("url              {}\n", text(place, "url")));
    }
  }
}

async::Task<int> trace(Session& session, const TraceOptions& o) {
  client::ApiClient client = session.client();
  const Link link = co_await find_start(client, o);
  json::array chains;
  for (const std::string& team : co_await teams(client, link.team)) {
    try {
      for (const json::value& run : co_await runs_of(client, team, link))
        chains.push_back(co_await chain(client, team, run));
    } catch (const base::StatusError& error) {
      if (error.code() != 403 || !link.team.empty()) throw;
    }
  }
  if (chains.empty())
    throw Failure{kNotFound, fmt::format("neither a workflow run nor a release that you may see is behind {}", o.what)};
  if (!o.output.empty()) {
    print(format_object(json::value{{"apiVersion", "v1"}, {"kind", "List"}, {"items", chains}}, o.output));
    co_return kDone;
  }
  for (std::size_t i = 0; i < chains.size(); ++i) {
    if (i > 0) print("\n");
    print_chain(chains[i]);
  }
  co_return kDone;
}

}  // namespace

void add_trace_verb(Command app, Context& context) {
  auto o = std::make_shared<TraceOptions>();
  Command sub = app.add_subcommand("trace", "From a commit to the pods that run it: every link, from any of them");
  sub.option("what", o->what, "A URL, a pod (NAMESPACE/NAME), an image or its digest, a commit").required();
  sub.option("--team", o->team, "The team, where it is known");
  sub.option("--env", o->environment, "The environment of a pod");
  sub.option("-o,--output", o->output, "json or yaml").one_of({"json", "yaml"});
  sub.callback([&context, o] { context.choose(&trace, o); });
}

}  // namespace mainstay::cli
