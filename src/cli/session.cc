#include "cli/session.h"

#include <cstdio>
#include <cstdlib>

#include "base/clock.h"
#include "base/encoding.h"
#include "base/files.h"
#include "base/yaml.h"
#include "cli/sign_in.h"
#include "crypto/digest.h"

namespace mainstay::cli {
namespace fs = std::filesystem;
namespace {

std::string env(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

constexpr std::string_view kHowToLogIn =
    "log in with `mainstay login --kubeconfig DIR/admin.kubeconfig`, `mainstay login https://HOST:PORT` (in a "
    "browser), "
    "or `mainstay login https://HOST:PORT --token-file FILE`";

// What to do about a server that cannot be reached, beyond what went wrong; "" where the message says it all.
std::string_view how_to_reach(std::string_view message) {
  if (message.find("self-signed certificate") != std::string_view::npos ||
      message.find("unable to get local issuer") != std::string_view::npos ||
      message.find("certificate verify failed") != std::string_view::npos)
    return "the server's certificate is not signed by the authority in use: log in with --ca-file FILE (DIR/ca.crt of "
           "the platform; a new one where the platform was set up anew)";
  if (message.starts_with("cannot connect to"))
    return "is the platform running there? `make up`, or `mainstay up`, starts it";
  return "";
}

int exit_code(const base::StatusError& e) {
  if (e.code() == 404) return kNotFound;
  if (e.code() == 403) return kForbidden;
  if (e.code() == 401 || e.code() == 503) return kUnreachable;
  return kFailed;
}

// The part of a kubeconfig that the current context names: users[].user or clusters[].cluster.
const json::value* current(const json::value& kubeconfig, std::string_view list, std::string_view part) {
  const std::string wanted_context = base::get_string(kubeconfig, "current-context");
  for (const json::value& context : base::get_array(kubeconfig, "contexts")) {
    if (base::get_string(context, "name") != wanted_context) continue;
    const std::string name = base::get_string(context, std::string("context.") + std::string(part));
    for (const json::value& entry : base::get_array(kubeconfig, list)) {
      if (base::get_string(entry, "name") == name) return base::find(entry, part);
    }
  }
  return nullptr;
}

}  // namespace

fs::path Session::login_path() {
  if (const std::string path = env("MAINSTAY_CONFIG"); !path.empty()) return path;
  const std::string config = env("XDG_CONFIG_HOME");
  return (config.empty() ? fs::path(env("HOME")) / ".config" : fs::path(config)) / "mainstay" / "kubeconfig";
}

const json::value& Session::kubeconfig() {
  if (kubeconfig_) return *kubeconfig_;
  std::vector<fs::path> candidates;
  if (!flag_.empty()) {
    candidates = {flag_};
  } else {
    candidates = {login_path()};
    if (const std::string kube = env("KUBECONFIG"); !kube.empty()) candidates.emplace_back(kube);
  }
  for (const fs::path& path : candidates) {
    std::error_code ignored;
    if (!fs::exists(path, ignored)) continue;
    auto text = base::read_file(path, 1u << 20);
    if (!text) throw Failure{kUnreachable, text.error().message};
    auto parsed = base::parse_yaml(*text);
    if (!parsed) throw Failure{kUnreachable, fmt::format("{}: {}", path.string(), parsed.error().message)};
    kubeconfig_path_ = path;
    return kubeconfig_.emplace(*std::move(parsed));
  }
  throw Failure{kUnreachable, fmt::format("not logged in: {} is not there; {}", candidates[0].string(), kHowToLogIn)};
}

fs::path Session::kubeconfig_path() {
  kubeconfig();
  return kubeconfig_path_;
}

async::Task<std::string> Session::access_token() {
  const json::value* user = current(kubeconfig(), "users", "user");
  std::error_code ignored;
  if (user == nullptr || base::find(*user, "exec") == nullptr || !fs::exists(sign_in_path(kubeconfig_path_), ignored))
    co_return "";
  const auto kept = co_await current_sign_in(runtime_, kubeconfig_path_, ca_pem());
  // Another server's token is nothing to this one.
  co_return kept && kept->server == server() ? kept->access_token : "";
}

async::Task<> Session::use_sign_in() {
  std::error_code ignored;
  if (flag_.empty() && !fs::exists(login_path(), ignored)) co_return;
  std::string token;
  try {
    const json::value* user = current(kubeconfig(), "users", "user");
    if (user == nullptr || base::find(*user, "exec") == nullptr) co_return;
    if (!fs::exists(sign_in_path(kubeconfig_path_), ignored)) co_return;  // somebody else's plug-in
    token = co_await access_token();
  } catch (const Failure&) {
    // The verb fails by itself where it needs this; login and logout must work without.
    if (!kubeconfig_) co_return;
  }
  json::object plain;
  if (!token.empty()) plain["token"] = token;
  json::value& all = *kubeconfig_;
  for (json::value& entry : all.as_object()["users"].as_array()) {
    if (base::find(entry, {"user", "exec"}) != nullptr) entry.as_object()["user"] = plain;
  }
}

client::ApiClient Session::client() {
  auto transport = client::http_transport(runtime_.executor(), kubeconfig());
  if (!transport) throw Failure{kUnreachable, transport.error().message};
  return client::ApiClient(*transport, "mainstay-cli");
}

std::string Session::server() {
  const json::value* cluster = current(kubeconfig(), "clusters", "cluster");
  return cluster != nullptr ? base::get_string(*cluster, "server") : "";
}

std::string Session::ca_pem() {
  const json::value* cluster = current(kubeconfig(), "clusters", "cluster");
  if (cluster == nullptr) return "";
  if (auto pem = base::base64_decode(base::get_string(*cluster, "certificate-authority-data")); pem && !pem->empty())
    return *pem;
  const std::string file = base::get_string(*cluster, "certificate-authority");
  return file.empty() ? "" : base::read_file(file).value_or("");
}

async::Task<std::string> Session::whoami() {
  const client::Resource reviews{"authentication.k8s.io", "v1", "selfsubjectreviews", false, "SelfSubjectReview"};
  const json::value answer = co_await client().create(
      reviews, "", {{"apiVersion", "authentication.k8s.io/v1"}, {"kind", "SelfSubjectReview"}});
  co_return base::get_string(answer, "status.userInfo.username");
}

async::Task<std::string> Session::bearer_token() {
  const json::value* user = current(kubeconfig(), "users", "user");
  if (user != nullptr) {
    if (std::string token = base::get_string(*user, "token"); !token.empty()) co_return token;
    if (const std::string file = base::get_string(*user, "tokenFile"); !file.empty()) {
      auto text = base::read_file(file, 1u << 16);
      if (!text) throw Failure{kUnreachable, text.error().message};
      while (!text->empty() && std::isspace(static_cast<unsigned char>(text->back()))) text->pop_back();
      co_return *text;
    }
  }
  const fs::path kept = kubeconfig_path_.string() + ".token";
  // Made with these very credentials at this very platform: the same address may be another one's tomorrow.
  const std::string of = crypto::sha256_hex(json::serialize(kubeconfig()));
  const auto now = base::real_clock().now();
  if (auto text = base::read_file(kept, 1u << 16)) {
    if (auto value = base::parse_json(*text); value && base::get_string(*value, "of") == of) {
      auto expires = base::parse_rfc3339(base::get_string(*value, "expiresAt"));
      if (expires && *expires > now + std::chrono::minutes(5)) co_return base::get_string(*value, "token");
    }
  }
  const std::string name = co_await whoami();
  const json::value answer = co_await client().create_subresource(
      client::resources::kUsers, "", name, "token",
      {{"spec", {{"expirationSeconds", 3600}, {"description", "git and OCI access from the command line"}}}});
  const std::string token = base::get_string(answer, "status.token");
  const json::value entry = {{"of", of}, {"token", token}, {"expiresAt", base::rfc3339(now + std::chrono::hours(1))}};
  // Only a convenience: where it cannot be kept, the next call makes another.
  (void)base::write_file(kept, json::serialize(entry), 0600);
  co_return token;
}

int Session::run(std::function<async::Task<int>()> verb) {
  struct Body {
    static async::Task<> go(Session* session, std::function<async::Task<int>()>* verb, int* code) {
      std::string message;
      try {
        co_await session->use_sign_in();
        *code = co_await (*verb)();
        co_return;
      } catch (const Failure& e) {
        *code = e.code;
        message = e.message;
      } catch (const base::StatusError& e) {
        *code = exit_code(e);
        message = e.message();
        if (e.code() == 401) message += fmt::format("\n{}", kHowToLogIn);
        if (const auto hint = e.code() == 503 ? how_to_reach(message) : ""; !hint.empty())
          message += fmt::format("\n{}", hint);
      }
      if (!message.empty()) std::fprintf(stderr, "mainstay: %s\n", message.c_str());
    }
  };
  int code = kFailed;
  try {
    runtime_.run(Body::go(this, &verb, &code));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "mainstay: %s\n", e.what());
    return kFailed;
  }
  return code;
}

}  // namespace mainstay::cli
