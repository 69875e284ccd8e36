// Signing in with a user name and a password, a one-time code, and a new password where the old one was temporary.
#include "base/encoding.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/status.h"
#include "base/strings.h"
#include "capabilities/identity/provider.h"
#include "capabilities/identity/resources.h"
#include "capabilities/identity/totp.h"
#include "capabilities/identity/upstreams.h"
#include "crypto/digest.h"

namespace mainstay::identity {
namespace {

constexpr std::string_view kKnownCookie = "__Host-mainstay-known";
constexpr std::chrono::hours kKnownLife{24 * 400};  // what browsers keep at most

std::string hidden(std::string_view name, std::string_view value) {
  return fmt::format("<input type=\"hidden\" name=\"{}\" value=\"{}\">", name, escape(value));
}

std::string error_box(const std::string& error) {
  return error.empty() ? "" : fmt::format("<p class=\"error\" role=\"alert\">{}</p>", escape(error));
}

// The origin that a page's redirect after sign-in ends at: an authorization's client.
std::string target_of(const std::string& back) {
  const auto mark = back.find('?');
  if (mark == std::string::npos) return "";
  auto form = Form::parse(std::string_view(back).substr(mark + 1));
  return form ? origin_of(form->get("redirect_uri")) : "";
}

net::Response with_cookie(net::Response response, const std::string& set_cookie) {
  if (!set_cookie.empty()) response.headers.add("Set-Cookie", set_cookie);
  return response;
}

net::Response code_page(const Provider::FormToken& token, const std::string& ticket, const std::string& target,
                        const std::string& error) {
  Page page;
  page.title = "Enter your code";
  page.form_target = target;
  page.status = error.empty() ? 200 : 401;
  page.body = error_box(error) + "<form method=\"post\" action=\"/oauth2/login/code\">" +
              hidden("form_token", token.value) + hidden("ticket", ticket) +
              "<label for=\"code\">Code of your authenticator, or a recovery code</label>"
              "<input type=\"text\" id=\"code\" name=\"code\" autocomplete=\"one-time-code\" required autofocus "
              "maxlength=\"20\" spellcheck=\"false\" autocapitalize=\"none\"><button>Continue</button></form>";
  return with_cookie(render(page), token.set_cookie);
}

net::Response new_password_page(const Provider::FormToken& token, const std::string& ticket, const std::string& user,
                                const std::string& target, const std::string& error) {
  Page page;
  page.title = "Choose a password";
  page.form_target = target;
  page.status = error.empty() ? 200 : 422;
  page.body =
      error_box(error) +
      fmt::format("<p>The password of <strong>{}</strong> was for one sign-in only.</p>", escape(user)) +
      "<form method=\"post\" action=\"/oauth2/login/password\">" + hidden("form_token", token.value) +
      hidden("ticket", ticket) +
      "<label for=\"password\">New password</label><input type=\"password\" id=\"password\" name=\"password\" "
      "autocomplete=\"new-password\" required minlength=\"10\" maxlength=\"256\" aria-describedby=\"rule\" autofocus>"
      "<p class=\"hint\" id=\"rule\">At least 10 characters.</p>"
      "<label for=\"again\">The same again</label><input type=\"password\" id=\"again\" name=\"again\" "
      "autocomplete=\"new-password\" required maxlength=\"256\"><button>Continue</button></form>";
  return with_cookie(render(page), token.set_cookie);
}

}  // namespace

net::Response Provider::login_page(const net::Request& request, const std::string& back, const std::string& hint,
                                   const std::string& error, const std::string& target) {
  const FormToken token = form_token(request);
  Page page;
  page.title = "Sign in";
  page.form_target = target;
  page.status = error.empty() ? 200 : 401;
  page.body = error_box(error) + "<form method=\"post\" action=\"/oauth2/login\">" + hidden("form_token", token.value) +
              hidden("back", back) +
              fmt::format(
                  "<label for=\"username\">User name</label><input type=\"text\" id=\"username\" name=\"username\" "
                  "autocomplete=\"username\" required maxlength=\"253\" spellcheck=\"false\" "
                  "autocapitalize=\"none\" value=\"{}\"{}>",
                  escape(hint), hint.empty() ? " autofocus" : "") +
              "<label for=\"password\">Password</label><input type=\"password\" id=\"password\" name=\"password\" "
              "autocomplete=\"current-password\" required maxlength=\"256\"><button>Sign in</button></form>";
  if (upstreams) page.body += upstreams->links(back);
  return with_cookie(render(page), token.set_cookie);
}

async::Task<net::Response> Provider::signed_in(std::string user, std::vector<std::string> amr, std::string provider,
                                               std::string back) {
  const json::value object = co_await client.get(resources::kUsers, "", user);
  if (!is_active(object)) throw base::forbidden("this user is disabled: ask an administrator");
  LoginSessions::Begun begun = co_await sessions.begin(object, std::move(amr), std::move(provider));
  base::log::info("identity", "{} signed in", user);
  net::Response response = redirect(is_own_page(back) ? back : "/oauth2/account");
  response.headers.add("Set-Cookie", begun.set_cookie);
  co_return response;
}

// After the password: a code where one is asked for, a new password where the old was temporary, then in.
async::Task<net::Response> Provider::next_step(std::shared_ptr<net::Request> request, std::string user,
                                               std::string back, std::vector<std::string> amr) {
  const auto credential = co_await credentials.find(user);
  const bool local = std::find(amr.begin(), amr.end(), "pwd") != amr.end();
  const bool code_given = std::find(amr.begin(), amr.end(), "otp") != amr.end();
  const json::object content = {
      {"user", user},
      {"back", back},
      {"amr", json::value_from(amr)},
      {"version", credential ? base::get_string(*credential, "metadata.resourceVersion") : ""}};
  if (credential && local && Credentials::has_totp(*credential) && !code_given)
    co_return code_page(form_token(*request), ticket("code", content), target_of(back), "");
  if (credential && local && base::get_bool(*credential, "spec.temporary"))
    co_return new_password_page(form_token(*request), ticket("password", content), user, target_of(back), "");
  net::Response response = co_await signed_in(user, std::move(amr), "", back);
  if (local) response.headers.add("Set-Cookie", known_cookie(*request, user));
  co_return response;
}

// The name of this browser, where the user has signed in with it before; "" elsewhere.
std::string Provider::known_browser(const net::Request& request, const std::string& user) const {
  const auto content = open_ticket("known", cookie(request, kKnownCookie));
  if (!content || base::get_string(*content, "user") != base::hex(crypto::hmac_sha256(secret, "known:" + user)))
    return "";
  return base::get_string(*content, "browser");
}

std::string Provider::known_cookie(const net::Request& request, const std::string& user) const {
  std::string browser = known_browser(request, user);
  if (browser.empty()) browser = base::random_hex(16);
  // Not the name itself, which is nobody's business at a machine that several people use.
  const json::object content = {{"user", base::hex(crypto::hmac_sha256(secret, "known:" + user))},
                                {"browser", browser}};
  return fmt::format("{}={}; Path=/; Max-Age={}; Secure; HttpOnly; SameSite=Lax", kKnownCookie,
                     ticket("known", content, kKnownLife), std::chrono::seconds(kKnownLife).count());
}

// A browser that the user has signed in with before is counted by itself, so that whoever guesses elsewhere cannot keep
// the user out (device cookies, as OWASP describes them). All others share the limits of the user and of their address.
LimitedTry Provider::limited_try(const net::Request& request, const std::string& user, bool second_factor) {
  const std::string name = user.substr(0, 253), peer = peer_host(request);
  if (const std::string browser = known_browser(request, user); !browser.empty())
    return LimitedTry({{&by_user_and_peer, name + " in " + browser}});
  std::vector<std::pair<FailureLimiter*, std::string>> limits{{&by_user_and_peer, name + " " + peer}, {&by_user, name}};
  if (!second_factor) limits.emplace_back(&by_peer, peer);
  return LimitedTry(std::move(limits));
}

// The user that name and password are of; "" where they do not fit.
async::Task<std::string> Provider::password_step(ContextPtr context, std::string user, std::string password) {
  const auto credential = co_await credentials.find(user);
  const client::ObjectPtr object = users->get("", user);
  const bool usable = object && is_active(*object);
  const bool local = credential && !base::get_string(*credential, "spec.passwordHash").empty();
  if (!local && upstreams && upstreams->has_directory()) {
    if (auto found = co_await upstreams->sign_in_by_password(user, password)) co_return *found;
    // As long as it takes for who has a password here: the time must not tell whose names those are.
    (void)co_await credentials.password_fits(std::nullopt, std::move(password));
    co_return "";
  }
  const bool fits = co_await credentials.password_fits(usable ? credential : std::nullopt, std::move(password));
  co_return fits&& usable ? user : "";
}

async::Task<net::Response> Provider::login(ContextPtr context) {
  const Form form = co_await read_form(context);
  check_form_token(*context->http, form);
  const std::string back = is_own_page(form.get("back")) ? form.get("back") : "/oauth2/account";
  const std::string name = base::lower(base::trim(form.get("username")));
  LimitedTry attempt = limited_try(*context->http, name, false);
  if (const auto wait = attempt.wait(); wait.count() > 0) {
    net::Response response =
        login_page(*context->http, back, name,
                   fmt::format("Too many failed attempts. Try again in {} seconds.", wait.count()), target_of(back));
    response.status = 429;
    response.headers.set("Retry-After", std::to_string(wait.count()));
    co_return response;
  }
  attempt.begin();
  const std::string user = co_await password_step(context, name, form.get("password"));
  (*context->audit_annotations)["mainstay.dev/sign-in"] = user.empty() ? "refused " + name : "accepted " + user;
  if (user.empty()) {
    attempt.failed();
    co_return login_page(*context->http, back, name, "User name or password is wrong.", target_of(back));
  }
  // Not forgiven before the second factor: it would let a thief of the password try codes without end.
  const auto credential = co_await credentials.find(user);
  if (!credential || !Credentials::has_totp(*credential)) attempt.succeeded();
  co_return co_await next_step(context->http, user, back, {"pwd"});
}

async::Task<Provider::Step> Provider::resume(std::shared_ptr<net::Request> request, Form form, std::string purpose,
                                             std::string if_changed) {
  Step step;
  auto opened = open_ticket(purpose, form.get("ticket"));
  if (!opened) {
    step.refusal = login_page(*request, "/oauth2/account", "", "That took too long. Sign in again.", "");
    co_return step;
  }
  step.content = *std::move(opened);
  step.user = base::get_string(step.content, "user");
  step.back = base::get_string(step.content, "back");
  step.credential = co_await credentials.find(step.user);
  if (!step.credential ||
      base::get_string(*step.credential, "metadata.resourceVersion") != base::get_string(step.content, "version"))
    step.refusal = login_page(*request, step.back, step.user, if_changed, target_of(step.back));
  co_return step;
}

async::Task<net::Response> Provider::login_code(ContextPtr context) {
  const Form form = co_await read_form(context);
  check_form_token(*context->http, form);
  Step step = co_await resume(context->http, form, "code", "Your sign-in was changed in between. Begin again.");
  if (step.refusal) co_return std::move(*step.refusal);
  const std::string &user = step.user, &back = step.back;
  LimitedTry attempt = limited_try(*context->http, user, true);
  if (const auto wait = attempt.wait(); wait.count() > 0)
    co_return code_page(form_token(*context->http), form.get("ticket"), target_of(back),
                        fmt::format("Too many failed attempts. Try again in {} seconds.", wait.count()));
  attempt.begin();
  if (!co_await credentials.take_second_factor(user, form.get("code"))) {
    attempt.failed();
    (*context->audit_annotations)["mainstay.dev/sign-in"] = "code refused " + user;
    co_return code_page(form_token(*context->http), form.get("ticket"), target_of(back),
                        "This code is wrong or was used before. Wait for the next one.");
  }
  attempt.succeeded();
  (*context->audit_annotations)["mainstay.dev/sign-in"] = "code accepted " + user;
  co_return co_await next_step(context->http, user, back, {"pwd", "otp"});
}

async::Task<net::Response> Provider::login_password(ContextPtr context) {
  const Form form = co_await read_form(context);
  check_form_token(*context->http, form);
  Step step = co_await resume(context->http, form, "password", "The password was changed in between. Sign in with it.");
  if (step.refusal) co_return std::move(*step.refusal);
  const std::string &user = step.user, &back = step.back;
  std::string problem;
  if (form.get("password") != form.get("again")) problem = "The two passwords differ.";
  if (const auto good = check_password(form.get("password"), user); problem.empty() && !good)
    problem = good.error().message;
  if (problem.empty() && co_await credentials.password_fits(step.credential, form.get("password")))
    problem = "This is the old password. Choose another.";
  if (!problem.empty())
    co_return new_password_page(form_token(*context->http), form.get("ticket"), user, target_of(back), problem);
  co_await credentials.set_password(user, form.get("password"), false);
  if (user == "admin") {
    std::error_code ignored;
    std::filesystem::remove(host.config().dir("admin.password"), ignored);
  }
  std::vector<std::string> amr;
  for (const json::value& one : base::get_array(step.content, "amr")) amr.emplace_back(one.as_string());
  net::Response response = co_await signed_in(user, std::move(amr), "", back);
  response.headers.add("Set-Cookie", known_cookie(*context->http, user));
  co_return response;
}

}  // namespace mainstay::identity
