#include "capabilities/routing/gateway/filters.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace mainstay::routing {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kFilters{
    {{"RequestHeaderModifier", "requestHeaderModifier"},
     {"ResponseHeaderModifier", "responseHeaderModifier"},
     {"RequestRedirect", "requestRedirect"},
     {"URLRewrite", "urlRewrite"}}};

RuleFault unsupported(std::string message) { return {"UnsupportedValue", std::move(message)}; }

std::vector<HeaderChange> read_headers(const json::value& filter) {
  std::vector<HeaderChange> out;
  for (const auto& [list, kind] : {std::pair{"set", HeaderChange::kSet}, std::pair{"add", HeaderChange::kAdd}}) {
    for (const json::value& h : base::get_array(filter, list))
      out.push_back({kind, base::get_string(h, "name"), base::get_string(h, "value")});
  }
  for (const json::value& name : base::get_array(filter, "remove")) {
    if (name.is_string()) out.push_back({HeaderChange::kRemove, std::string(name.as_string()), ""});
  }
  return out;
}

std::optional<PathChange> read_path(const json::value& filter) {
  const std::string type = base::get_string(filter, "path.type");
  if (type.empty()) return std::nullopt;
  const bool full = type == "ReplaceFullPath";
  return PathChange{full, base::get_string(filter, full ? "path.replaceFullPath" : "path.replacePrefixMatch")};
}

// The filter has what its type says, and nothing of another type.
std::optional<RuleFault> check_filter(const json::value& filter, const std::string& where) {
  const std::string type = base::get_string(filter, "type");
  bool known = false;
  for (const auto& [name, field] : kFilters) {
    const bool given = base::find(filter, field) != nullptr;
    known = known || name == type;
    if (name == type && !given) return unsupported(fmt::format("{}: type {} needs {}", where, type, field));
    if (name != type && given) return unsupported(fmt::format("{}: {} does not belong to type {}", where, field, type));
  }
  if (!known) return unsupported(fmt::format("{}: filters of type {} are not served", where, type));
  for (const char* field : {"requestRedirect", "urlRewrite"}) {
    const json::value* path = base::find(filter, {field, "path"});
    if (path == nullptr) continue;
    const bool full = base::get_string(*path, "type") == "ReplaceFullPath";
    const char *needed = full ? "replaceFullPath" : "replacePrefixMatch",
               *other = full ? "replacePrefixMatch" : "replaceFullPath";
    if (base::get_string(*path, needed).empty() || base::find(*path, other) != nullptr)
      return unsupported(
          fmt::format("{}.{}.path: type {} needs {} alone", where, field, base::get_string(*path, "type"), needed));
  }
  return std::nullopt;
}

void read_filter(const json::value& f, Rule& rule) {
  const std::string type = base::get_string(f, "type");
  const auto part = [&f](const char* name) { return *base::find(f, name); };
  if (type == "RequestHeaderModifier") {
    rule.request = read_headers(part("requestHeaderModifier"));
  } else if (type == "ResponseHeaderModifier") {
    rule.response = read_headers(part("responseHeaderModifier"));
  } else if (type == "RequestRedirect") {
    const json::value r = part("requestRedirect");
    rule.redirect = Redirect{base::get_string(r, "scheme"), base::get_string(r, "hostname"),
                             static_cast<int>(base::get_int(r, "port")), read_path(r),
                             static_cast<int>(base::get_int(r, "statusCode", 302))};
  } else {
    const json::value r = part("urlRewrite");
    rule.rewrite = read_path(r);
    rule.rewrite_host = base::get_string(r, "hostname");
  }
}

std::optional<RuleFault> read_filters(const json::value& spec, Rule& rule) {
  const json::array& filters = base::get_array(spec, "filters");
  for (std::size_t i = 0; i < filters.size(); ++i) {
    const std::string where = fmt::format("filters[{}]", i), type = base::get_string(filters[i], "type");
    if (auto fault = check_filter(filters[i], where)) return fault;
    for (std::size_t j = 0; j < i; ++j) {
      if (base::get_string(filters[j], "type") == type)
        return unsupported(fmt::format("{}: a second {}; put both into one", where, type));
    }
    read_filter(filters[i], rule);
  }
  if (rule.redirect && (rule.rewrite || !rule.rewrite_host.empty()))
    return RuleFault{"IncompatibleFilters", "filters: RequestRedirect and URLRewrite exclude each other"};
  if (rule.redirect && !base::get_array(spec, "backendRefs").empty())
    return RuleFault{"IncompatibleFilters", "filters: RequestRedirect answers by itself; take backendRefs away"};
  const bool by_prefix =
      (rule.rewrite && !rule.rewrite->full) || (rule.redirect && rule.redirect->path && !rule.redirect->path->full);
  const json::array& matches = base::get_array(spec, "matches");
  if (by_prefix && std::ranges::any_of(matches, [](const json::value& m) {
        return base::get_string(m, "path.type", "PathPrefix") != "PathPrefix";
      }))
    return unsupported("filters: ReplacePrefixMatch needs matches by PathPrefix");
  return std::nullopt;
}

std::optional<RuleFault> read_timeouts(const json::value& spec, Rule& rule) {
  std::optional<std::chrono::milliseconds> given[2];
  const char* const fields[2] = {"request", "backendRequest"};
  for (int i = 0; i < 2; ++i) {
    const std::string text = base::get_string(spec, fmt::format("timeouts.{}", fields[i]));
    if (text.empty()) continue;
    given[i] = read_duration(text);
    if (!given[i] || *given[i] > kLongestTimeout)
      return unsupported(fmt::format("timeouts.{}: \"{}\" is no duration of at most 24h", fields[i], text));
  }
  const auto limits = [](const auto& timeout) { return timeout && timeout->count() > 0; };
  // 0s is no limit of its own: the request's then counts.
  if (limits(given[0]) && given[1] && *given[1] > *given[0])
    return unsupported("timeouts.backendRequest: may not be longer than timeouts.request");
  rule.timeout = limits(given[1]) || !given[0] ? given[1] : given[0];
  return std::nullopt;
}

}  // namespace

Match read_match(const json::value& m) {
  Match out;
  out.exact = base::get_string(m, "path.type", "PathPrefix") == "Exact";
  out.path = base::get_string(m, "path.value", "/");
  out.method = base::get_string(m, "method");
  for (const json::value& h : base::get_array(m, "headers"))
    out.headers.emplace_back(base::get_string(h, "name"), base::get_string(h, "value"));
  for (const json::value& q : base::get_array(m, "queryParams"))
    out.queries.emplace_back(base::get_string(q, "name"), base::get_string(q, "value"));
  return out;
}

std::optional<RuleFault> read_rule(const json::value& spec, Rule& rule) {
  const json::array& matches = base::get_array(spec, "matches");
  for (std::size_t i = 0; i < matches.size(); ++i) {  // of a GRPCRoute
    if (base::get_string(matches[i], "method.service").empty() &&
        !base::get_string(matches[i], "method.method").empty())
      return unsupported(fmt::format("matches[{}].method: a method without its service is not served", i));
  }
  if (auto fault = read_filters(spec, rule)) return fault;
  return read_timeouts(spec, rule);
}

std::optional<std::chrono::milliseconds> read_duration(std::string_view text) {
  std::chrono::milliseconds out{0};
  int parts = 0;
  while (!text.empty()) {
    long number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const auto digits = static_cast<std::size_t>(end - text.data());
    if (error != std::errc() || digits == 0 || digits > 5 || number < 0 || ++parts > 4) return std::nullopt;
    text.remove_prefix(digits);
    const std::string_view unit = text.substr(0, std::min(text.find_first_of("0123456789"), text.size()));
    if (unit == "h") {
      out += std::chrono::hours(number);
    } else if (unit == "m") {
      out += std::chrono::minutes(number);
    } else if (unit == "s") {
      out += std::chrono::seconds(number);
    } else if (unit == "ms") {
      out += std::chrono::milliseconds(number);
    } else {
      return std::nullopt;
    }
    text.remove_prefix(unit.size());
  }
  return parts > 0 ? std::optional(out) : std::nullopt;
}

json::value http_route_of(const json::value& grpc_route) {
  json::value out = grpc_route;
  json::array rules;
  for (const json::value& rule : base::get_array(grpc_route, "spec.rules")) {
    json::value as_http = rule.is_object() ? rule : json::value(json::object());
    json::array matches;
    for (const json::value& match : base::get_array(rule, "matches")) {
      const std::string service = base::get_string(match, "method.service"),
                        method = base::get_string(match, "method.method");
      json::object path{{"type", service.empty() || method.empty() ? "PathPrefix" : "Exact"},
                        {"value", "/" + service + (service.empty() || method.empty() ? "" : "/" + method)}};
      json::object made{{"path", std::move(path)}, {"method", json::object{{"service", service}, {"method", method}}}};
      if (const json::value* headers = base::find(match, "headers")) made["headers"] = *headers;
      matches.push_back(std::move(made));
    }
    as_http.as_object()["matches"] = std::move(matches);
    rules.push_back(std::move(as_http));
  }
  base::set(out, "spec.rules", std::move(rules));
  return out;
}

}  // namespace mainstay::routing
