#include "capabilities/routing/gateway/rules.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <set>

#include "base/strings.h"
#include "crypto/digest.h"

namespace mainstay::routing {
namespace {

bool all_of(std::string_view text, std::string_view also) {
  return std::ranges::all_of(text, [also](unsigned char c) {
    return std::isalnum(c) != 0 || also.find(static_cast<char>(c)) != std::string_view::npos;
  });
}
bool is_path(std::string_view text) {
  return text.starts_with('/') && text.size() <= 1024 && all_of(text, "/_.~-@:+=");
}
bool is_host(std::string_view text) {
  if (text.starts_with("*.")) text.remove_prefix(2);
  return base::check_dns_subdomain(text).has_value();
}
bool is_header(std::string_view text) { return !text.empty() && text.size() <= 128 && all_of(text, "_-"); }
// A backslash means something to HAProxy even in quotes.
bool is_value(std::string_view text) {
  return text.size() <= 1024 &&
         std::ranges::all_of(text, [](unsigned char c) { return c >= ' ' && c <= '~' && c != '\\'; });
}
bool is_network(const std::string& text) {
  const auto slash = text.find('/');
  unsigned char raw[16];
  const std::string address = text.substr(0, slash);
  const bool v4 = ::inet_pton(AF_INET, address.c_str(), raw) == 1;
  if (!v4 && ::inet_pton(AF_INET6, address.c_str(), raw) != 1) return false;
  if (slash == std::string::npos) return true;
  unsigned bits = 999;
  const auto [end, error] = std::from_chars(text.data() + slash + 1, text.data() + text.size(), bits);
  return error == std::errc() && end == text.data() + text.size() && bits <= (v4 ? 32u : 128u);
}

// What the edge itself says of a request, and what frames messages, is no route's to change.
bool is_reserved(std::string_view header) {
  static const std::set<std::string, std::less<>> kReserved{
      "host",       "connection",      "content-length", "transfer-encoding", "upgrade",        "te",
      "trailer",    "forwarded",       "x-real-ip",      "x-client-ip",       "true-client-ip", "x-request-id",
      "keep-alive", "proxy-connection"};
  const std::string name = base::lower(header);
  return kReserved.contains(name) || name.starts_with("x-forwarded-") || name.starts_with("proxy-");
}

std::unexpected<base::Error> bad(std::string_view what, std::string_view value) {
  return base::fail(base::ErrorCode::kInvalid, fmt::format("{} \"{}\" cannot be served", what, value.substr(0, 80)));
}

// One word, taken as it is.
std::string in_quotes(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      out += c;
    }
  }
  return out + "'";
}
// The same where the word is a log-format.
std::string format_in_quotes(std::string_view text) {
  std::string doubled;
  for (const char c : text) {
    doubled += c;
    if (c == '%') doubled += '%';
  }
  return in_quotes(doubled);
}

std::string in_regex(std::string_view path) {
  std::string out;
  for (const char c : path) out += c == '.' || c == '+' ? fmt::format("[{}]", c) : std::string(1, c);
  return out;
}

std::string without_slash(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path == "/" ? "" : path;
}

// Conditions are written once and named by what they say.
class Conditions {
 public:
  std::string name(const std::string& text) {
    const std::string name = "c_" + crypto::sha256_hex(text).substr(0, 12);
    if (known_.insert(name).second) lines_ += fmt::format("    acl {} {}\n", name, text);
    return name;
  }
  std::string take() { return std::move(lines_); }

 private:
  std::set<std::string> known_;
  std::string lines_;
};

std::string conditions_of(const Match& m, Conditions& conditions) {
  std::vector<std::string> all;
  const bool wild = m.host.starts_with("*.");
  all.push_back(
      conditions.name(fmt::format("var(txn.host) -m {} {}", wild ? "end" : "str", m.host.substr(wild ? 1 : 0))));
  if (m.scheme == Scheme::kPlain) all.push_back("!" + conditions.name("ssl_fc"));
  if (m.exact) {
    all.push_back(conditions.name(fmt::format("path -m str {}", m.path)));
  } else if (const std::string prefix = without_slash(m.path); !prefix.empty()) {
    // With a slash at its end the path begins with a whole segment.
    all.push_back(conditions.name(fmt::format("path,concat(/,,) -m beg {}/", prefix)));
  }
  if (!m.method.empty()) all.push_back(conditions.name("method -m str " + m.method));
  for (const auto& [name, value] : m.headers)
    all.push_back(conditions.name(fmt::format("req.fhdr({}) -m str -- {}", base::lower(name), in_quotes(value))));
  for (const auto& [name, value] : m.queries)
    all.push_back(conditions.name(fmt::format("url_param({}),url_dec(1) -m str -- {}", name, in_quotes(value))));
  return base::join(all, " ");
}

struct Candidate {
  const Rule* rule;
  const Match* match;
  std::string id;
  std::size_t place;  // among all, as their objects list them
};
// The Gateway API's precedence: the more a match says, the earlier; of equals the older object, and of one object's
// the first.
bool before(const Candidate& a, const Candidate& b) {
  const auto rank = [](const Candidate& c) {
    const Match& m = *c.match;
    return std::tuple(m.host.starts_with("*."), -static_cast<long>(m.host.size()), !m.exact,
                      -static_cast<long>(m.path.size()), m.method.empty(), -static_cast<long>(m.headers.size()),
                      -static_cast<long>(m.queries.size()), m.scheme, c.rule->created, c.rule->source, c.place);
  };
  return rank(a) < rank(b);
}

// The path after a change, as HAProxy works it out.
std::string path_expression(const PathChange& change, const std::string& matched) {
  if (change.full) return change.value;
  const std::string prefix = in_regex(without_slash(matched)), to = without_slash(change.value);
  if (to.empty()) return fmt::format("%[path,regsub(^{}/?,/)]", prefix);
  return prefix.empty() ? fmt::format("{}%[path]", to) : fmt::format("{}%[path,regsub(^{},)]", to, prefix);
}

std::string redirect_lines(const Redirect& r, const Match& match, const std::string& when, const base::Config& config) {
  std::string authority = r.host.empty() ? "%[var(txn.host)]" : r.host;
  const std::string scheme = r.scheme.empty() ? "%[ssl_fc,iif(https,http)]" : r.scheme;
  if (r.port != 0) {
    authority += fmt::format(":{}", r.port);
  } else if (r.scheme.empty()) {
    if (r.host.empty()) authority += ":%[dst_port]";
  } else if (const int own = r.scheme == "https" ? config.https.port : config.http.port;
             own != (r.scheme == "https" ? 443 : 80)) {
    authority += fmt::format(":{}", own);
  }
  const std::string path = r.path ? path_expression(*r.path, match.path) : "%[path]";
  const auto line = [&](std::string_view query, std::string_view unless) {
    return fmt::format("    http-request redirect code {} location '{}://{}{}{}' if {} {}\n", r.code, scheme, authority,
                       path, query, when, unless);
  };
  return line("?%[query]", "{ query -m len gt 0 }") + line("", "!{ query -m len gt 0 }");
}

std::string header_lines(const std::vector<HeaderChange>& changes, std::string_view side, const std::string& when) {
  std::string out;
  for (const HeaderChange& c : changes) {
    if (c.kind == HeaderChange::kRemove) {
      out += fmt::format("    http-{} del-header {} if {}\n", side, c.name, when);
    } else {
      out += fmt::format("    http-{} {}-header {} {} if {}\n", side, c.kind == HeaderChange::kSet ? "set" : "add",
                         c.name, format_in_quotes(c.value), when);
    }
  }
  return out;
}

void render_access(const Rule& rule, const std::string& when, RuleTexts& out) {
  constexpr std::string_view kRefusal = "content-type text/plain string";
  const auto list = [](const std::vector<std::string>& networks) { return base::join(networks, " "); };
  if (!rule.access.deny.empty())
    out.deny += fmt::format("    http-request return status 403 {} '403 not from your address' if {} {{ src {} }}\n",
                            kRefusal, when, list(rule.access.deny));
  if (!rule.access.allow.empty())
    out.deny += fmt::format("    http-request return status 403 {} '403 not from your address' if {} !{{ src {} }}\n",
                            kRefusal, when, list(rule.access.allow));
  if (rule.access.requests_per_second == 0) return;
  out.tables +=
      fmt::format("backend rate-{}\n    stick-table type ipv6 size 20k expire 10s store http_req_rate(1s)\n", rule.key);
  out.deny += fmt::format(
      "    http-request track-sc0 src table rate-{0} if {1}\n"
      "    http-request return status 429 {2} '429 too many requests' hdr Retry-After 1 if {1} {{ "
      "sc0_http_req_rate(rate-{0}) gt {3} }}\n",
      rule.key, when, kRefusal, rule.access.requests_per_second);
}

}  // namespace

std::string Match::signature() const {
  auto sorted_headers = headers, sorted_queries = queries;
  for (auto& [name, value] : sorted_headers) name = base::lower(name);
  std::ranges::sort(sorted_headers);
  std::ranges::sort(sorted_queries);
  std::string out = fmt::format("{}\n{}\n{}{}\n{}\n", host, static_cast<int>(scheme), exact ? "=" : "^",
                                exact ? path : without_slash(path), method);
  for (const auto& [name, value] : sorted_headers) out += fmt::format("h {}={}\n", name, value);
  for (const auto& [name, value] : sorted_queries) out += fmt::format("q {}={}\n", name, value);
  return out;
}

base::Result<> check_rule(const Rule& rule) {
  static const std::set<std::string, std::less<>> kMethods{"",       "GET",     "HEAD",    "POST",  "PUT",
                                                           "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
  for (const Match& m : rule.matches) {
    if (!is_host(m.host)) return bad("host", m.host);
    if (!is_path(m.path)) return bad("path", m.path);
    if (!kMethods.contains(m.method)) return bad("method", m.method);
    for (const auto& [name, value] : m.headers) {
      if (!is_header(name)) return bad("header name", name);
      if (!is_value(value)) return bad("header value", value);
    }
    for (const auto& [name, value] : m.queries) {
      if (name.empty() || !all_of(name, "_.-")) return bad("query parameter", name);
      if (!is_value(value)) return bad("query value", value);
    }
  }
  for (const auto* changes : {&rule.request, &rule.response}) {
    for (const HeaderChange& c : *changes) {
      if (!is_header(c.name)) return bad("header name", c.name);
      if (!is_value(c.value)) return bad("header value", c.value);
      if (is_reserved(c.name))
        return base::fail(base::ErrorCode::kInvalid, fmt::format("header {} is the edge's own to set", c.name));
    }
  }
  for (const auto* path : {rule.rewrite ? &*rule.rewrite : nullptr,
                           rule.redirect && rule.redirect->path ? &*rule.redirect->path : nullptr}) {
    if (path != nullptr && !is_path(path->value)) return bad("path", path->value);
  }
  for (const std::string& host : {rule.rewrite_host, rule.redirect ? rule.redirect->host : std::string()}) {
    if (!host.empty() && !base::check_dns_subdomain(host)) return bad("host", host);
  }
  if (rule.timeout && (rule.timeout->count() < 0 || *rule.timeout > kLongestTimeout))
    return bad("timeout", fmt::format("{}ms", rule.timeout->count()));
  for (const auto* networks : {&rule.access.allow, &rule.access.deny}) {
    if (networks->size() > 40) return bad("list of networks", std::to_string(networks->size()));
    for (const std::string& network : *networks) {
      if (!is_network(network)) return bad("network", network);
    }
  }
  return {};
}

RuleTexts render_rules(const std::vector<Rule>& rules, const base::Config& config) {
  RuleTexts out;
  std::vector<Candidate> all;
  for (const Rule& rule : rules) {
    for (std::size_t i = 0; i < rule.matches.size(); ++i)
      all.push_back({&rule, &rule.matches[i], fmt::format("{}.{}", rule.key, i), all.size()});
  }
  if (all.empty()) return out;
  std::ranges::sort(all, before);
  Conditions conditions;
  std::string lines;
  for (const Candidate& c : all) {
    lines += fmt::format("    http-request set-var(txn.match) str({}) if !matched {}\n", c.id,
                         conditions_of(*c.match, conditions));
  }
  lines += "    http-request set-var(txn.rule) var(txn.match),field(1,.) if matched\n";
  for (const Rule& rule : rules) {
    if (rule.matches.empty()) continue;
    const std::string when = conditions.name(fmt::format("var(txn.rule) -m str {}", rule.key));
    render_access(rule, when, out);
    out.change += header_lines(rule.request, "request", when);
    out.responses += header_lines(rule.response, "response", when);
    if (rule.timeout)
      out.change += fmt::format("    http-request set-var(txn.timeout) int({}) if {}\n",
                                (rule.timeout->count() == 0 ? kLongestTimeout : *rule.timeout).count(), when);
    if (!rule.rewrite_host.empty())
      out.change += fmt::format("    http-request set-header Host {} if {}\n", rule.rewrite_host, when);
    for (std::size_t i = 0; i < rule.matches.size(); ++i) {
      if (!rule.redirect && !rule.rewrite) break;
      const std::string matched = conditions.name(fmt::format("var(txn.match) -m str {}.{}", rule.key, i));
      if (rule.redirect) out.deny += redirect_lines(*rule.redirect, rule.matches[i], matched, config);
      if (rule.rewrite)
        out.change += fmt::format("    http-request set-path '{}' if {}\n",
                                  path_expression(*rule.rewrite, rule.matches[i].path), matched);
    }
  }
  // HAProxy sets a server's timeout in backends alone.
  if (std::ranges::any_of(rules, [](const Rule& rule) { return rule.timeout && !rule.matches.empty(); }))
    out.backends = "    http-request set-timeout server var(txn.timeout) if { var(txn.timeout) -m found }\n";
  out.select = "    acl matched var(txn.match) -m found\n" + conditions.take() + lines;
  return out;
}

}  // namespace mainstay::routing
