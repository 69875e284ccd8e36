// The kinds that ask instead of store: TokenReview, SubjectAccessReview and their relatives.
#include <fmt/format.h>

#include "api/server_impl.h"
#include "base/status.h"

namespace mainstay::api {
namespace {
namespace json = base::json;

json::object user_json(const UserInfo& user) {
  json::object out{{"username", user.name}, {"groups", json::value_from(user.groups)}};
  if (!user.uid.empty()) out["uid"] = user.uid;
  if (!user.extra.empty()) out["extra"] = json::value_from(user.extra);
  return out;
}

UserInfo user_of(const json::value& spec) {
  UserInfo user;
  user.name = base::get_string(spec, "user");
  user.uid = base::get_string(spec, "uid");
  for (const auto& group : base::get_array(spec, "groups")) {
    if (group.is_string()) user.groups.emplace_back(group.get_string());
  }
  if (user.name.empty() && user.groups.empty()) throw base::bad_request("spec.user or spec.groups is required");
  return user;
}

Attributes attributes_of(const json::value& spec) {
  const json::value* resource = base::find(spec, "resourceAttributes");
  const json::value* path = base::find(spec, "nonResourceAttributes");
  const bool has_resource = resource && resource->is_object(), has_path = path && path->is_object();
  if (has_resource == has_path)
    throw base::bad_request("spec needs exactly one of resourceAttributes and nonResourceAttributes");
  Attributes what;
  if (has_path) {
    what.verb = base::get_string(*path, "verb");
    what.path = base::get_string(*path, "path");
    return what;
  }
  what.verb = base::get_string(*resource, "verb");
  what.group = base::get_string(*resource, "group");
  what.resource = base::get_string(*resource, "resource");
  what.subresource = base::get_string(*resource, "subresource");
  what.ns = base::get_string(*resource, "namespace");
  what.name = base::get_string(*resource, "name");
  // kubectl asks for "*" of everything with an empty resource never, but other clients may: nothing matches it.
  if (what.resource.empty()) what.resource = " ";
  return what;
}

json::object access_status(const Decision& decision) {
  return json::object{{"allowed", decision.allowed}, {"reason", decision.reason}};
}

json::object rules_status(const std::vector<json::value>& rules) {
  json::array resources, paths;
  for (const auto& rule : rules) {
    if (!base::get_array(rule, "nonResourceURLs").empty()) {
      paths.push_back(rule);
    } else {
      resources.push_back(rule);
    }
  }
  return json::object{
      {"resourceRules", std::move(resources)}, {"nonResourceRules", std::move(paths)}, {"incomplete", false}};
}

json::value token_status(const base::Result<UserInfo>& user) {
  if (user) return json::object{{"authenticated", true}, {"user", user_json(*user)}};
  return json::object{{"authenticated", false}, {"user", json::object{}}, {"error", user.error().message}};
}

}  // namespace

async::Task<net::Response> Server::Impl::review(ExchangePtr x, json::value body) {
  const std::string& kind = x->type->kind;
  if (const std::string given = base::get_string(body, "kind", kind); given != kind) {
    throw base::bad_request(fmt::format("the body's kind is {}, and this resource takes {}", given, kind));
  }
  static const json::value empty = json::object{};
  const json::value* found = base::find(body, "spec");
  const json::value& spec = found ? *found : empty;
  json::value status;
  if (kind == "TokenReview") {
    status = token_status(co_await authenticator.authenticate_token(base::get_string(spec, "token")));
    base::erase(body, "spec.token");  // never repeated
  } else if (kind == "SelfSubjectReview") {
    status = json::object{{"userInfo", user_json(x->user)}};
  } else if (kind == "SelfSubjectAccessReview") {
    status = access_status(authorizer.authorize(x->user, attributes_of(spec)));
  } else if (kind == "SubjectAccessReview" || kind == "LocalSubjectAccessReview") {
    Attributes what = attributes_of(spec);
    if (kind == "LocalSubjectAccessReview" && what.ns != x->path->ns) {
      throw base::bad_request("spec.resourceAttributes.namespace must be the namespace of the request");
    }
    status = access_status(authorizer.authorize(user_of(spec), what));
  } else if (kind == "SelfSubjectRulesReview") {
    const std::string ns = base::get_string(spec, "namespace");
    if (ns.empty()) throw base::bad_request("spec.namespace is required");
    status = rules_status(authorizer.rules_for(x->user, ns));
  } else {
    throw base::StatusError(405, "MethodNotAllowed", fmt::format("{} cannot be created here", kind));
  }
  body.as_object()["apiVersion"] = x->type->api_version();
  body.as_object()["kind"] = kind;
  if (!body.as_object().contains("metadata"))
    body.as_object()["metadata"] = json::object{{"creationTimestamp", nullptr}};
  body.as_object()["status"] = std::move(status);
  co_return net::Response::json(201, body);
}

}  // namespace mainstay::api
