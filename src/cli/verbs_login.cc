// login, whoami, git-credential.
#include <unistd.h>

#include <iostream>

#include "async/process.h"
#include "base/encoding.h"
#include "base/files.h"
#include "base/strings.h"
#include "base/yaml.h"
#include "cli/output.h"
#include "cli/verbs.h"

namespace mainstay::cli {
namespace {

struct LoginOptions {
  std::string server, kubeconfig, token_file, ca_file;
  bool quiet = false, git = false;
};

std::string read_or_fail(const std::string& path, std::string_view flag) {
  if (path == "-") return std::string(std::istreambuf_iterator<char>(std::cin), {});
  auto text = base::read_file(path, 1u << 20);
  if (!text) throw Failure{kUsage, fmt::format("{}: {}", flag, text.error().message)};
  return *std::move(text);
}

json::value kubeconfig_for(const LoginOptions& o) {
  if (o.token_file.empty())
    throw Failure{
        kUsage,
        "login needs credentials: --kubeconfig FILE, or a server and --token-file FILE (- reads standard input)"};
  const std::string token(base::trim(read_or_fail(o.token_file, "--token-file")));
  json::object cluster = {{"server", o.server}};
  if (!o.ca_file.empty()) cluster["certificate-authority-data"] = base::base64(read_or_fail(o.ca_file, "--ca-file"));
  return {{"apiVersion", "v1"},
          {"kind", "Config"},
          {"clusters", json::array{{{"name", "mainstay"}, {"cluster", std::move(cluster)}}}},
          {"users", json::array{{{"name", "me"}, {"user", {{"token", token}}}}}},
          {"contexts", json::array{{{"name", "mainstay"}, {"context", {{"cluster", "mainstay"}, {"user", "me"}}}}}},
          {"current-context", "mainstay"}};
}

// Teaches git where credentials for this server come from and which CA signs it.
async::Task<> set_up_git(std::string server, std::string ca_pem) {
  const std::filesystem::path ca = Session::login_path().string() + ".ca.crt";
  if (auto written = base::write_file(ca, ca_pem); !written) throw Failure{kFailed, written.error().message};
  char self[4096];
  const ssize_t length = ::readlink("/proc/self/exe", self, sizeof self);
  const std::string helper =
      "!" + std::string(self, length > 0 ? static_cast<std::size_t>(length) : 0) + " git-credential";
  const std::vector<std::pair<std::string, std::string>> settings = {{"credential." + server + ".helper", helper},
                                                                     {"http." + server + ".sslCAInfo", ca.string()}};
  for (const auto& [key, value] : settings) {
    async::ProcessOptions options;
    options.argv = {"git", "config", "--global", key, value};
    if (const char* home = std::getenv("HOME")) options.env["HOME"] = home;
    auto done = co_await async::run_process(std::move(options));
    if (!done || !done->status.ok())
      throw Failure{kFailed, "git config failed: " + (done ? done->err : done.error().message)};
  }
}

async::Task<int> login(Session& session, const LoginOptions& o) {
  std::string text;
  if (!o.kubeconfig.empty()) {
    text = read_or_fail(o.kubeconfig, "--kubeconfig");
  } else {
    text = base::to_yaml(kubeconfig_for(o));
  }
  const auto path = Session::login_path();
  if (auto made = base::make_directories(path.parent_path(), 0700); !made) throw Failure{kFailed, made.error().message};
  // Tried before it is kept: a login that does not work must not replace one that does.
  const std::string tried = path.string() + ".new";
  if (auto written = base::write_file(tried, text, 0600); !written) throw Failure{kFailed, written.error().message};
  std::string name;
  {
    Session probe(tried);
    const int code = probe.run([&]() -> async::Task<int> {
      struct Ask {
        static async::Task<int> go(Session* s, std::string* out) {
          *out = co_await s->whoami();
          co_return kDone;
        }
      };
      return Ask::go(&probe, &name);
    });
    if (code != kDone) {
      std::filesystem::remove(tried);
      co_return code;
    }
  }
  std::filesystem::rename(tried, path);
  if (o.git) co_await set_up_git(session.server(), session.ca_pem());
  if (!o.quiet)
    print(fmt::format("logged in to {} as {}; kubectl --kubeconfig {} works too\n", session.server(), name,
                      path.string()));
  co_return kDone;
}

struct None {};

async::Task<int> whoami(Session& session, const None&) {
  print(co_await session.whoami() + "\n");
  co_return kDone;
}

// git's credential helper protocol (gitcredentials(7)): key=value lines in, key=value lines out.
async::Task<int> git_credential(Session& session, const std::string& operation) {
  std::string protocol, host;
  for (std::string line; std::getline(std::cin, line) && !line.empty();) {
    if (line.starts_with("protocol=")) protocol = line.substr(9);
    if (line.starts_with("host=")) host = line.substr(5);
  }
  // Another server's password is nothing to us: silence lets git ask its next helper.
  if (operation != "get" || protocol + "://" + host != session.server()) co_return kDone;
  const std::string token = co_await session.bearer_token();
  print("username=" + co_await session.whoami() + "\npassword=" + token + "\n");
  co_return kDone;
}

}  // namespace

void add_login_verbs(CLI::App& app, Context& context) {
  CLI::App* sub = app.add_subcommand("login", "Log in, and keep the kubeconfig for later commands");
  auto o = std::make_shared<LoginOptions>();
  sub->add_option("server", o->server, "https://HOST:PORT");
  sub->add_option("--kubeconfig", o->kubeconfig, "Take server and credentials from this kubeconfig");
  sub->add_option("--token-file", o->token_file, "A file with an access token; - reads standard input");
  sub->add_option("--ca-file", o->ca_file, "The platform's certificate authority (DIR/ca.crt)");
  sub->add_flag("--git", o->git, "Also tell git (globally) to use these credentials for this server");
  sub->add_flag("--quiet", o->quiet, "Say nothing on success");
  sub->callback([&context, o] { context.choose(&login, o); });

  CLI::App* who = app.add_subcommand("whoami", "Print the user that the server sees");
  who->callback([&context] { context.choose(&whoami, std::make_shared<None>()); });

  CLI::App* git = app.add_subcommand(
      "git-credential", "git's credential helper: git config credential.helper '!mainstay git-credential'");
  auto operation = std::make_shared<std::string>();
  git->add_option("operation", *operation, "get, store or erase")->required();
  git->callback([&context, operation] { context.choose(&git_credential, operation); });
}

}  // namespace mainstay::cli
