#include "api/rbac.h"

#include <fmt/core.h>

#include <algorithm>

#include "base/strings.h"

namespace mainstay::api {
namespace {

constexpr std::size_t kMaxCombinations = 100'000;

std::vector<std::string> strings(const base::json::value& rule, std::string_view field) {
  std::vector<std::string> result;
  for (const auto& item : base::get_array(rule, field)) {
    if (item.is_string()) result.emplace_back(item.as_string());
  }
  return result;
}

bool contains(const std::vector<std::string>& all, std::string_view one) {
  return std::ranges::find(all, one) != all.end();
}

bool url_matches(std::string_view pattern, std::string_view path) {
  if (pattern == path || pattern == "*") return true;
  return pattern.ends_with('*') && path.starts_with(pattern.substr(0, pattern.size() - 1));
}

// `pods`, `pods/log`, and `*/scale` for that subresource of any resource.
bool resource_matches(const Rule& rule, std::string_view resource, std::string_view subresource) {
  if (rule.any_resource) return true;
  if (subresource.empty()) return contains(rule.resources, resource);
  return std::ranges::any_of(rule.resources, [&](std::string_view pattern) {
    const auto slash = pattern.find('/');
    if (slash == std::string_view::npos || pattern.substr(slash + 1) != subresource) return false;
    const auto of = pattern.substr(0, slash);
    return of == resource || of == "*";
  });
}

bool covers_combination(const Rule& held, const std::string& verb, const std::string& group,
                        const std::string& resource, const std::string* name) {
  if (!held.any_verb && !contains(held.verbs, verb)) return false;
  if (!held.any_group && !contains(held.groups, group)) return false;
  const auto slash = resource.find('/');
  const bool resource_held = held.any_resource || contains(held.resources, resource) ||
                             (slash != std::string::npos && contains(held.resources, "*" + resource.substr(slash)));
  if (!resource_held) return false;
  return held.names.empty() || (name && contains(held.names, *name));
}

bool covers_url(const std::vector<Rule>& held, const std::string& verb, const std::string& url) {
  return std::ranges::any_of(held, [&](const Rule& rule) {
    if (!rule.any_verb && !contains(rule.verbs, verb)) return false;
    return std::ranges::any_of(rule.urls, [&](const std::string& pattern) { return url_matches(pattern, url); });
  });
}

std::string quoted(const std::vector<std::string>& items) {
  std::string text = "[";
  for (const auto& item : items) text += fmt::format("{}\"{}\"", text.size() > 1 ? " " : "", item);
  return text + "]";
}

}  // namespace

Rule Rule::parse(const base::json::value& rule) {
  Rule parsed{strings(rule, "verbs"), strings(rule, "apiGroups"), strings(rule, "resources"),
              strings(rule, "resourceNames"), strings(rule, "nonResourceURLs")};
  parsed.any_verb = contains(parsed.verbs, "*");
  parsed.any_group = contains(parsed.groups, "*");
  parsed.any_resource = contains(parsed.resources, "*");
  return parsed;
}

bool Rule::allows(const Attributes& what) const {
  if (!any_verb && !contains(verbs, what.verb)) return false;
  if (what.resource.empty()) {
    return std::ranges::any_of(urls, [&](const std::string& pattern) { return url_matches(pattern, what.path); });
  }
  if (!any_group && !contains(groups, what.group)) return false;
  if (!resource_matches(*this, what.resource, what.subresource)) return false;
  return names.empty() || contains(names, what.name);
}

std::string Rule::to_string() const {
  if (!urls.empty()) return fmt::format("{{NonResourceURLs:{}, Verbs:{}}}", quoted(urls), quoted(verbs));
  const std::string named = names.empty() ? "" : fmt::format(", ResourceNames:{}", quoted(names));
  return fmt::format("{{APIGroups:{}, Resources:{}{}, Verbs:{}}}", quoted(groups), quoted(resources), named,
                     quoted(verbs));
}

bool covers(const std::vector<Rule>& held, const Rule& wanted) {
  for (const auto& verb : wanted.verbs) {
    for (const auto& url : wanted.urls) {
      if (!covers_url(held, verb, url)) return false;
    }
  }
  const std::size_t names = std::max<std::size_t>(wanted.names.size(), 1);
  const std::size_t resources = std::max<std::size_t>(wanted.resources.size(), 1),
                    groups = std::max<std::size_t>(wanted.groups.size(), 1);
  if (wanted.verbs.size() > kMaxCombinations / names / resources / groups) return false;
  for (const auto& verb : wanted.verbs) {
    for (const auto& group : wanted.groups) {
      for (const auto& resource : wanted.resources) {
        for (std::size_t i = 0; i < names; ++i) {
          const std::string* name = wanted.names.empty() ? nullptr : &wanted.names[i];
          const bool held_so = std::ranges::any_of(
              held, [&](const Rule& rule) { return covers_combination(rule, verb, group, resource, name); });
          if (!held_so) return false;
        }
      }
    }
  }
  return true;
}

}  // namespace mainstay::api
