// user password, user reset-totp, token list, token revoke: how people look after their own credentials.
#include <termios.h>
#include <unistd.h>

#include <iostream>

#include "base/encoding.h"
#include "cli/output.h"
#include "cli/verbs.h"

namespace mainstay::cli {
namespace {
namespace resources = client::resources;

struct PasswordOptions {
  std::string name;
  bool from_stdin = false, temporary = false;
};

// One line without echo. Throws Failure where there is no terminal to ask at.
std::string ask(const std::string& prompt) {
  struct NoEcho {
    termios before{};
    bool terminal = ::tcgetattr(STDIN_FILENO, &before) == 0;
    NoEcho() {
      if (!terminal) return;
      termios quiet = before;
      quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
      ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    }
    ~NoEcho() {
      if (terminal) ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    }
  } no_echo;
  if (!no_echo.terminal) throw Failure{kUsage, "there is no terminal to ask at: use --stdin"};
  std::fprintf(stderr, "%s: ", prompt.c_str());
  std::string line;
  std::getline(std::cin, line);
  std::fprintf(stderr, "\n");
  return line;
}

std::string new_password(const PasswordOptions& o) {
  if (o.from_stdin) {
    std::string line;
    std::getline(std::cin, line);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    return line;
  }
  std::string first = ask("New password of " + o.name);
  if (first != ask("The same again")) throw Failure{kUsage, "the two passwords differ"};
  return first;
}

async::Task<int> user_password(Session& session, const PasswordOptions& o) {
  json::object spec = {{"password", new_password(o)}, {"temporary", o.temporary}};
  client::ApiClient client = session.client();
  bool needs_old = false;
  try {
    co_await client.create_subresource(resources::kUsers, "", o.name, "password", {{"spec", spec}});
  } catch (const base::StatusError& e) {
    needs_old = e.code() == 403 && e.message().starts_with("spec.currentPassword") && !o.from_stdin;
    if (!needs_old) throw;
  }
  if (needs_old) {
    spec["currentPassword"] = ask("Present password of " + o.name);
    co_await client.create_subresource(resources::kUsers, "", o.name, "password", {{"spec", spec}});
  }
  print(fmt::format("password of {} set{}\n", o.name, o.temporary ? "; it must be changed at the next sign-in" : ""));
  co_return kDone;
}

async::Task<int> user_reset_totp(Session& session, const PasswordOptions& o) {
  net::ClientRequest request;
  request.method = "DELETE";
  request.target = fmt::format("/apis/mainstay.dev/v1/users/{}/totp", base::percent_encode(o.name));
  auto response = co_await session.client().raw(std::move(request));
  auto body = base::parse_json(co_await response.body->read_all(1u << 20));
  if (response.status >= 400) throw base::StatusError::from_json(response.status, body ? *body : json::value(nullptr));
  print(fmt::format("second factor of {} is off\n", o.name));
  co_return kDone;
}

struct TokenOptions {
  std::string user, id, output;
  bool all = false;
};

async::Task<std::string> whose(Session& session, const TokenOptions& o) {
  if (!o.user.empty()) co_return o.user;
  co_return co_await session.whoami();
}

// GET and DELETE below users/NAME/tokens; throws StatusError for a refusal.
async::Task<json::value> ask_tokens(Session& session, std::string method, std::string user, std::string id) {
  net::ClientRequest request;
  request.method = std::move(method);
  request.target = fmt::format("/apis/mainstay.dev/v1/users/{}/tokens{}", base::percent_encode(user),
                               id.empty() ? "" : "/" + base::percent_encode(id));
  auto response = co_await session.client().raw(std::move(request));
  auto body = base::parse_json(co_await response.body->read_all(4u << 20));
  const json::value answer = body ? *body : json::value(nullptr);
  if (response.status >= 400) throw base::StatusError::from_json(response.status, answer);
  co_return answer;
}

async::Task<int> token_list(Session& session, const TokenOptions& o) {
  const json::value list = co_await ask_tokens(session, "GET", co_await whose(session, o), "");
  if (!o.output.empty()) {
    print(format_object(list, o.output));
    co_return kDone;
  }
  std::vector<std::vector<std::string>> rows;
  for (const json::value& token : base::get_array(list, "items")) {
    rows.push_back({base::get_string(token, "id"), base::get_string(token, "type"),
                    base::get_string(token, "description"), base::get_string(token, "expiresAt"),
                    age(base::get_string(token, "createdAt"))});
  }
  print(format_table({"ID", "TYPE", "DESCRIPTION", "EXPIRES", "AGE"}, rows));
  co_return kDone;
}

async::Task<int> token_revoke(Session& session, const TokenOptions& o) {
  const std::string user = co_await whose(session, o);
  // A whole token is as good as its name: what leaked is often all that is at hand.
  std::string id = o.id;
  if (id.starts_with("mst_") && id.find('_', 4) != std::string::npos) id = id.substr(4, id.find('_', 4) - 4);
  co_await ask_tokens(session, "DELETE", user, id);
  print(fmt::format("{} revoked\n", id));
  co_return kDone;
}

}  // namespace

void add_token_verbs(Command app, Context& context) {
  auto p = std::make_shared<PasswordOptions>();
  Command password =
      app.get_subcommand("user").add_subcommand("password", "Set the password for signing in in a browser");
  password.option("name", p->name, "The user").required();
  password.flag("--stdin", p->from_stdin, "Read it as one line from standard input");
  password.flag("--temporary", p->temporary, "It must be changed at the next sign-in");
  password.callback([&context, p] { context.choose(&user_password, p); });

  auto f = std::make_shared<PasswordOptions>();
  Command reset = app.get_subcommand("user").add_subcommand(
      "reset-totp", "Turn a user's second factor off, where device and recovery codes are lost (administrators)");
  reset.option("name", f->name, "The user").required();
  reset.callback([&context, f] { context.choose(&user_reset_totp, f); });

  Command token =
      app.add_subcommand("token", "Your access tokens and the applications you let in").require_subcommand();
  auto l = std::make_shared<TokenOptions>();
  Command list = token.add_subcommand("list", "List them");
  list.option("--user", l->user, "Another user's (administrators)");
  list.option("-o,--output", l->output, "json or yaml").one_of({"json", "yaml"});
  list.callback([&context, l] { context.choose(&token_list, l); });
  auto r = std::make_shared<TokenOptions>();
  Command revoke = token.add_subcommand("revoke", "End one: its ID as list shows it");
  revoke.option("id", r->id, "The token's ID").required();
  revoke.option("--user", r->user, "Another user's (administrators)");
  revoke.callback([&context, r] { context.choose(&token_revoke, r); });
}

}  // namespace mainstay::cli
