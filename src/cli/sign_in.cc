#include "cli/sign_in.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstdlib>
#include <map>

#include "async/process.h"
#include "async/sync.h"
#include "base/encoding.h"
#include "base/files.h"
#include "base/ids.h"
#include "base/json.h"
#include "base/strings.h"
#include "cli/session.h"
#include "crypto/digest.h"
#include "net/client.h"
#include "net/server.h"

namespace mainstay::cli {
namespace {
namespace fs = std::filesystem;
using Fields = std::map<std::string, std::string>;

constexpr std::string_view kScope = "openid profile email groups offline_access";
constexpr std::chrono::minutes kPatience{10};

std::string encode(const Fields& fields) {
  std::string out;
  for (const auto& [name, value] : fields)
    out += (out.empty() ? "" : "&") + base::percent_encode(name) + "=" + base::percent_encode(value);
  return out;
}

struct Answer {
  int status = 0;
  json::value body;
};

async::Task<Answer> post(async::Executor executor, std::string server, std::string ca_pem, std::string path,
                         Fields fields) {
  net::ClientOptions options;
  options.tls.ca_pem = std::move(ca_pem);
  auto client = net::Client::create(executor, server, options);
  if (!client) throw Failure{kUsage, client.error().message};
  net::ClientRequest request;
  request.method = "POST";
  request.target = std::move(path);
  request.headers.set("Content-Type", "application/x-www-form-urlencoded");
  request.body = encode(fields);
  auto response = co_await (*client)->send(std::move(request));
  if (!response) throw Failure{kUnreachable, response.error().message};
  auto body = base::parse_json(co_await response->body->read_all(1u << 20));
  co_return Answer{response->status, body ? *body : json::value(nullptr)};
}

std::string reason(const Answer& answer) {
  return base::get_string(answer.body, "error_description", fmt::format("the server answered {}", answer.status));
}

SignIn from_answer(const std::string& server, const json::value& body) {
  return {server, base::get_string(body, "access_token"), base::get_string(body, "refresh_token"),
          base::real_clock().now() + std::chrono::seconds(base::get_int(body, "expires_in"))};
}

// Tries to show the page; where it cannot, the address was printed.
async::Task<> open_browser(std::string url) {
  async::ProcessOptions options;
  options.argv = {"xdg-open", url};
  options.die_with_parent = false;
  for (const char* name :
       {"HOME", "DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "BROWSER"}) {
    if (const char* value = std::getenv(name)) options.env[name] = value;
  }
  (void)co_await async::run_process(std::move(options));
}

// What the browser brings back to the loopback address.
struct Callback {
  explicit Callback(async::Executor executor) : came(executor) {}
  std::string state;
  std::optional<Fields> fields;
  async::Event came;

  static async::Task<net::Response> serve(std::shared_ptr<Callback> self, std::shared_ptr<net::Request> request) {
    // Another page of the browser may try to bring a code of its own: the state tells.
    if (request->path != "/callback" || request->query.get("state") != self->state)
      co_return net::Response::text(404, "nothing here\n");
    Fields fields;
    for (const auto& [name, value] : request->query.all()) fields[name] = value;
    self->fields = std::move(fields);
    self->came.notify_all();
    co_return net::Response::text(200, "Done. You can close this page and go back to the command line.\n");
  }
};

async::Task<> wait_for(std::shared_ptr<Callback> callback) {
  while (!callback->fields) co_await callback->came.wait();
}

}  // namespace

fs::path sign_in_path(const fs::path& kubeconfig) { return kubeconfig.string() + ".session"; }

std::optional<SignIn> read_sign_in(const fs::path& kubeconfig) {
  auto text = base::read_file(sign_in_path(kubeconfig), 1u << 16);
  auto value = text ? base::parse_json(*text) : base::Result<json::value>(std::unexpected(text.error()));
  if (!value) return std::nullopt;
  const auto expires = base::parse_rfc3339(base::get_string(*value, "expiresAt"));
  return SignIn{base::get_string(*value, "server"), base::get_string(*value, "accessToken"),
                base::get_string(*value, "refreshToken"), expires.value_or(base::SystemTime{})};
}

void write_sign_in(const fs::path& kubeconfig, const SignIn& kept) {
  const json::value value = {{"server", kept.server},
                             {"accessToken", kept.access_token},
                             {"refreshToken", kept.refresh_token},
                             {"expiresAt", base::rfc3339(kept.expires)}};
  if (auto written = base::write_file(sign_in_path(kubeconfig), json::serialize(value), 0600); !written)
    throw Failure{kFailed, written.error().message};
}

async::Task<SignIn> sign_in_by_browser(async::Runtime& runtime, std::string server, std::string ca_pem, bool open) {
  const auto callback = std::make_shared<Callback>(runtime.executor());
  callback->state = base::random_hex(16);
  const std::string verifier = base::random_hex(32);
  net::Server listener(runtime, [callback](std::shared_ptr<net::Request> r) { return Callback::serve(callback, r); });
  const auto at = listener.listen({"127.0.0.1", 0}, std::nullopt);
  if (!at) throw Failure{kFailed, at.error().message};
  const std::string redirect = "http://" + at->to_string() + "/callback";
  const std::string url = server + "/oauth2/authorize?" +
                          encode({{"response_type", "code"},
                                  {"client_id", "mainstay-cli"},
                                  {"redirect_uri", redirect},
                                  {"scope", std::string(kScope)},
                                  {"state", callback->state},
                                  {"code_challenge", base::base64url(crypto::sha256_raw(verifier))},
                                  {"code_challenge_method", "S256"}});
  std::fprintf(
      stderr, "Sign in in the browser; if none opens, go to\n\n  %s\n\n(on another machine: mainstay login --device)\n",
      url.c_str());
  if (open) co_await open_browser(url);
  const bool came = co_await async::with_timeout(wait_for(callback), kPatience);
  co_await listener.stop(std::chrono::seconds(1));
  if (!came) throw Failure{kFailed, "nobody signed in within ten minutes"};
  Fields& fields = *callback->fields;
  // RFC 9207: an answer of another issuer must not be taken to this one.
  if (fields["iss"] != server) throw Failure{kFailed, "the answer came from another server"};
  if (!fields["error"].empty()) throw Failure{kForbidden, "sign-in refused: " + fields["error_description"]};
  const Answer answer = co_await post(runtime.executor(), server, ca_pem, "/oauth2/token",
                                      {{"grant_type", "authorization_code"},
                                       {"client_id", "mainstay-cli"},
                                       {"code", fields["code"]},
                                       {"redirect_uri", redirect},
                                       {"code_verifier", verifier}});
  if (answer.status != 200) throw Failure{kFailed, "sign-in failed: " + reason(answer)};
  co_return from_answer(server, answer.body);
}

async::Task<SignIn> sign_in_by_device(async::Runtime& runtime, std::string server, std::string ca_pem) {
  const Answer begun = co_await post(runtime.executor(), server, ca_pem, "/oauth2/device_authorization",
                                     {{"client_id", "mainstay-cli"}, {"scope", std::string(kScope)}});
  if (begun.status != 200) throw Failure{kFailed, "sign-in failed: " + reason(begun)};
  std::fprintf(stderr, "Go to\n\n  %s\n\nin a browser, and see that the code there is %s\n",
               base::get_string(begun.body, "verification_uri_complete").c_str(),
               base::get_string(begun.body, "user_code").c_str());
  std::chrono::seconds interval(base::get_int(begun.body, "interval", 5));
  const auto end = base::real_clock().steady() + std::chrono::seconds(base::get_int(begun.body, "expires_in", 600));
  // The device flow is made of asking again (RFC 8628 3.4), as often as the server allows.
  while (base::real_clock().steady() < end) {
    co_await async::sleep_for(interval);
    const Answer answer = co_await post(runtime.executor(), server, ca_pem, "/oauth2/token",
                                        {{"grant_type", "urn:ietf:params:oauth:grant-type:device_code"},
                                         {"client_id", "mainstay-cli"},
                                         {"device_code", base::get_string(begun.body, "device_code")}});
    if (answer.status == 200) co_return from_answer(server, answer.body);
    const std::string error = base::get_string(answer.body, "error");
    if (error == "slow_down")
      interval += std::chrono::seconds(5);
    else if (error != "authorization_pending")
      throw Failure{kForbidden, "sign-in failed: " + reason(answer)};
  }
  throw Failure{kFailed, "nobody signed in within the code's time"};
}

async::Task<std::optional<SignIn>> current_sign_in(async::Runtime& runtime, fs::path kubeconfig, std::string ca_pem) {
  const auto fresh = [](const SignIn& s) { return s.expires > base::real_clock().now() + std::chrono::minutes(1); };
  auto kept = read_sign_in(kubeconfig);
  if (!kept || fresh(*kept)) co_return kept;
  struct Lock {
    explicit Lock(const fs::path& path) : fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
      if (fd >= 0) ::flock(fd, LOCK_EX);
    }
    ~Lock() {
      if (fd >= 0) ::close(fd);
    }
    int fd;
  } lock(sign_in_path(kubeconfig).string() + ".lock");
  kept = read_sign_in(kubeconfig);
  if (!kept || fresh(*kept)) co_return kept;
  const Answer answer = co_await post(
      runtime.executor(), kept->server, std::move(ca_pem), "/oauth2/token",
      {{"grant_type", "refresh_token"}, {"client_id", "mainstay-cli"}, {"refresh_token", kept->refresh_token}});
  if (answer.status >= 500) throw Failure{kUnreachable, reason(answer)};
  if (answer.status != 200) co_return std::nullopt;
  SignIn next = from_answer(kept->server, answer.body);
  write_sign_in(kubeconfig, next);
  co_return next;
}

async::Task<> sign_out(async::Runtime& runtime, fs::path kubeconfig, std::string ca_pem) {
  if (const auto kept = read_sign_in(kubeconfig)) {
    try {
      co_await post(runtime.executor(), kept->server, std::move(ca_pem), "/oauth2/revoke",
                    {{"client_id", "mainstay-cli"}, {"token", kept->refresh_token}});
    } catch (const Failure& e) {
      std::fprintf(stderr, "mainstay: the server was not told: %s\n", e.message.c_str());
    }
  }
  std::error_code ignored;
  for (const char* suffix : {"", ".session", ".session.lock", ".token", ".ca.crt"})
    fs::remove(kubeconfig.string() + suffix, ignored);
}

}  // namespace mainstay::cli
