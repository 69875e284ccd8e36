// The page where people look after their own sign-in: password, second factor, browsers, applications.
#include "base/status.h"
#include "base/strings.h"
#include "capabilities/identity/provider.h"
#include "capabilities/identity/resources.h"
#include "capabilities/identity/totp.h"

namespace mainstay::identity {
namespace {

std::string hidden(std::string_view name, std::string_view value) {
  return fmt::format("<input type=\"hidden\" name=\"{}\" value=\"{}\">", name, escape(value));
}

// A form of the page that does one thing.
std::string form_of(const Provider::FormToken& token, std::string_view action, const std::string& fields,
                    std::string_view button, bool second = false) {
  return fmt::format("<form method=\"post\" action=\"/oauth2/account\">{}{}{}<button{}>{}</button></form>",
                     hidden("form_token", token.value), hidden("action", action), fields,
                     second ? " class=\"second\"" : "", escape(button));
}

std::string password_field(std::string_view id, std::string_view name, std::string_view label,
                           std::string_view complete) {
  return fmt::format(
      "<label for=\"{0}\">{2}</label><input type=\"password\" id=\"{0}\" name=\"{1}\" autocomplete=\"{3}\" "
      "required maxlength=\"256\">",
      id, name, label, complete);
}

std::string row(const std::string& what, const std::string& since, const std::string& button) {
  return fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td></tr>", what, escape(since), button);
}

net::Response with_cookie(net::Response response, const std::string& set_cookie) {
  if (!set_cookie.empty()) response.headers.add("Set-Cookie", set_cookie);
  return response;
}

struct Account {
  Provider& provider;
  LoginSession session;
  Provider::FormToken token;

  std::string second_factor(bool on) const {
    const std::string ask = password_field("totp-now", "current", "Your password", "current-password");
    if (on)
      return "<p>On: a code is asked for after the password.</p>" +
             form_of(token, "totp_remove", ask, "Turn it off", true);
    return "<p>Off. An authenticator application can make a code that is asked for after the password.</p>" +
           form_of(token, "totp_begin", ask, "Set it up");
  }

  std::string browsers() const {
    std::string rows;
    for (const client::ObjectPtr& one : provider.sessions.cache()->list()) {
      if (base::get_string(*one, "spec.user") != session.user) continue;
      const std::string id = base::get_string(*one, "metadata.name");
      rows += row(id == session.id ? "This browser" : "Another browser",
                  base::get_string(*one, "metadata.creationTimestamp"),
                  id == session.id ? "" : form_of(token, "end_session", hidden("id", id), "Sign out", true));
    }
    return "<table><thead><tr><th>Where</th><th>Since</th><th></th></tr></thead><tbody>" + rows + "</tbody></table>";
  }

  std::string applications() const {
    std::string rows;
    for (const client::ObjectPtr& one : provider.grants.cache()->list()) {
      if (base::get_string(*one, "spec.user") != session.user || base::find(*one, "spec.refresh") == nullptr) continue;
      const auto who = provider.clients.find(base::get_string(*one, "spec.client"));
      rows +=
          row(who ? escape(who->display_name) : escape(base::get_string(*one, "spec.client")),
              base::get_string(*one, "metadata.creationTimestamp"),
              form_of(token, "end_grant", hidden("id", base::get_string(*one, "metadata.name")), "Take back", true));
    }
    if (rows.empty()) return "<p>None.</p>";
    return "<table><thead><tr><th>Application</th><th>Since</th><th></th></tr></thead><tbody>" + rows +
           "</tbody></table>";
  }

  net::Response page(const std::optional<json::value>& credential, const std::string& error, const std::string& done,
                     int status = 200) const {
    Page page;
    page.title = "Your sign-in";
    page.wide = true;
    page.status = status;
    if (!error.empty()) page.body += fmt::format("<p class=\"error\" role=\"alert\">{}</p>", escape(error));
    if (!done.empty()) page.body += fmt::format("<p role=\"status\"><strong>{}</strong></p>", escape(done));
    page.body += fmt::format("<p>You are signed in as <strong>{}</strong>.</p>", escape(session.user));
    if (credential && !base::get_string(*credential, "spec.passwordHash").empty()) {
      page.body +=
          "<h2>Password</h2>" +
          form_of(token, "password",
                  password_field("now", "current", "Your password", "current-password") +
                      password_field("new", "password", "New password (at least 10 characters)", "new-password") +
                      password_field("again", "again", "The same again", "new-password"),
                  "Change it");
      page.body += "<h2>Second factor</h2>" + second_factor(Credentials::has_totp(*credential));
    }
    page.body += "<h2>Browsers</h2>" + browsers() + "<h2>Applications</h2>" + applications() +
                 "<h2>Leave</h2><form method=\"post\" action=\"/oauth2/logout\">" + hidden("form_token", token.value) +
                 "<button>Sign out</button></form>";
    return with_cookie(render(page), token.set_cookie);
  }

  net::Response enrol_page(const std::string& secret, const std::string& error) const {
    Page page;
    page.title = "Set up your authenticator";
    page.status = error.empty() ? 200 : 400;
    if (!error.empty()) page.body += fmt::format("<p class=\"error\" role=\"alert\">{}</p>", escape(error));
    const std::string uri = totp_uri(secret, session.user, provider.host.config().registry_host());
    page.body +=
        fmt::format(
            "<p>Add this key to your authenticator application, or <a href=\"{}\">open it there</a>:</p>"
            "<p><code id=\"key\">{}</code></p>",
            escape(uri), base32(secret)) +
        form_of(token, "totp_confirm",
                hidden("ticket", provider.ticket("totp", {{"user", session.user}, {"secret", base32(secret)}})) +
                    "<label for=\"code\">The code that it shows</label><input type=\"text\" id=\"code\" "
                    "name=\"code\" autocomplete=\"one-time-code\" inputmode=\"numeric\" required maxlength=\"10\" "
                    "autofocus>",
                "Turn it on");
    return with_cookie(render(page), token.set_cookie);
  }

  net::Response recovery_page(const std::vector<std::string>& codes) const {
    Page page;
    page.title = "Keep these codes";
    page.body =
        "<p>The second factor is on. Each of these lets you in once without your authenticator. They are not shown "
        "again.</p><ul id=\"recovery\">";
    for (const std::string& code : codes) page.body += "<li><code>" + escape(code) + "</code></li>";
    page.body += "</ul><p><a class=\"button\" href=\"/oauth2/account\">I have kept them</a></p>";
    return with_cookie(render(page), token.set_cookie);
  }
};

}  // namespace

async::Task<net::Response> Provider::account(ContextPtr context) {
  const auto session = sessions.find(*context->http);
  if (!session) co_return login_page(*context->http, "/oauth2/account", "", "", "");
  const Account account{*this, *session, form_token(*context->http)};
  const auto credential = co_await credentials.find(session->user);
  co_return account.page(credential, "", "");
}

// Whoever came in by the old one is out: each browser, each application and device, and a thief of this browser's
// cookie, who is left with a session that has ended.
async::Task<net::Response> Provider::new_password(LoginSession session, FormToken token, std::string password) {
  co_await credentials.set_password(session.user, std::move(password), false);
  co_await sign_out_everywhere(session.user);
  const json::value user = co_await client.get(resources::kUsers, "", session.user);
  LoginSessions::Begun begun = co_await sessions.begin(user, session.amr, "");
  const Account account{*this, begun.session, token};
  net::Response response =
      account.page(co_await credentials.find(session.user), "",
                   "The password is changed; other browsers, applications and devices are signed out.");
  response.headers.add("Set-Cookie", begun.set_cookie);
  co_return response;
}

async::Task<net::Response> Provider::account_change(ContextPtr context) {
  const Form form = co_await read_form(context);
  check_form_token(*context->http, form);
  const auto session = sessions.find(*context->http);
  if (!session) co_return redirect("/oauth2/account");
  const Account account{*this, *session, form_token(*context->http)};
  const std::string action = form.get("action"), id = form.get("id");
  auto credential = co_await credentials.find(session->user);
  if (action == "password" || action == "totp_begin" || action == "totp_remove") {
    // A browser left open must not be enough to take the account over.
    const std::string key = session->user + " " + peer_host(*context->http);
    if (const auto wait = by_user_and_peer.wait(key); wait.count() > 0)
      co_return account.page(credential,
                             fmt::format("Too many failed attempts. Try again in {} seconds.", wait.count()), "", 429);
    FailureLimiter::Attempt attempt(by_user_and_peer, key);
    if (!credential || !co_await credentials.password_fits(credential, form.get("current"))) {
      attempt.failed();
      co_return account.page(credential, "Your password is wrong.", "", 403);
    }
  }
  if (action == "totp_begin") co_return account.enrol_page(make_totp_secret(), "");
  if (action == "totp_confirm") {
    const auto opened = open_ticket("totp", form.get("ticket"));
    if (!opened || base::get_string(json::value(*opened), "user") != session->user)
      co_return account.page(credential, "That took too long. Begin again.", "", 400);
    const auto secret = base32_decode(base::get_string(json::value(*opened), "secret"));
    const auto counter = secret ? check_totp(*secret, form.get("code"), host.clock().now(), 0) : std::nullopt;
    if (!counter)
      co_return account.enrol_page(secret.value_or(make_totp_secret()), "This is not the code. Try the next one.");
    co_return account.recovery_page(co_await credentials.enrol_totp(session->user, *secret, *counter));
  }
  std::string error, done;
  if (action == "totp_remove") {
    co_await credentials.remove_totp(session->user);
    done = "The second factor is off.";
  } else if (action == "password") {
    if (form.get("password") != form.get("again")) error = "The two passwords differ.";
    if (const auto good = check_password(form.get("password"), session->user); error.empty() && !good)
      error = good.error().message;
    if (error.empty()) {
      co_return co_await new_password(*session, account.token, form.get("password"));
    }
  } else if (action == "end_session") {
    const client::ObjectPtr other = sessions.cache()->get("", id);
    if (other && base::get_string(*other, "spec.user") == session->user) {
      co_await grants.end_session(id);
      co_await sessions.end(id);
    }
    done = "That browser is signed out.";
  } else if (action == "end_grant") {
    const client::ObjectPtr grant = grants.cache()->get("", id);
    if (grant && base::get_string(*grant, "spec.user") == session->user) co_await grants.end(id);
    done = "The application has lost its access.";
  } else {
    error = "There is no such action.";
  }
  credential = co_await credentials.find(session->user);
  co_return account.page(credential, error, done, error.empty() ? 200 : 422);
}

}  // namespace mainstay::identity
