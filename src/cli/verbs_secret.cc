// secret: a team's secrets, over the KV API at /v1/secret/. Values come from standard input or a prompt, never from the
// command line, where every process of the machine could read them.
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/encoding.h"
#include "base/strings.h"
#include "cli/output.h"
#include "cli/verbs.h"

namespace mainstay::cli {
namespace {

constexpr std::size_t kMaxInput = 512 * 1024;

struct SecretOptions {
  std::string path, key, output;
  std::int64_t version = 0, cas = -1;
  bool merge = false, all = false, undelete = false;
};

// No echo while a person types; restored however it ends.
class Silence {
 public:
  Silence() : silent_(::tcgetattr(STDIN_FILENO, &before_) == 0) {
    if (!silent_) return;
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
  }
  ~Silence() {
    if (silent_) ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before_);
  }
  Silence(const Silence&) = delete;

 private:
  termios before_{};
  bool silent_;
};

std::string read_input() {
  std::string out;
  char buffer[8192];
  for (std::size_t n; (n = std::fread(buffer, 1, sizeof buffer, stdin)) > 0;) {
    out.append(buffer, n);
    if (out.size() > kMaxInput) throw Failure{kUsage, fmt::format("standard input is larger than {} bytes", kMaxInput)};
  }
  return out;
}

std::string prompt(const std::string& key) {
  std::fprintf(stderr, "Value of %s (not shown): ", key.c_str());
  std::string out;
  {
    const Silence silence;
    for (int c; (c = std::fgetc(stdin)) != EOF && c != '\n';) out += static_cast<char>(c);
  }
  std::fputc('\n', stderr);
  return out;
}

// A JSON object, or lines KEY=VALUE as in an environment file.
json::object parse_values(const std::string& text) {
  const std::string_view trimmed = base::trim(text);
  if (trimmed.starts_with('{')) {
    auto value = base::parse_json(trimmed, 32);
    if (!value || !value->is_object()) throw Failure{kUsage, "standard input is not a JSON object"};
    return std::move(value->as_object());
  }
  json::object out;
  int number = 0;
  for (std::string_view line : base::split(text, '\n')) {
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (base::trim(line).empty() || line.starts_with('#')) continue;
    const auto equals = line.find('=');
    // The line itself is not repeated: it may be a value.
    if (equals == std::string_view::npos || equals == 0)
      throw Failure{kUsage, fmt::format("line {} of standard input is not KEY=VALUE; for one value alone name its key: "
                                        "--key KEY",
                                        number)};
    out[line.substr(0, equals)] = line.substr(equals + 1);
  }
  if (out.empty())
    throw Failure{kUsage, "standard input is empty: give KEY=VALUE lines or a JSON object, or --key KEY"};
  return out;
}

json::object values_of(const SecretOptions& o) {
  if (o.key.empty()) return parse_values(read_input());
  if (::isatty(STDIN_FILENO) == 1) return {{o.key, prompt(o.key)}};
  std::string value = read_input();
  if (value.ends_with('\n')) value.pop_back();
  return {{o.key, value}};
}

struct Reply {
  int status = 0;
  json::value body;
};

[[noreturn]] void throw_reply(const Reply& reply, const std::string& path) {
  std::string message;
  for (const json::value& error : base::get_array(reply.body, "errors")) {
    if (error.is_string()) message += (message.empty() ? "" : "; ") + std::string(error.get_string());
  }
  if (reply.status == 404 && message.empty()) message = fmt::format("there is no secret {}, or it was deleted", path);
  if (message.empty()) message = fmt::format("the server answered {}", reply.status);
  throw Failure{reply.status == 404 ? kNotFound : reply.status == 403 ? kForbidden : kFailed, message};
}

async::Task<Reply> call(Session& session, std::string method, std::string target, json::value body = nullptr) {
  net::ClientRequest request;
  request.method = std::move(method);
  request.target = std::move(target);
  request.headers.set("Content-Type", request.method == "PATCH" ? "application/merge-patch+json" : "application/json");
  if (!body.is_null()) request.body = json::serialize(body);
  net::ClientResponse response = co_await session.client().raw(std::move(request));
  Reply reply{response.status, nullptr};
  const std::string text = co_await response.body->read_all(8u << 20);
  if (auto parsed = base::parse_json(text.empty() ? "null" : text)) reply.body = *std::move(parsed);
  co_return reply;
}

std::string url(std::string_view part, const std::string& path) {
  return fmt::format("/v1/secret/{}/{}", part, base::percent_encode(path, "/"));
}

void check_path(const SecretOptions& o) {
  if (o.path.find('/') == std::string::npos || o.path.ends_with('/'))
    throw Failure{kUsage, fmt::format("\"{}\": a secret is TEAM/NAME, such as shop/database", o.path)};
}

async::Task<int> put(Session& session, const SecretOptions& o) {
  check_path(o);
  json::object body = {{"data", values_of(o)}};
  if (o.cas >= 0) body["options"] = {{"cas", o.cas}};
  Reply reply = co_await call(session, o.merge ? "PATCH" : "POST", url("data", o.path), body);
  if (reply.status == 404 && o.merge) reply = co_await call(session, "POST", url("data", o.path), body);
  if (reply.status != 200) throw_reply(reply, o.path);
  print(fmt::format("secret {} is at version {}\n", o.path, base::get_int(reply.body, "data.version")));
  co_return kDone;
}

std::string as_text(const json::value& value) {
  return value.is_string() ? std::string(value.get_string()) : json::serialize(value);
}

async::Task<int> get(Session& session, const SecretOptions& o) {
  check_path(o);
  std::string target = url("data", o.path);
  if (o.version > 0) target += fmt::format("?version={}", o.version);
  const Reply reply = co_await call(session, "GET", target);
  if (reply.status != 200) throw_reply(reply, o.path);
  const json::object& data = base::get_object(reply.body, "data.data");
  if (!o.key.empty()) {
    const json::value* value = data.if_contains(o.key);
    if (value == nullptr) throw Failure{kNotFound, fmt::format("the secret {} has no key \"{}\"", o.path, o.key)};
    print(as_text(*value) + "\n");
  } else if (!o.output.empty()) {
    print(format_object(data, o.output));
  } else {
    for (const auto& [key, value] : data) print(fmt::format("{}={}\n", std::string_view(key), as_text(value)));
  }
  co_return kDone;
}

async::Task<int> list(Session& session, const SecretOptions& o) {
  const Reply reply = co_await call(session, "GET", url("metadata", o.path) + "?list=true");
  const bool nothing = reply.status == 404 && base::get_array(reply.body, "errors").empty();
  if (reply.status != 200 && !nothing) throw_reply(reply, o.path);
  const json::array& keys = base::get_array(reply.body, "data.keys");
  if (!o.output.empty()) {
    print(format_object(json::value(keys), o.output));
    co_return kDone;
  }
  for (const json::value& key : keys) print(as_text(key) + "\n");
  co_return kDone;
}

async::Task<int> remove(Session& session, const SecretOptions& o) {
  check_path(o);
  Reply reply;
  if (o.all) {
    reply = co_await call(session, "DELETE", url("metadata", o.path));
  } else if (o.version > 0 || o.undelete) {
    if (o.version == 0)
      throw Failure{kUsage, "undelete which version? --version N (mainstay secret history lists them)"};
    reply = co_await call(session, "POST", url(o.undelete ? "undelete" : "delete", o.path),
                          json::object{{"versions", json::array{o.version}}});
  } else {
    reply = co_await call(session, "DELETE", url("data", o.path));
  }
  if (reply.status != 204) throw_reply(reply, o.path);
  print(o.all        ? fmt::format("secret {} and all its versions are gone\n", o.path)
        : o.undelete ? fmt::format("version {} of secret {} is back\n", o.version, o.path)
                     : fmt::format("secret {} is deleted; `mainstay secret delete {} --undelete --version N` brings a "
                                   "version back\n",
                                   o.path, o.path));
  co_return kDone;
}

async::Task<int> history(Session& session, const SecretOptions& o) {
  check_path(o);
  const Reply reply = co_await call(session, "GET", url("metadata", o.path));
  if (reply.status != 200) throw_reply(reply, o.path);
  const json::value* data = base::find(reply.body, "data");
  if (!o.output.empty()) {
    print(format_object(data != nullptr ? *data : json::value(nullptr), o.output));
    co_return kDone;
  }
  std::vector<std::pair<std::int64_t, std::vector<std::string>>> rows;
  for (const auto& [number, version] : base::get_object(reply.body, "data.versions")) {
    const std::string state = base::get_bool(version, "destroyed")                 ? "destroyed"
                              : base::get_string(version, "deletion_time").empty() ? "readable"
                                                                                   : "deleted";
    rows.push_back({std::atoll(std::string(number).c_str()),
                    {std::string(number), state, base::get_string(version, "created_by"),
                     base::get_string(version, "created_time")}});
  }
  std::ranges::sort(rows, std::greater());
  std::vector<std::vector<std::string>> table;
  for (auto& [number, row] : rows) table.push_back(std::move(row));
  print(format_table({"VERSION", "STATE", "BY", "TIME"}, table));
  co_return kDone;
}

async::Task<int> rewrap(Session& session, const SecretOptions& o) {
  const Reply reply = co_await call(session, "POST", "/v1/sys/rotate", json::object{});
  if (reply.status != 200) throw_reply(reply, "");
  print(fmt::format("a new master key is in use; {} sealed values were wrapped anew\n",
                    base::get_int(reply.body, "data.rewrapped")));
  co_return kDone;
}

}  // namespace

void add_secret_verbs(Command app, Context& context) {
  Command secret = app.add_subcommand("secret", "A team's secrets, with their versions").require_subcommand();
  auto o = std::make_shared<SecretOptions>();
  const auto verb = [&context, secret, o](const char* name, const char* help, auto run, bool path) {
    Command sub = secret.add_subcommand(name, help);
    if (path) sub.option("path", o->path, "TEAM/NAME, such as shop/database").required();
    sub.callback([&context, o, run] { context.choose(run, o); });
    return sub;
  };
  const auto output = [o](Command sub) {
    sub.option("-o,--output", o->output, "json or yaml").one_of({"json", "yaml"});
  };
  Command make = verb("put", "Write a version: KEY=VALUE lines or a JSON object from standard input", &put, true);
  make.option("--key", o->key, "One key, whose value is standard input as it is, or asked for");
  make.option("--cas", o->cas, "Only where this is the newest version (0: where there is none)");
  make.flag("--merge", o->merge, "Keep the other keys of the newest version");
  Command read = verb("get", "Print a version's values", &get, true);
  read.option("--key", o->key, "This key's value alone");
  read.option("--version", o->version, "An earlier version");
  output(read);
  Command names = verb("list", "List names in TEAM or TEAM/FOLDER", &list, false);
  names.option("path", o->path, "TEAM or TEAM/FOLDER").required();
  output(names);
  Command gone = verb("delete", "Delete the newest version, so that it can come back", &remove, true);
  gone.option("--version", o->version, "This version");
  gone.flag("--undelete", o->undelete, "Bring the version back");
  gone.flag("--all", o->all, "All versions, for good");
  output(verb("history", "List the versions: when, by whom, and what became of them", &history, true));
  verb("rewrap", "Make a new master key and wrap every sealed value's key under it", &rewrap, false);
}

}  // namespace mainstay::cli
