// An HTTPRoute's and an Ingress' spec as a team may write them, a line each: whatever they hold, the proxy's
// configuration that comes of it has no line, quote or word that they made themselves.
#include <algorithm>
#include <cstdlib>

#include "base/strings.h"
#include "capabilities/routing/gateway/compile.h"

namespace {

using namespace mainstay;
using namespace mainstay::routing;
namespace json = base::json;

client::ObjectPtr known(std::string_view text) { return std::make_shared<const json::value>(*base::parse_json(text)); }

client::ObjectPtr from_team(std::string_view spec, const char* name) {
  auto parsed = base::parse_json(spec);
  if (!parsed || !parsed->is_object()) return nullptr;
  json::value out = json::object{{"metadata", json::object{{"name", name},
                                                           {"namespace", "shop-dev"},
                                                           {"creationTimestamp", "2026-01-01T00:00:00Z"},
                                                           {"annotations", base::get_object(*parsed, "annotations")}}},
                                 {"spec", *parsed}};
  return std::make_shared<const json::value>(std::move(out));
}

World world() {
  static const client::ObjectPtr ns =
      known(R"({"metadata":{"name":"shop-dev","labels":{"mainstay.dev/team":"shop"}}})");
  static const client::ObjectPtr team =
      known(R"({"metadata":{"name":"shop","annotations":{"mainstay.dev/allowed-hosts":"shop.test, *.shop.test"}}})");
  static const client::ObjectPtr service =
      known(R"({"metadata":{"namespace":"shop-dev"},"spec":{"ports":[{"port":80}]}})");
  static const client::ObjectPtr slice =
      known(R"({"ports":[{"port":8080}],"endpoints":[{"addresses":["10.0.0.1"]},{"addresses":["10.0.0.2"]}]})");
  static const client::ObjectPtr gateway = known(
      R"({"metadata":{"name":"edge","namespace":"mainstay-edge"},"spec":{"gatewayClassName":"mainstay","listeners":[
      {"name":"http","port":80,"protocol":"HTTP","allowedRoutes":{"namespaces":{"from":"All"}}},
      {"name":"https","port":443,"protocol":"HTTPS","allowedRoutes":{"namespaces":{"from":"All"}}}]}})");
  World out;
  out.classes = {known(R"({"metadata":{"name":"mainstay"},"spec":{"controllerName":"mainstay.dev/gateway"}})")};
  out.gateways = {gateway};
  out.service = [](const std::string&, const std::string&) { return service; };
  out.secret = [](const std::string&, const std::string&) { return client::ObjectPtr(); };
  out.gateway = [](const std::string&, const std::string&) { return gateway; };
  out.slices = [](const std::string&, const std::string&) { return std::vector{slice}; };
  out.ns = [](const std::string&) { return ns; };
  out.team = [](const std::string&) { return team; };
  out.now = base::SystemTime(std::chrono::seconds(1'800'000'000));
  return out;
}

// HAProxy's words (configuration manual, section 2.2): quotes are closed on their own line, and outside of them there
// is no comment, variable or strong quote; a backslash stands there for a quote alone.
void check_lines(const std::string& text) {
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (!quoted && c == '\\') {
      if (++i == text.size() || text[i] != '\'') std::abort();
      continue;
    }
    if (c == '\'') quoted = !quoted;
    const bool shell = c == '"' || c == '#' || c == '$' || c == '`';
    if ((c == '\n' && quoted) || (!quoted && shell) || (c < ' ' && c != '\n') || c == '\x7f') std::abort();
  }
  if (quoted) std::abort();
  for (const std::string_view line : base::split(text, '\n')) {
    const std::string_view word = base::trim(line).substr(0, base::trim(line).find(' '));
    if (!word.empty() && word != "acl" && word != "http-request" && word != "http-response" && word != "backend" &&
        word != "stick-table")
      std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto line = text.find('\n');
  World all = world();
  if (auto route = from_team(text.substr(0, line), "r")) all.routes.push_back(route);
  if (line != std::string_view::npos)
    if (auto ingress = from_team(text.substr(line + 1), "i")) all.ingresses.push_back(ingress);
  if (all.routes.empty() && all.ingresses.empty()) return 0;
  static const base::Config config;
  const Compiled compiled = compile(all, config);
  for (const Rule& rule : compiled.rules) {
    if (!check_rule(rule)) std::abort();
    for (const Match& match : rule.matches) {
      if (!may_claim(all, "shop-dev", match.host, config)) std::abort();
    }
  }
  const RuleTexts texts = render_rules(compiled.rules, config);
  for (const std::string& part :
       {texts.select, texts.deny, texts.change, texts.responses, texts.backends, texts.tables})
    check_lines(part);
  return 0;
}
