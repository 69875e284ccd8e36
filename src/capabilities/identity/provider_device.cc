// Signing in a device that has no browser (RFC 8628), and signing out (OpenID Connect RP-Initiated Logout 1.0).
#include "base/status.h"
#include "base/strings.h"
#include "capabilities/identity/provider.h"
#include "crypto/jwt.h"

namespace mainstay::identity {
namespace {

net::Response message_page(std::string title, std::string text) {
  Page page;
  page.title = std::move(title);
  page.body = "<p>" + escape(text) + "</p>";
  return render(page);
}

net::Response with_cookie(net::Response response, const std::string& set_cookie) {
  if (!set_cookie.empty()) response.headers.add("Set-Cookie", set_cookie);
  return response;
}

std::string hidden(std::string_view name, std::string_view value) {
  return fmt::format("<input type=\"hidden\" name=\"{}\" value=\"{}\">", name, escape(value));
}

net::Response code_entry(const Provider::FormToken& token, const std::string& typed, const std::string& error) {
  Page page;
  page.title = "Connect a device";
  page.status = error.empty() ? 200 : 400;
  if (!error.empty()) page.body = fmt::format("<p class=\"error\" role=\"alert\">{}</p>", escape(error));
  page.body += "<form method=\"get\" action=\"/oauth2/device\"><label for=\"code\">Code that the device shows</label>" +
               fmt::format(
                   "<input type=\"text\" id=\"code\" name=\"user_code\" value=\"{}\" required maxlength=\"20\" "
                   "spellcheck=\"false\" autocomplete=\"off\" autofocus><button>Continue</button></form>",
                   escape(typed));
  return with_cookie(render(page), token.set_cookie);
}

}  // namespace

async::Task<net::Response> Provider::device_authorization(ContextPtr context) {
  const Form form = co_await read_form(context);
  const OAuthClient who = co_await authenticated_client(context, form);
  if (!who.may(kDeviceGrant)) throw OAuthError("unauthorized_client", "this client may not use the device flow");
  const std::string peer = "device " + peer_host(*context->http);
  if (const auto wait = by_peer.wait(peer); wait.count() > 0)
    throw OAuthError("slow_down", fmt::format("too many devices from here: try again in {} s", wait.count()), 429);
  by_peer.failed(peer);  // forgiven when it is answered
  NewGrant grant;
  grant.client = who.id;
  grant.client_uid = who.uid;
  grant.scope = form.get("scope").empty() ? "openid" : form.get("scope");
  if (grant.scope.size() > 500) throw OAuthError("invalid_scope", "scope is too long");
  const Grants::Device device = co_await grants.issue_device_code(std::move(grant));
  net::Response response = net::Response::json(
      200, {{"device_code", device.device_code},
            {"user_code", device.user_code},
            {"verification_uri", issuer() + "/oauth2/device"},
            {"verification_uri_complete", issuer() + "/oauth2/device?user_code=" + device.user_code},
            {"expires_in", kDeviceCodeLife.count()},
            {"interval", 5}});
  response.headers.set("Cache-Control", "no-store");
  co_return response;
}

async::Task<net::Response> Provider::device_page(ContextPtr context) {
  const std::string typed(context->http->query.get("user_code").substr(0, 20));
  const auto session = sessions.find(*context->http);
  if (!session) {
    Form again;
    if (!typed.empty()) again.set("user_code", typed);
    co_return login_page(*context->http, typed.empty() ? "/oauth2/device" : "/oauth2/device?" + again.encode(), "", "",
                         "");
  }
  const FormToken token = form_token(*context->http);
  if (typed.empty()) co_return code_entry(token, "", "");
  const std::string guesser = "user code " + session->user;
  if (const auto wait = by_user_and_peer.wait(guesser); wait.count() > 0)
    co_return code_entry(token, "", fmt::format("Too many wrong codes. Try again in {} seconds.", wait.count()));
  const client::ObjectPtr grant = grants.find_user_code(typed);
  const auto who = grant ? clients.find(base::get_string(*grant, "spec.client")) : std::nullopt;
  if (!who) {
    by_user_and_peer.failed(guesser);
    co_return code_entry(token, typed, "This code is wrong or has expired. Look at the device again.");
  }
  Page page;
  page.title = "Connect this device?";
  page.body = fmt::format(
      "<p>You are signed in as <strong>{}</strong>. A device that shows the code <strong>{}</strong> runs "
      "<strong>{}</strong>{} and would like to {}.</p>"
      "<p class=\"hint\">Allow this only if the device is yours and shows this very code.</p>"
      "<form method=\"post\" action=\"/oauth2/device\">{}{}<button name=\"answer\" value=\"allow\">Allow</button>"
      "<button class=\"second\" name=\"answer\" value=\"deny\">Refuse</button></form>",
      escape(session->user), escape(typed), escape(who->display_name), who->own ? "" : " of team " + escape(who->ns),
      who->own ? "act as you on this platform" : "know who you are", hidden("form_token", token.value),
      hidden("user_code", typed));
  co_return with_cookie(render(page), token.set_cookie);
}

async::Task<net::Response> Provider::device_answer(ContextPtr context) {
  const Form form = co_await read_form(context);
  check_form_token(*context->http, form);
  const auto session = sessions.find(*context->http);
  if (!session) co_return redirect("/oauth2/device");
  // The answer takes a code as the page before it does, and would be as good a place to guess at.
  const std::string guesser = "user code " + session->user;
  if (const auto wait = by_user_and_peer.wait(guesser); wait.count() > 0)
    co_return code_entry(form_token(*context->http), "",
                         fmt::format("Too many wrong codes. Try again in {} seconds.", wait.count()));
  const client::ObjectPtr grant = grants.find_user_code(form.get("user_code"));
  if (!grant) {
    by_user_and_peer.failed(guesser);
    co_return code_entry(form_token(*context->http), "", "This code has expired. Ask the device for another.");
  }
  NewGrant by;
  by.user = session->user;
  by.user_uid = session->user_uid;
  by.session = session->id;
  by.auth_time = session->auth_time;
  by.amr = session->amr;
  const bool allow = form.get("answer") == "allow";
  co_await grants.decide_device(base::get_string(*grant, "metadata.name"), allow, by);
  by_peer.succeeded("device " + peer_host(*context->http));
  co_return message_page(allow ? "Device connected" : "Refused",
                         allow ? "You can close this page and go on at the device." : "The device was not let in.");
}

async::Task<net::Response> Provider::logout(ContextPtr context) {
  const bool posted = context->http->method == "POST";
  base::Result<Form> read = posted ? base::Result<Form>(co_await read_form(context)) : Form::from(context->http->query);
  if (!read) throw OAuthError("invalid_request", read.error().message);
  const Form form = *read;
  // Whose application asks: an id_token of ours, expired or not, or its client_id.
  std::string client_id = form.get("client_id"), sid;
  if (form.has("id_token_hint")) {
    auto claimed = clients.find(client_id);
    std::vector<std::string> audiences = {client_id, std::string(kConsoleClient), std::string(kCliClient)};
    for (const client::ObjectPtr& object : clients.cache()->list())
      audiences.push_back(base::get_string(*object, "metadata.namespace") + "." +
                          base::get_string(*object, "metadata.name"));
    const auto claims = crypto::verify_jwt(form.get("id_token_hint"), keys->all(), {issuer(), audiences}, {});
    if (!claims) throw OAuthError("invalid_request", "id_token_hint: not an id_token of this issuer");
    const json::value all = *claims;
    sid = base::get_string(all, "sid");
    if (client_id.empty()) client_id = base::get_string(all, "aud");
    if (client_id != base::get_string(all, "aud"))
      throw OAuthError("invalid_request", "id_token_hint is another client's");
  }
  const auto who = clients.find(client_id);
  const std::string to = form.get("post_logout_redirect_uri");
  if (!to.empty() && (!who || !clients.logout_redirect_allowed(*who, to)))
    throw OAuthError("invalid_request",
                     "post_logout_redirect_uri: it is not one of those registered for this application");
  const auto session = sessions.find(*context->http);
  const bool confirmed = posted && form.has("form_token");
  if (confirmed) check_form_token(*context->http, form);
  if (session && !confirmed && sid != session->id) {
    const FormToken token = form_token(*context->http);
    Page page;
    page.title = "Sign out?";
    page.form_target = origin_of(to);
    page.body = fmt::format(
        "<p>You are signed in as <strong>{}</strong>.</p><form method=\"post\" action=\"/oauth2/logout\">{}{}{}{}"
        "<button>Sign out</button></form>",
        escape(session->user), hidden("form_token", token.value), hidden("client_id", client_id),
        hidden("post_logout_redirect_uri", to), hidden("state", form.get("state")));
    co_return with_cookie(render(page), token.set_cookie);
  }
  if (session) {
    co_await grants.end_session(session->id);
    co_await sessions.end(session->id);
  }
  net::Response response;
  if (to.empty()) {
    response = message_page("Signed out", "You are signed out here. You can close this page.");
  } else {
    Form state;
    if (form.has("state")) state.set("state", form.get("state"));
    response = redirect(form.has("state") ? with_parameters(to, state) : to);
  }
  response.headers.add("Set-Cookie", LoginSessions::clear_cookie());
  co_return response;
}

}  // namespace mainstay::identity
