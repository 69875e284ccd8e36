#include <fmt/format.h>

#include "api/server_impl.h"
#include "base/strings.h"

namespace mainstay::api {
namespace {

bool is_parameter(std::string_view segment) {
  return segment.size() > 2 && segment.front() == '{' && segment.back() == '}';
}
bool is_rest(std::string_view segment) { return is_parameter(segment) && segment.ends_with("...}"); }

std::vector<std::string_view> split_path(std::string_view path) {
  auto segments = base::split(path, '/');
  std::erase(segments, std::string_view());
  return segments;
}

// Literals before parameters before rests, from left to right.
std::string rank(const std::vector<std::string>& segments) {
  std::string rank;
  for (const auto& segment : segments) rank += is_rest(segment) ? 'c' : is_parameter(segment) ? 'b' : 'a';
  return rank;
}

}  // namespace

base::Result<> RouteTable::build(const std::vector<Route>& routes) {
  std::set<std::string> seen;
  for (const auto& route : routes) {
    if (!seen.insert(route.method + " " + route.pattern).second) {
      return base::fail(base::ErrorCode::kInvalid,
                        fmt::format("route {} {} is there twice", route.method, route.pattern));
    }
    Entry entry{&route, {}, false};
    for (std::string_view segment : split_path(route.pattern)) {
      if (entry.rest)
        return base::fail(base::ErrorCode::kInvalid, fmt::format("route {}: {{x...}} must come last", route.pattern));
      entry.rest = is_rest(segment);
      entry.segments.emplace_back(segment);
    }
    const std::string first =
        entry.segments.empty() || is_parameter(entry.segments.front()) ? "" : entry.segments.front();
    by_first_[first].push_back(std::move(entry));
  }
  for (auto& [first, entries] : by_first_) {
    std::ranges::sort(entries, {}, [](const Entry& entry) { return std::pair(rank(entry.segments), entry.route); });
  }
  return {};
}

bool RouteTable::fits(const Entry& entry, const std::vector<std::string_view>& segments,
                      std::map<std::string, std::string>* params) {
  const std::size_t fixed = entry.segments.size() - (entry.rest ? 1 : 0);
  if (segments.size() < fixed || (!entry.rest && segments.size() != fixed)) return false;
  for (std::size_t i = 0; i < fixed; ++i) {
    if (!is_parameter(entry.segments[i]) && entry.segments[i] != segments[i]) return false;
  }
  if (!params) return true;
  for (std::size_t i = 0; i < fixed; ++i) {
    const std::string& segment = entry.segments[i];
    if (is_parameter(segment)) (*params)[segment.substr(1, segment.size() - 2)] = segments[i];
  }
  if (entry.rest) {
    std::string rest;
    for (std::size_t i = fixed; i < segments.size(); ++i) rest += (i > fixed ? "/" : "") + std::string(segments[i]);
    (*params)[entry.segments.back().substr(1, entry.segments.back().size() - 5)] = std::move(rest);
  }
  return true;
}

RouteTable::Match RouteTable::match(std::string_view method, std::string_view path) const {
  const auto segments = split_path(path);
  Match result;
  std::set<std::string> allowed;
  const Entry* best = nullptr;
  for (const std::string_view first : {segments.empty() ? std::string_view() : segments.front(), std::string_view()}) {
    auto bucket = by_first_.find(first);
    if (bucket == by_first_.end()) continue;
    for (const Entry& entry : bucket->second) {
      if (!fits(entry, segments, nullptr)) continue;
      const bool exact = entry.route->method == method || entry.route->method == "*";
      // A HEAD without a route of its own is a GET whose body is not sent.
      const bool head = method == "HEAD" && entry.route->method == "GET";
      if (exact) {
        best = &entry;
        break;
      }
      if (head && !best) best = &entry;
      allowed.insert(entry.route->method);
    }
    if (best || segments.empty()) break;
  }
  if (best) {
    result.route = best->route;
    fits(*best, segments, &result.params);
    return result;
  }
  for (const auto& one : allowed) result.allowed += (result.allowed.empty() ? "" : ", ") + one;
  return result;
}

}  // namespace mainstay::api
