// The routes below /git/: who may use them, and the answer to git's first question, info/refs.
#include "base/log.h"
#include "base/strings.h"
#include "capabilities/source/smart_http.h"

namespace mainstay::source {
namespace {

constexpr std::string_view kUpload = "git-upload-pack";
constexpr std::string_view kReceive = "git-receive-pack";

net::Response text(int status, std::string message) {
  net::Response response = net::Response::text(status, std::move(message) + "\n");
  response.headers.set("Cache-Control", "no-cache");
  return response;
}

api::Attributes attributes(const api::RequestContext& context, std::string verb) {
  api::Attributes what;
  what.verb = std::move(verb);
  what.group = "mainstay.dev";
  what.resource = "repositories";
  what.subresource = "git";
  what.ns = context.params.at("team");
  what.name = repository_of(context.params.at("repo"));
  return what;
}

// git asks for credentials on 401 only, and shows a text body as `remote:` lines.
net::Response denied(const api::RequestContext& context, int status, const std::string& message) {
  const std::string name = context.params.contains("repo") ? fmt::format("{}/{}", context.params.at("team"),
                                                                         repository_of(context.params.at("repo")))
                                                           : "this repository";
  if (status == 401 || context.user.anonymous()) {
    net::Response response =
        text(401, fmt::format("sign in to use {}: give your user name and an access token as the password", name));
    response.headers.set("WWW-Authenticate", "Basic realm=\"Mainstay git\", charset=\"UTF-8\"");
    return response;
  }
  if (status != 403) return text(status, message);
  const bool push = context.http->path.ends_with(kReceive) || context.http->query.get("service") == kReceive;
  return text(403, fmt::format("{} may not {} {}: ask an owner of team {} for the role {}", context.user.name,
                               push ? "push to" : "read", name,
                               context.params.contains("team") ? context.params.at("team") : "",
                               push ? "developer" : "viewer"));
}

}  // namespace

std::string repository_of(std::string_view segment) {
  if (segment.ends_with(".git")) segment.remove_suffix(4);
  return std::string(segment);
}

SmartHttp::SmartHttp(platform::Host& host, std::shared_ptr<Git> git, std::shared_ptr<RepositoryReconciler> repositories)
    : host_(host),
      git_(std::move(git)),
      repositories_(std::move(repositories)),
      fetches_(std::make_shared<Slots>(host.runtime().executor(), 16, 256)),
      pushes_(std::make_shared<Slots>(host.runtime().executor(), 8, 128)) {}

void SmartHttp::add_routes() {
  auto self = shared_from_this();
  const auto add = [&](std::string method, std::string tail, std::string summary, api::Require require,
                       async::Task<net::Response> (SmartHttp::*handler)(Context)) {
    api::Route route;
    route.method = std::move(method);
    route.pattern = "/git/{team}/{repo}/" + tail;
    route.permission = std::move(require);
    route.summary = std::move(summary);
    route.handler = [self, handler](Context context) { return (self.get()->*handler)(std::move(context)); };
    route.on_denied = denied;
    host_.api().add_route(std::move(route));
  };
  add(
      "GET", "info/refs", "Tells git what a repository has",
      [](const api::RequestContext& c) {
        return attributes(c, c.http->query.get("service") == kReceive ? "update" : "get");
      },
      &SmartHttp::advertise);
  add(
      "POST", std::string(kUpload), "Fetches from a repository",
      [](const api::RequestContext& c) { return attributes(c, "get"); }, &SmartHttp::upload);
  add(
      "POST", std::string(kReceive), "Pushes to a repository",
      [](const api::RequestContext& c) { return attributes(c, "update"); }, &SmartHttp::receive);
  add(
      "POST", "info/lfs/objects/batch", "Says to git-lfs that large files are kept elsewhere",
      [](const api::RequestContext& c) { return attributes(c, "get"); }, &SmartHttp::refuse_lfs);
}

// git-lfs shows the message of a JSON body; 501 tells it not to look for another place.
async::Task<net::Response> SmartHttp::refuse_lfs(Context context) {
  net::Response response = net::Response::text(
      501, base::to_json(base::json::object{
               {"message",
                "Git LFS is not served here: push large files as they are, or keep them in a bucket or the "
                "registry; git lfs uninstall, and git lfs migrate export, take it out of a repository"}}));
  response.headers.set("Content-Type", "application/vnd.git-lfs+json");
  co_return response;
}

base::Result<SmartHttp::Place> SmartHttp::place(const api::RequestContext& context) const {
  reconcile::Name name{context.params.at("team"), repository_of(context.params.at("repo"))};
  const auto object = host_.caches().of(client::resources::kRepositories)->get(name.ns, name.name);
  auto where = git_->existing(name.ns, name.name);
  if (object && where) return Place{std::move(name), *std::move(where)};
  if (object) {
    return base::fail(base::ErrorCode::kUnavailable,
                      fmt::format("{}/{} is not ready yet: {}", name.ns, name.name,
                                  git_->path(name.ns, name.name) ? "try again in a moment" : where.error().message));
  }
  return base::fail(base::ErrorCode::kNotFound,
                    fmt::format("there is no repository {0}/{1}; make it with: mainstay repo create {1} --team {0}",
                                name.ns, name.name));
}

async::Task<net::Response> SmartHttp::advertise(Context context) {
  const std::string service(context->http->query.get("service"));
  auto where = place(*context);
  if (!where) co_return text(base::from_error(where.error()).code(), where.error().message);
  if (service != kUpload && service != kReceive)
    co_return text(403, "this server speaks git's smart protocol only; use git 1.6.6 or later");
  const std::string protocol = service == kUpload ? safe_protocol(context->http->headers.get("Git-Protocol")) : "";
  const bool v2 = protocol.starts_with("version=2");
  std::string answer = v2 ? upload_v2_ : "";
  if (answer.empty()) {
    auto done = co_await async::run_process(
        git_->command({service.substr(4), "--stateless-rpc", "--http-backend-info-refs", where->path.string()},
                      protocol),
        "", std::chrono::seconds(60), 64u << 20);
    if (!done || !done->status.ok()) {
      base::log::warn("source", "git {} for {}/{}: {}", service, where->name.ns, where->name.name,
                      done ? std::string(base::trim(done->err)) : done.error().message);
      co_return text(500, "git could not read the repository; the platform's log says why");
    }
    answer = std::move(done->out);
    // What version 2 tells first depends on git alone, never on the repository: asked once.
    if (v2) upload_v2_ = answer;
    if (!v2) answer = fmt::format("{:04x}# service={}\n0000", service.size() + 15, service) + answer;
  }
  net::Response response{200, {}, std::move(answer)};
  response.headers.set("Content-Type", fmt::format("application/x-{}-advertisement", service));
  response.headers.set("Cache-Control", "no-cache, max-age=0, must-revalidate");
  co_return response;
}

}  // namespace mainstay::source
