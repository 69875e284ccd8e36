#include "capabilities/source/capability.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <cstdio>

#include "base/strings.h"
#include "capabilities/source/browse.h"
#include "capabilities/source/git.h"
#include "capabilities/source/git_reader.h"
#include "capabilities/source/repository_reconcile.h"
#include "capabilities/source/smart_http.h"

namespace mainstay::embedded {
base::EmbeddedFiles source_files();
}

namespace mainstay::source {
namespace {

namespace fs = std::filesystem;

std::string git_version() {
  std::string version = "git";
  if (FILE* pipe = ::popen("git version 2>/dev/null", "r")) {
    char line[128] = {};
    if (std::fgets(line, sizeof line, pipe) != nullptr)
      if (std::string_view text = base::trim(line); text.starts_with("git version "))
        version = "git " + std::string(text.substr(12));
    ::pclose(pipe);
  }
  return version;
}

fs::path own_binary() {
  std::error_code error;
  fs::path path = fs::read_symlink("/proc/self/exe", error);
  return error ? fs::path("/usr/local/bin/mainstay") : path;
}

async::Task<platform::Health> health(fs::path root) {
  struct statvfs disk{};
  if (::statvfs(root.c_str(), &disk) != 0 || ::access(root.c_str(), W_OK) != 0)
    co_return platform::Health{false, fmt::format("{} is not writable: pushes fail", root.string())};
  const std::uint64_t free = disk.f_bavail * static_cast<std::uint64_t>(disk.f_frsize);
  if (free < (256u << 20))
    co_return platform::Health{false, fmt::format("{} has only {} MB free", root.string(), free >> 20)};
  co_return platform::Health{true, ""};
}

api::AdmissionPlugin name_check() {
  api::AdmissionPlugin plugin;
  plugin.name = "repository-names";
  plugin.matches = [](const api::AdmissionRequest& request) {
    return request.operation != api::Operation::kDelete && request.subresource.empty() &&
           request.type->kind == "Repository" && request.type->group == "mainstay.dev";
  };
  plugin.admit = [](api::AdmissionRequest& request) -> async::Task<> {
    const std::string name = base::get_string(*request.object, "metadata.name", request.name);
    std::vector<base::Cause> causes;
    if (auto ok = check_repository_name(name); !ok)
      causes.push_back({"metadata.name", "FieldValueInvalid", ok.error().message});
    const std::string branch = base::get_string(*request.object, "spec.defaultBranch", "main");
    if (!is_branch_name(branch))
      causes.push_back({"spec.defaultBranch", "FieldValueInvalid", "not a branch name that git accepts"});
    if (!causes.empty()) throw base::invalid("Repository", name, causes);
    co_return;
  };
  return plugin;
}

}  // namespace

void register_source(platform::Host& host) {
  auto git = std::make_shared<Git>(host.config().dir("git"), own_binary());
  auto repositories = std::make_shared<RepositoryReconciler>(host, git);
  auto http = std::make_shared<SmartHttp>(host, git, repositories);
  auto reader = std::make_shared<BatchReader>(host.tasks(), git);
  repositories->on_removed([reader](const reconcile::Name& name) { reader->forget(name); });

  host.add_files(embedded::source_files());
  host.provide<platform::GitReader>(reader);
  http->add_routes();
  add_browse_routes(host, git, reader);
  host.api().add_admission(name_check());
  auto& controller =
      host.add_controller({.name = "repository", .primary = client::resources::kRepositories, .also = {}, .workers = 4},
                          [repositories](reconcile::Name name) { return repositories->reconcile(std::move(name)); });
  repositories->set_controller(controller);

  static constexpr auto prepare = [](platform::Host& host, std::shared_ptr<Git> git) -> async::Task<> {
    auto ready = co_await host.runtime().blocking([git] { return git->prepare(); });
    if (!ready) throw std::runtime_error("source control: " + ready.error().message);
  };
  host.on_start("source", [&host, git] { return prepare(host, git); });
  static constexpr auto stop = [](std::shared_ptr<SmartHttp> http) -> async::Task<> {
    http->stop();
    co_return;
  };
  host.on_stop("source", [http] { return stop(http); });
  host.add_capability({.name = "source",
                       .title = "General developer tools",
                       .number = 2,
                       .part = "source control",
                       .provider = "built-in",
                       .engine = git_version(),
                       .lost_without = "pushing and fetching code, and everything a push starts",
                       .health = [root = git->root()] { return health(root); }});
}

}  // namespace mainstay::source
