// The authorization endpoint (RFC 6749 4.1, OpenID Connect Core 3.1.2), with PKCE (RFC 7636) for everybody.
#include "base/encoding.h"
#include "base/status.h"
#include "base/strings.h"
#include "capabilities/identity/provider.h"

namespace mainstay::identity {
namespace {

// What may be asked for; unknown scopes are left out (RFC 6749 3.3).
std::string known_scopes(std::string_view asked) {
  std::string out;
  for (const std::string_view one : {"openid", "profile", "email", "groups", "offline_access"}) {
    if (has_scope(asked, one)) out += (out.empty() ? "" : " ") + std::string(one);
  }
  return out.empty() ? "openid" : out;
}

std::string without_prompt(std::string_view prompt, std::string_view gone) {
  std::string out;
  for (const std::string_view one : base::split(prompt, ' ')) {
    if (one != gone && !one.empty()) out += (out.empty() ? "" : " ") + std::string(one);
  }
  return out;
}

struct Back {
  const Authorization& what;
  std::string issuer;
  net::Response operator()(Form parameters) const {
    if (what.form.has("state")) parameters.set("state", what.form.get("state"));
    parameters.set("iss", issuer);  // RFC 9207
    return redirect(with_parameters(what.redirect_uri, parameters));
  }
  net::Response error(std::string code, std::string description) const {
    Form parameters;
    parameters.set("error", std::move(code));
    parameters.set("error_description", std::move(description));
    return (*this)(std::move(parameters));
  }
};

// What is wrong with a request whose client and redirect are right: told to the client.
std::optional<OAuthError> wrong(const Authorization& what) {
  const Form& form = what.form;
  if (form.has("request") || form.has("request_uri"))
    return OAuthError("request_not_supported", "request objects are not supported");
  if (form.get("response_type") != "code") return OAuthError("unsupported_response_type", "response_type must be code");
  if (form.has("response_mode") && form.get("response_mode") != "query")
    return OAuthError("invalid_request", "response_mode must be query");
  if (!what.client.may("authorization_code"))
    return OAuthError("unauthorized_client", "this client may not use the authorization code flow");
  if (form.get("code_challenge_method") != "S256" || form.get("code_challenge").size() != 43)
    return OAuthError("invalid_request", "PKCE is required: code_challenge with code_challenge_method S256");
  if (form.get("nonce").size() > 500 || form.get("state").size() > 4000)
    return OAuthError("invalid_request", "nonce or state is too long");
  if (has_scope(form.get("prompt"), "none") && form.get("prompt") != "none")
    return OAuthError("invalid_request", "prompt=none goes with nothing else");
  return std::nullopt;
}

std::string scope_in_words(std::string_view scope, const OAuthClient& client) {
  if (client.own) return "<li>do everything that you may do on this platform</li>";
  std::string out = "<li>know who you are (your user name)</li>";
  if (has_scope(scope, "profile")) out += "<li>see your display name</li>";
  if (has_scope(scope, "email")) out += "<li>see your e-mail address</li>";
  if (has_scope(scope, "groups"))
    out += fmt::format("<li>see your role in the team {}</li>", escape(namespace_of_client(client.id)));
  if (has_scope(scope, "offline_access")) out += "<li>do so until you take it back, also while you are away</li>";
  return out;
}

}  // namespace

Authorization Provider::check_authorization(const Form& form) const {
  Authorization what;
  auto client = clients.find(form.get("client_id"));
  if (!client) throw OAuthError("invalid_request", "client_id: there is no such application here");
  what.client = *std::move(client);
  what.redirect_uri = form.get("redirect_uri");
  if (!clients.redirect_allowed(what.client, what.redirect_uri))
    throw OAuthError("invalid_request", "redirect_uri: it is not one of those registered for this application");
  what.scope = known_scopes(form.get("scope"));
  what.form = form;
  return what;
}

async::Task<net::Response> Provider::authorize(ContextPtr context) {
  // A POST comes without our cookies where another site sent it: answered as the GET it stands for.
  if (context->http->method == "POST") {
    const Form form = co_await read_form(context);
    co_return redirect("/oauth2/authorize?" + form.encode());
  }
  auto form = Form::from(context->http->query);
  if (!form) throw OAuthError("invalid_request", form.error().message);
  Authorization what = check_authorization(*form);
  const Back back{what, issuer()};
  if (auto bad = wrong(what)) co_return back.error(bad->error, bad->description);
  const std::string prompt = form->get("prompt");
  const auto session = sessions.find(*context->http);
  bool fresh = session.has_value() && !has_scope(prompt, "login");
  if (fresh && form->has("max_age")) {
    const std::int64_t oldest =
        std::chrono::duration_cast<std::chrono::seconds>(host.clock().now().time_since_epoch()).count() -
        std::max(0LL, std::atoll(form->get("max_age").c_str()));
    fresh = session->auth_time >= oldest;
  }
  if (!fresh) {
    if (prompt == "none") co_return back.error("login_required", "nobody is signed in");
    // The page after sign-in is this one again, without what has then been done.
    Form again = *form;
    again.set("prompt", without_prompt(prompt, "login"));
    again.erase("max_age");
    co_return login_page(*context->http, "/oauth2/authorize?" + again.encode(), form->get("login_hint"), "",
                         origin_of(what.redirect_uri));
  }
  co_return co_await answer_authorization(context, std::move(what));
}

async::Task<net::Response> Provider::answer_authorization(ContextPtr context, Authorization what) {
  const auto session = sessions.find(*context->http);
  if (!session) throw base::unauthorized("sign in first");
  const Back back{what, issuer()};
  const std::string prompt = what.form.get("prompt");
  // A program on a loopback address cannot prove which it is, ours or a team's: the person says so each time (RFC 8252
  // 8.6).
  const bool anybody = what.client.is_public && what.redirect_uri.starts_with("http:");
  const bool known = !anybody && grants.consented(session->user, what.client.id, what.client.uid, what.scope);
  const bool asked = context->http->method == "POST";  // consent() comes here once it was given
  if (!asked && what.client.ask_consent() && (!known || has_scope(prompt, "consent"))) {
    if (prompt == "none") co_return back.error("consent_required", "the user has not agreed yet");
    const FormToken token = form_token(*context->http);
    Page page;
    page.title = "Allow access?";
    page.form_target = origin_of(what.redirect_uri);
    const std::string of = what.client.own ? "" : fmt::format(" of team {}", escape(what.client.ns));
    page.body = fmt::format(
        "<p>You are signed in as <strong>{}</strong>. <strong>{}</strong>{} would like to:</p><ul>{}</ul>"
        "<p class=\"hint\">It gets the answer at {}. Allow this only if you began it yourself.</p>"
        "<form method=\"post\" action=\"/oauth2/consent\"><input type=\"hidden\" name=\"form_token\" value=\"{}\">"
        "<input type=\"hidden\" name=\"request\" value=\"{}\"><button name=\"answer\" value=\"allow\">Allow</button>"
        "<button class=\"second\" name=\"answer\" value=\"deny\">Refuse</button></form>",
        escape(session->user), escape(what.client.display_name), of, scope_in_words(what.scope, what.client),
        escape(page.form_target), token.value, escape(what.form.encode()));
    net::Response response = render(page);
    if (!token.set_cookie.empty()) response.headers.add("Set-Cookie", token.set_cookie);
    co_return response;
  }
  NewGrant grant;
  grant.user = session->user;
  grant.user_uid = session->user_uid;
  grant.client = what.client.id;
  grant.client_uid = what.client.uid;
  grant.scope = what.scope;
  grant.nonce = what.form.get("nonce");
  grant.session = session->id;
  grant.auth_time = session->auth_time;
  grant.amr = session->amr;
  grant.lasts_beyond_session = has_scope(what.scope, "offline_access");
  Form answer;
  answer.set("code", co_await grants.issue_code(std::move(grant), what.redirect_uri, what.form.get("code_challenge")));
  co_return back(std::move(answer));
}

async::Task<net::Response> Provider::consent(ContextPtr context) {
  const Form form = co_await read_form(context);
  check_form_token(*context->http, form);
  auto request = Form::parse(form.get("request"));
  if (!request) throw OAuthError("invalid_request", request.error().message);
  Authorization what = check_authorization(*request);
  const Back back{what, issuer()};
  if (auto bad = wrong(what)) co_return back.error(bad->error, bad->description);
  if (form.get("answer") != "allow") co_return back.error("access_denied", "the user refused");
  if (!sessions.find(*context->http)) co_return redirect("/oauth2/authorize?" + request->encode());
  co_return co_await answer_authorization(context, std::move(what));
}

}  // namespace mainstay::identity
