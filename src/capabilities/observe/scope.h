// Whose data a caller may see: namespaces in which RBAC gives them `get` of one of our virtual resources.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/auth.h"
#include "client/cache.h"

namespace mainstay::observe {

struct Scope {
  bool all = false;                     // everything, also what belongs to no namespace
  std::vector<std::string> namespaces;  // where not `all`
  bool sees(std::string_view ns) const;
};

// `resource` is "metrics" or "logs" (group mainstay.dev), `subresource` "" or "audit". Throws StatusError 403 where the
// caller may see nothing at all.
Scope scope_of(const api::Authorizer& authorizer, const api::UserInfo& user, const client::Cache& namespaces,
               std::string_view resource, std::string_view subresource = "");

// The filter that confines a query to the scope, as VictoriaMetrics' extra_filters takes it: {namespace=~"a|b"}. Never
// matches a series without a namespace. "" where the scope is everything.
std::string series_filter(const Scope& scope);

// When a namespace was made, in microseconds since 1970; 0 where it does not say.
std::int64_t made_us(const boost::json::value& ns);

// The team of a namespace: its label mainstay.dev/team; "" where it is no team's.
std::string team_of(const client::Cache& namespaces, std::string_view ns);

// What the pod is a part of: the Deployment's name, or what label app.kubernetes.io/name says, or the pod's own name.
std::string workload_of(const boost::json::value& pod);

}  // namespace mainstay::observe
