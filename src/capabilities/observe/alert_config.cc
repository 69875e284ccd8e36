#include "capabilities/observe/alert_config.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <re2/re2.h>

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include "base/strings.h"
#include "crypto/digest.h"
#include "crypto/keys.h"

namespace mainstay::observe {
namespace {
namespace json = boost::json;

constexpr std::size_t kMaxExpression = 8000;

// The engines replace %{NAME} in their files by what their environment holds, which is where passwords are.
base::Result<> check_text(std::string_view field, std::string_view text) {
  if (text.find("%{") != std::string_view::npos)
    return base::fail(base::ErrorCode::kInvalid, fmt::format("{}: \"%{{\" may not stand in it", field));
  return {};
}

base::Result<json::object> texts(const json::value& holder, std::string_view member, const std::string& where) {
  json::object out;
  for (const auto& [name, value] : base::get_object(holder, member)) {
    if (!value.is_string()) continue;
    const std::string field = fmt::format("{}.{}[{}]", where, member, std::string_view(name));
    MAINSTAY_TRY_VOID(check_text(field, name));
    MAINSTAY_TRY_VOID(check_text(field, value.as_string()));
    out[name] = value;
  }
  return out;
}

// What an alert is routed by, and who may see a series, is not for the rule's author to say.
void pin_labels(json::object& labels, const Owner& owner) {
  if (owner.platform()) return;
  if (owner.whole_team() && !labels.contains("source_namespace"))
    labels["source_namespace"] = "{{ $labels.namespace }}";
  labels["namespace"] = owner.ns;
  labels["team"] = owner.team;
}

base::Result<json::object> one_rule(const json::value& rule, const Owner& owner, const std::string& where) {
  const std::string alert = base::get_string(rule, "alert"), record = base::get_string(rule, "record");
  if (alert.empty() == record.empty())
    return base::fail(base::ErrorCode::kInvalid, where + ": one of alert and record must be given");
  const json::value* expression = base::find(rule, "expr");
  std::string text;
  if (expression && expression->is_string()) text = expression->as_string();
  if (expression && expression->is_int64()) text = std::to_string(expression->as_int64());
  if (text.empty() || text.size() > kMaxExpression)
    return base::fail(base::ErrorCode::kInvalid,
                      fmt::format("{}.expr: a PromQL expression of at most {} characters", where, kMaxExpression));
  for (const std::string& part : {text, alert, record}) MAINSTAY_TRY_VOID(check_text(where, part));
  json::object out{{alert.empty() ? "record" : "alert", alert.empty() ? record : alert}, {"expr", text}};
  MAINSTAY_TRY(json::object labels, texts(rule, "labels", where));
  pin_labels(labels, owner);
  if (!record.empty()) labels.erase("source_namespace");  // the engine fills templates in for alerts alone
  out["labels"] = std::move(labels);
  if (!alert.empty()) {
    out["for"] = base::get_string(rule, "for", "0s");
    MAINSTAY_TRY(json::object annotations, texts(rule, "annotations", where));
    out["annotations"] = std::move(annotations);
  }
  return out;
}

std::string secret_or_empty(const json::value& from, std::string_view path, const FindSecret& secret, bool& missing,
                            std::string& message) {
  const std::string name = base::get_string(from, fmt::format("{}.name", path)),
                    key = base::get_string(from, fmt::format("{}.key", path));
  if (name.empty()) return "";
  auto value = secret(name, key);
  if (value) return std::string(base::trim(*value));
  missing = true;
  message = fmt::format("spec.{}: there is no Secret \"{}\" with the key \"{}\" in this namespace", path, name, key);
  return "";
}

std::string quoted_text(std::string_view value) { return json::serialize(json::value(value)); }

base::Result<json::array> matchers_of(const json::value& object, const Owner& owner) {
  json::array out;
  if (owner.whole_team()) {
    out.push_back(json::value("team=" + quoted_text(owner.team)));
  } else if (!owner.platform()) {
    out.push_back(json::value("namespace=" + quoted_text(owner.ns)));
  }
  for (const auto& m : base::get_array(object, "spec.matchers")) {
    const std::string name = base::get_string(m, "name"), op = base::get_string(m, "op", "="),
                      value = base::get_string(m, "value");
    if (op.ends_with('~') && !RE2(value, RE2::Quiet).ok())
      return base::fail(base::ErrorCode::kInvalid,
                        fmt::format("spec.matchers: \"{}\" is not a regular expression (RE2)", value));
    MAINSTAY_TRY_VOID(check_text("spec.matchers", value));
    out.push_back(json::value(name + op + quoted_text(value)));
  }
  return out;
}

base::Result<> check_destination(std::string_view field, const std::string& host, const Owner& owner) {
  if (host.empty())
    return base::fail(base::ErrorCode::kInvalid,
                      fmt::format("spec.{}: not an http or https URL without user and password", field));
  if (!owner.platform() && !allowed_destination(host))
    return base::fail(
        base::ErrorCode::kInvalid,
        fmt::format("spec.{}: {} is the platform's own machine or link, where a team may have nothing sent; "
                    "a receiver in {} may",
                    field, host, kPlatformNamespace));
  return {};
}

}  // namespace

base::Result<json::object> rule_file(const json::value& rule, const Owner& owner) {
  json::array groups;
  const std::string object = fmt::format("{}/{}", owner.ns, base::get_string(rule, "metadata.name"));
  int index = 0;
  for (const auto& group : base::get_array(rule, "spec.groups")) {
    const std::string where = fmt::format("spec.groups[{}]", index++), name = base::get_string(group, "name");
    MAINSTAY_TRY_VOID(check_text(where, name));
    json::array rules;
    for (const auto& r : base::get_array(group, "rules")) {
      MAINSTAY_TRY(json::object made, one_rule(r, owner, fmt::format("{}.rules[{}]", where, rules.size())));
      MAINSTAY_TRY(const json::object shared, texts(group, "labels", where));
      for (const auto& [key, value] : shared) {
        if (!made["labels"].as_object().contains(key)) made["labels"].as_object()[key] = value;
      }
      rules.push_back(std::move(made));
    }
    if (rules.empty()) continue;
    json::object out{{"name", object + "/" + name}, {"interval", base::get_string(group, "interval", "10s")}};
    if (const auto limit = base::get_int(group, "limit"); limit > 0) out["limit"] = limit;
    if (!owner.platform())
      out["params"] = {{"extra_filters[]", json::array{json::value(fmt::format("{{namespace=~\"{}\"}}",
                                                                               base::join(owner.namespaces, "|")))}}};
    out["rules"] = std::move(rules);
    groups.push_back(std::move(out));
  }
  return json::object{{"groups", std::move(groups)}};
}

bool allowed_destination(std::string_view host) {
  std::string name = base::lower(host);
  if (name.starts_with('[') && name.ends_with(']')) name = name.substr(1, name.size() - 2);
  while (name.ends_with('.')) name.pop_back();
  if (name.empty() || name == "localhost" || name.ends_with(".localhost")) return false;
  in_addr v4{};
  // inet_aton() also takes 0x7f.1 and 2130706433, as resolvers do.
  if (::inet_aton(name.c_str(), &v4) != 0) {
    const std::uint32_t a = ntohl(v4.s_addr);
    return a >> 24 != 127 && a >> 24 != 0 && a >> 16 != 0xA9FE && a >> 28 != 0xE;
  }
  in6_addr v6{};
  if (::inet_pton(AF_INET6, name.c_str(), &v6) == 1) {
    return !IN6_IS_ADDR_LOOPBACK(&v6) && !IN6_IS_ADDR_UNSPECIFIED(&v6) && !IN6_IS_ADDR_LINKLOCAL(&v6) &&
           !IN6_IS_ADDR_V4MAPPED(&v6) && !IN6_IS_ADDR_MULTICAST(&v6);
  }
  return true;
}

std::string host_of_url(std::string_view url) {
  const auto parsed = boost::urls::parse_uri(url);
  if (!parsed || (parsed->scheme() != "http" && parsed->scheme() != "https") || parsed->has_userinfo()) return "";
  return parsed->host();
}

base::Result<ReceiverConfig> receiver_config(const json::value& object, const Owner& owner, const FindSecret& secret,
                                             const std::string& authorities) {
  const std::string name = fmt::format("{}/{}", owner.ns, base::get_string(object, "metadata.name"));
  const json::value* webhook = base::find(object, "spec.webhook");
  const json::value* email = base::find(object, "spec.email");
  if (!webhook && !email) return base::fail(base::ErrorCode::kInvalid, "spec: webhook or email must be given");
  bool missing = false;
  std::string message;
  const json::value& spec = *base::find(object, "spec");
  const bool resolved = base::get_bool(object, "spec.sendResolved", true);
  ReceiverConfig out;
  out.receiver["name"] = name;
  if (webhook) {
    std::string url = secret_or_empty(spec, "webhook.urlFrom", secret, missing, message);
    if (url.empty()) url = base::get_string(*webhook, "url");
    const std::string token = secret_or_empty(spec, "webhook.tokenFrom", secret, missing, message);
    if (missing) return base::fail(base::ErrorCode::kNotFound, message);
    MAINSTAY_TRY_VOID(check_destination("webhook.url", host_of_url(url), owner));
    // A redirect would lead past the check of the destination.
    json::object http{{"follow_redirects", false}};
    if (!token.empty()) http["authorization"] = {{"credentials", token}};
    out.receiver["webhook_configs"] =
        json::array{{{"url", url}, {"send_resolved", resolved}, {"max_alerts", 200}, {"http_config", std::move(http)}}};
  }
  if (email) {
    const std::string password = secret_or_empty(spec, "email.passwordFrom", secret, missing, message);
    if (missing) return base::fail(base::ErrorCode::kNotFound, message);
    const std::string smarthost = base::get_string(*email, "smarthost");
    MAINSTAY_TRY_VOID(check_destination("email.smarthost", smarthost.substr(0, smarthost.rfind(':')), owner));
    std::vector<std::string> to;
    for (const auto& address : base::get_array(*email, "to")) to.emplace_back(address.as_string());
    json::object config{{"to", base::join(to, ", ")},
                        {"from", base::get_string(*email, "from")},
                        {"smarthost", smarthost},
                        {"require_tls", base::get_bool(*email, "requireTLS", true)},
                        {"send_resolved", resolved}};
    if (const std::string user = base::get_string(*email, "username"); !user.empty()) {
      config["auth_username"] = user;
      config["auth_password"] = password;
    }
    out.authority = base::get_string(*email, "ca");
    if (!out.authority.empty()) {
      if (!crypto::inspect_certificate(out.authority))
        return base::fail(base::ErrorCode::kInvalid, "spec.email.ca: not a certificate in PEM");
      out.authority_file = fmt::format("{}/{}.crt", authorities, crypto::sha256_hex(out.authority));
      config["tls_config"] = {{"ca_file", out.authority_file}};
    }
    out.receiver["email_configs"] = json::array{std::move(config)};
  }
  MAINSTAY_TRY(json::array matchers, matchers_of(object, owner));
  out.route = {{"receiver", name},
               {"continue", true},
               {"group_by", json::array{"namespace", "alertname", "workload"}},
               {"group_wait", base::get_string(object, "spec.groupWait", "5s")},
               {"group_interval", base::get_string(object, "spec.groupInterval", "1m")},
               {"repeat_interval", base::get_string(object, "spec.repeatInterval", "4h")}};
  if (!matchers.empty()) out.route["matchers"] = std::move(matchers);
  return out;
}

json::object alertmanager_config(const std::vector<ReceiverConfig>& receivers) {
  // What nobody asked for goes nowhere.
  json::array all{{{"name", "nobody"}}}, routes;
  for (const ReceiverConfig& r : receivers) {
    all.push_back(r.receiver);
    routes.push_back(r.route);
  }
  return {{"route", {{"receiver", "nobody"}, {"routes", std::move(routes)}}}, {"receivers", std::move(all)}};
}

}  // namespace mainstay::observe
