// Real git against the real server: fetch, push, refusals, and what a push is told.
#include <sys/socket.h>

#include "async/process.h"
#include "async/runtime.h"
#include "capabilities/source/capability.h"
#include "capabilities/source/git_test_tree.h"
#include "capabilities/source/hook.h"
#include "net/client.h"
#include "platform/interfaces/push.h"
#include "platform/platform.h"

namespace mainstay::source {
namespace {

using client::resources::kRepositories;

// git starts this very program as its hook.
__attribute__((constructor)) void serve_as_hook(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "hook") ::_exit(hook_main(argc - 1, argv + 1));
}

// Says three lines about each push, the last after a while.
class TalkativeFollower final : public platform::PushFollower {
 public:
  async::Task<> follow(std::string ns, std::string repository, std::vector<platform::PushedRef> refs,
                       Say say) override {
    co_await say("building " + ns + "/" + repository);
    co_await say(refs.empty() ? "nothing" : refs[0].ref);
    co_await async::sleep_for(std::chrono::milliseconds(100));
    co_await say("https://example.test");
  }
};

async::Task<std::optional<base::Result<api::UserInfo>>> verify(std::string secret, std::string,
                                                               std::optional<base::SystemTime>) {
  api::UserInfo user;
  user.groups = {"system:authenticated"};
  if (secret == "anns") {
    user.name = "ann";
    user.groups.emplace_back(api::kMastersGroup);
    co_return user;
  }
  if (secret == "bens") {
    user.name = "ben";
    co_return user;
  }
  co_return std::nullopt;
}

std::uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  socklen_t size = sizeof address;
  EXPECT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(fd);
  return ntohs(address.sin_port);
}

struct Served {
  explicit Served(async::Runtime& loop) : runtime(loop) {
    config.data_dir = scratch.dir() / "data";
    config.listen = {"127.0.0.1", free_port()};
    config.compute = false;
    platform = std::make_unique<platform::Platform>(runtime, config);
    platform->api().authenticator().add("test", verify);
    platform->provide<platform::PushFollower>(std::make_shared<TalkativeFollower>());
    platform->register_capability(register_source);
  }
  std::string url(const std::string& user, const std::string& repository) const {
    return fmt::format("https://{}:{}s@{}/git/{}", user, user, config.listen.to_string(), repository);
  }
  // A shell command with git set up, without blocking the loop that serves it.
  async::Task<std::pair<int, std::string>> sh(std::string command) {
    async::ProcessOptions options;
    options.argv = {"sh", "-c", command};
    options.working_directory = scratch.dir();
    options.merge_stderr = true;
    options.env = {{"HOME", scratch.dir().string()},
                   {"GIT_CONFIG_NOSYSTEM", "1"},
                   {"GIT_TERMINAL_PROMPT", "0"},
                   {"GIT_SSL_CAINFO", (config.data_dir / "ca.crt").string()},
                   {"GIT_AUTHOR_NAME", "Ann"},
                   {"GIT_AUTHOR_EMAIL", "a@b"},
                   {"GIT_COMMITTER_NAME", "Ann"},
                   {"GIT_COMMITTER_EMAIL", "a@b"},
                   {"LC_ALL", "C"}};
    auto done = co_await async::run_process(std::move(options), "", std::chrono::seconds(60));
    if (!done) co_return std::pair{-1, done.error().message};
    co_return std::pair{done->status.code, done->out + done->err};
  }
  async::Task<std::string> ok(std::string command) {
    auto [code, output] = co_await sh(command);
    EXPECT_EQ(code, 0) << command << "\n" << output;
    co_return output;
  }
  async::Task<> repository(std::string name, base::json::object spec) {
    auto client = platform->client("test");
    co_await client.create(kRepositories, "shop",
                           base::json::object{{"apiVersion", "mainstay.dev/v1"},
                                              {"kind", "Repository"},
                                              {"metadata", base::json::object{{"name", name}, {"namespace", "shop"}}},
                                              {"spec", std::move(spec)}});
    for (int i = 0; i < 200; ++i) {
      const auto object = co_await client.get(kRepositories, "shop", name);
      if (reconcile::condition_true(object, "Ready")) co_return;
      co_await async::sleep_for(std::chrono::milliseconds(20));
    }
    ADD_FAILURE() << name << " does not get ready";
  }
  async::Runtime& runtime;
  Scratch scratch;
  base::Config config;
  std::unique_ptr<platform::Platform> platform;
};

using Scenario = async::Task<> (*)(Served&);

async::Task<> drive(async::Runtime& runtime, Served& served, Scenario scenario) {
  async::TaskGroup group(runtime.executor(), "test");
  group.spawn("platform", served.platform->run());
  std::exception_ptr fault;
  try {
    for (int i = 0; i < 500 && !std::filesystem::exists(served.config.data_dir / "ca.crt"); ++i)
      co_await async::sleep_for(std::chrono::milliseconds(10));
    auto client = served.platform->client("test");
    for (int i = 0;; ++i) {
      try {
        co_await client.apply(
            client::resources::kNamespaces,
            base::json::object{
                {"apiVersion", "v1"}, {"kind", "Namespace"}, {"metadata", base::json::object{{"name", "shop"}}}});
        break;
      } catch (const base::StatusError&) {
        if (i == 200) throw;
      }
      co_await async::sleep_for(std::chrono::milliseconds(20));
    }
    for (int i = 0;
         i < 300 && !co_await net::tcp_probe("127.0.0.1", served.config.listen.port, std::chrono::seconds(1)); ++i)
      co_await async::sleep_for(std::chrono::milliseconds(20));
    co_await scenario(served);
  } catch (...) {
    fault = std::current_exception();
  }
  served.platform->stop();
  co_await group.join();
  if (fault) std::rethrow_exception(fault);
}

void serve(Scenario scenario) {
  async::Runtime runtime;
  Served served(runtime);
  runtime.run(drive(runtime, served, scenario));
}

async::Task<> push_and_clone(Served& s) {
  co_await s.repository("web", {});
  co_await s.ok(
      "git init -q -b main work && cd work && echo one > a && git add a && git commit -q -m one && git remote add "
      "origin " +
      s.url("ann", "shop/web.git"));
  const std::string pushed = co_await s.ok("cd work && git push origin main");
  EXPECT_TRUE(pushed.contains("remote: building shop/web")) << pushed;
  EXPECT_TRUE(pushed.contains("remote: refs/heads/main")) << pushed;
  EXPECT_TRUE(pushed.contains("remote: https://example.test")) << pushed;
  const std::string sha(base::trim(co_await s.ok("git -C work rev-parse HEAD")));
  auto client = s.platform->client("test");
  base::json::value object;
  for (int i = 0; i < 100; ++i) {
    object = co_await client.get(kRepositories, "shop", "web");
    if (base::get_string(object, "status.refs.refs/heads/main.sha") == sha) break;
    co_await async::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(base::get_string(object, "status.refs.refs/heads/main.sha"), sha);
  EXPECT_EQ(base::get_string(object, "status.refs.refs/heads/main.pushedBy"), "ann");
  // Without .git, and in every version of the protocol.
  for (int version = 0; version < 3; ++version)
    EXPECT_TRUE((co_await s.ok(fmt::format("git -c protocol.version={0} clone -q {1} clone{0} && cat clone{0}/a",
                                           version, s.url("ann", "shop/web"))))
                    .contains("one"));
  // A shallow fetch of the exact commit, as jobs do it; a large push comes chunked, a long negotiation gzipped.
  co_await s.ok(
      fmt::format("git init -q exact && cd exact && git fetch -q --depth=1 {} {} && git cat-file -e FETCH_HEAD",
                  s.url("ann", "shop/web.git"), sha));
  co_await s.ok(
      "cd work && head -c 9000000 /dev/urandom > big && git add big && git commit -q -m big && git push -q origin "
      "main");
  co_await s.ok(
      "cd work && for i in $(seq 1 120); do git commit -q --allow-empty -m $i; git tag t$i; done && git push -q origin "
      "main --tags");
  co_await s.ok("cd clone2 && git fetch -q --tags && git cat-file -e t120");
  co_await s.ok("cd work && git push -q origin :refs/tags/t1 && git push -q --force origin HEAD~3:main");
}

TEST(SmartHttp, PushesAndClones) { serve(push_and_clone); }

async::Task<> refusals(Served& s) {
  co_await s.repository("web", {{"protectedBranches", base::json::array{"main"}}});
  co_await s.ok(
      "git init -q -b main work && cd work && git commit -q --allow-empty -m one && git commit -q --allow-empty -m "
      "two");
  auto [anonymous, said] =
      co_await s.sh(fmt::format("git ls-remote https://{}/git/shop/web.git", s.config.listen.to_string()));
  EXPECT_NE(anonymous, 0);
  EXPECT_TRUE(said.contains("could not read Username") || said.contains("Authentication failed")) << said;
  auto [forbidden, why] = co_await s.sh("git ls-remote " + s.url("ben", "shop/web.git"));
  EXPECT_NE(forbidden, 0);
  EXPECT_TRUE(why.contains("remote: ben may not read shop/web")) << why;
  auto [missing, what] = co_await s.sh("git ls-remote " + s.url("ann", "shop/nope.git"));
  EXPECT_NE(missing, 0);
  EXPECT_TRUE(what.contains("remote: there is no repository shop/nope")) << what;
  for (const char* odd : {"shop/..%2fweb.git", "shop/.git", "..%2f..%2fetc/x.git"})
    EXPECT_NE((co_await s.sh("git ls-remote " + s.url("ann", odd))).first, 0) << odd;
  co_await s.ok("cd work && git push -q " + s.url("ann", "shop/web.git") + " main");
  auto [rewritten, protection] =
      co_await s.sh("cd work && git push --force " + s.url("ann", "shop/web.git") + " HEAD~1:main");
  EXPECT_NE(rewritten, 0);
  EXPECT_TRUE(protection.contains("remote: main is protected")) << protection;
  EXPECT_FALSE(protection.contains("building")) << "nothing follows from a push that was rejected: " << protection;
  // Deleting the object deletes the files.
  auto client = s.platform->client("test");
  co_await client.remove(kRepositories, "shop", "web");
  for (int i = 0; i < 200 && std::filesystem::exists(s.config.data_dir / "git/shop/web.git"); ++i)
    co_await async::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(std::filesystem::exists(s.config.data_dir / "git/shop/web.git"));
  EXPECT_NE((co_await s.sh("git ls-remote " + s.url("ann", "shop/web.git"))).first, 0);
}

TEST(SmartHttp, RefusesWithReasons) { serve(refusals); }

}  // namespace
}  // namespace mainstay::source
