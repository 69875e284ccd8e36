// login, logout, whoami, credential, git-credential.
#include <unistd.h>

#include <iostream>

#include "async/process.h"
#include "base/encoding.h"
#include "base/files.h"
#include "base/strings.h"
#include "base/yaml.h"
#include "cli/output.h"
#include "cli/sign_in.h"
#include "cli/verbs.h"

namespace mainstay::cli {
namespace {

struct LoginOptions {
  std::string server, kubeconfig, token_file, ca_file;
  bool quiet = false, git = false, device = false, no_browser = false;
};

std::string own_path() {
  char self[4096];
  const ssize_t length = ::readlink("/proc/self/exe", self, sizeof self);
  return std::string(self, length > 0 ? static_cast<std::size_t>(length) : 0);
}

std::string read_or_fail(const std::string& path, std::string_view flag) {
  if (path == "-") return std::string(std::istreambuf_iterator<char>(std::cin), {});
  auto text = base::read_file(path, 1u << 20);
  if (!text) throw Failure{kUsage, fmt::format("{}: {}", flag, text.error().message)};
  return *std::move(text);
}

json::value kubeconfig_with(const LoginOptions& o, json::value user) {
  json::object cluster = {{"server", o.server}};
  if (!o.ca_file.empty()) cluster["certificate-authority-data"] = base::base64(read_or_fail(o.ca_file, "--ca-file"));
  return {{"apiVersion", "v1"},
          {"kind", "Config"},
          {"clusters", json::array{{{"name", "mainstay"}, {"cluster", std::move(cluster)}}}},
          {"users", json::array{{{"name", "me"}, {"user", std::move(user)}}}},
          {"contexts", json::array{{{"name", "mainstay"}, {"context", {{"cluster", "mainstay"}, {"user", "me"}}}}}},
          {"current-context", "mainstay"}};
}

json::value kubeconfig_for(const LoginOptions& o) {
  if (o.server.empty())
    throw Failure{
        kUsage, "login needs a server, https://HOST:PORT (add --token-file FILE to use a token), or --kubeconfig FILE"};
  return kubeconfig_with(o, {{"token", base::trim(read_or_fail(o.token_file, "--token-file"))}});
}

// In a browser: the kubeconfig asks this program for a token each time (client-go's exec plug-ins), which renews it.
async::Task<int> login_by_sign_in(Session& session, const LoginOptions& o) {
  const std::filesystem::path path = Session::login_path();
  LoginOptions named = o;
  while (named.server.ends_with('/')) named.server.pop_back();
  const std::string ca = o.ca_file.empty() ? "" : read_or_fail(o.ca_file, "--ca-file");
  const bool screen = std::getenv("DISPLAY") != nullptr || std::getenv("WAYLAND_DISPLAY") != nullptr;
  SignIn kept = o.device ? co_await sign_in_by_device(session.runtime(), named.server, ca)
                         : co_await sign_in_by_browser(session.runtime(), named.server, ca, screen && !o.no_browser);
  const json::value config =
      kubeconfig_with(named, {{"exec",
                               {{"apiVersion", "client.authentication.k8s.io/v1"},
                                {"command", own_path()},
                                {"args", {"--kubeconfig", std::filesystem::absolute(path).string(), "credential"}},
                                {"interactiveMode", "Never"}}}});
  if (auto made = base::make_directories(path.parent_path(), 0700); !made) throw Failure{kFailed, made.error().message};
  write_sign_in(path, kept);
  if (auto written = base::write_file(path, base::to_yaml(config), 0600); !written)
    throw Failure{kFailed, written.error().message};
  std::error_code ignored;
  std::filesystem::remove(path.string() + ".token", ignored);
  co_return kDone;
}

// Teaches git where credentials for this server come from and which CA signs it.
async::Task<> set_up_git(std::string server, std::string ca_pem) {
  const std::filesystem::path ca = Session::login_path().string() + ".ca.crt";
  if (auto written = base::write_file(ca, ca_pem); !written) throw Failure{kFailed, written.error().message};
  const std::string helper = "!" + own_path() + " git-credential";
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

// The user that these credentials are of, asked in a session of its own; "" where they do not work (it has said why).
std::string try_out(const std::string& kubeconfig) {
  Session probe(kubeconfig);
  std::string name;
  const int code = probe.run([&]() -> async::Task<int> {
    struct Ask {
      static async::Task<int> go(Session* s, std::string* out) {
        *out = co_await s->whoami();
        co_return kDone;
      }
    };
    return Ask::go(&probe, &name);
  });
  return code == kDone ? name : "";
}

async::Task<int> login(Session& session, const LoginOptions& o) {
  const auto path = Session::login_path();
  std::string name;
  if (o.kubeconfig.empty() && o.token_file.empty() && !o.server.empty()) {
    co_await login_by_sign_in(session, o);
    name = try_out(path.string());
    if (name.empty()) co_return kUnreachable;
  } else {
    const std::string text =
        o.kubeconfig.empty() ? base::to_yaml(kubeconfig_for(o)) : read_or_fail(o.kubeconfig, "--kubeconfig");
    if (auto made = base::make_directories(path.parent_path(), 0700); !made)
      throw Failure{kFailed, made.error().message};
    // Tried before it is kept: a login that does not work must not replace one that does.
    const std::string tried = path.string() + ".new";
    if (auto written = base::write_file(tried, text, 0600); !written) throw Failure{kFailed, written.error().message};
    name = try_out(tried);
    if (name.empty()) {
      std::filesystem::remove(tried);
      co_return kUnreachable;
    }
    std::filesystem::rename(tried, path);
    // What was kept beside the old one is of another sign-in.
    std::error_code ignored;
    for (const char* suffix : {".token", ".session"}) std::filesystem::remove(path.string() + suffix, ignored);
  }
  Session now(path.string());
  if (o.git) co_await set_up_git(now.server(), now.ca_pem());
  if (!o.quiet)
    print(fmt::format("logged in to {} as {}; kubectl --kubeconfig {} works too\n", now.server(), name, path.string()));
  co_return kDone;
}

struct None {};

async::Task<int> whoami(Session& session, const None&) {
  print(co_await session.whoami() + "\n");
  co_return kDone;
}

// client-go's exec credential plug-in: kubectl runs it for each token.
async::Task<int> credential(Session& session, const None&) {
  const auto kept = co_await current_sign_in(session.runtime(), session.kubeconfig_path(), session.ca_pem());
  if (!kept) throw Failure{kUnreachable, "the sign-in has ended: mainstay login " + session.server()};
  print(json::serialize(json::value{
            {"apiVersion", "client.authentication.k8s.io/v1"},
            {"kind", "ExecCredential"},
            {"status", {{"token", kept->access_token}, {"expirationTimestamp", base::rfc3339(kept->expires)}}}}) +
        "\n");
  co_return kDone;
}

async::Task<int> logout(Session& session, const None&) {
  const auto path = Session::login_path();
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored))
    throw Failure{kUsage, "not logged in: " + path.string() + " is not there"};
  co_await sign_out(session.runtime(), path, Session(path.string()).ca_pem());
  print("logged out\n");
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

void add_login_verbs(Command app, Context& context) {
  Command sub = app.add_subcommand("login", "Log in, and keep the kubeconfig for later commands");
  auto o = std::make_shared<LoginOptions>();
  sub.option("server", o->server, "https://HOST:PORT");
  sub.option("--kubeconfig", o->kubeconfig, "Take server and credentials from this kubeconfig");
  sub.option("--token-file", o->token_file, "A file with an access token; - reads standard input");
  sub.option("--ca-file", o->ca_file, "The platform's certificate authority (DIR/ca.crt)");
  sub.flag("--device", o->device, "Sign in in a browser on another machine, by a code");
  sub.flag("--no-browser", o->no_browser, "Only print the address to go to");
  sub.flag("--git", o->git, "Also tell git (globally) to use these credentials for this server");
  sub.flag("--quiet", o->quiet, "Say nothing on success");
  sub.callback([&context, o] { context.choose(&login, o); });

  Command who = app.add_subcommand("whoami", "Print the user that the server sees");
  who.callback([&context] { context.choose(&whoami, std::make_shared<None>()); });

  Command out = app.add_subcommand("logout", "End the sign-in that login kept, and forget it");
  out.callback([&context] { context.choose(&logout, std::make_shared<None>()); });

  Command plugin =
      app.add_subcommand("credential", "kubectl's credential plug-in: the kubeconfig of a sign-in names it");
  plugin.callback([&context] { context.choose(&credential, std::make_shared<None>()); });

  Command git = app.add_subcommand("git-credential",
                                   "git's credential helper: git config credential.helper '!mainstay git-credential'");
  auto operation = std::make_shared<std::string>();
  git.option("operation", *operation, "get, store or erase").required();
  git.callback([&context, operation] { context.choose(&git_credential, operation); });
}

}  // namespace mainstay::cli
