#include "base/status.h"

#include <fmt/format.h>

namespace mainstay::base {
namespace json = boost::json;
namespace {

std::string reason_of(int code) {
  switch (code) {
    case 400:
      return "BadRequest";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "NotFound";
    case 405:
      return "MethodNotAllowed";
    case 406:
      return "NotAcceptable";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 413:
      return "RequestEntityTooLarge";
    case 415:
      return "UnsupportedMediaType";
    case 422:
      return "Invalid";
    case 429:
      return "TooManyRequests";
    case 500:
      return "InternalError";
    case 503:
      return "ServiceUnavailable";
    case 504:
      return "Timeout";
    default:
      return "Unknown";
  }
}

std::string string_at(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

json::object named(std::string_view resource, std::string_view name) {
  json::object details;
  if (!name.empty()) details["name"] = name;
  // "deployments.apps": the resource and its group travel apart in a Status.
  const auto dot = resource.find('.');
  if (dot != std::string_view::npos) details["group"] = resource.substr(dot + 1);
  if (!resource.empty()) details["kind"] = resource.substr(0, dot);
  return details;
}

}  // namespace

StatusError::StatusError(int code, std::string reason, std::string message, json::object details)
    : code_(code), reason_(std::move(reason)), message_(std::move(message)), details_(std::move(details)) {}

json::object StatusError::to_json() const {
  json::object out{{"kind", "Status"},    {"apiVersion", "v1"},  {"metadata", json::object()},
                   {"status", "Failure"}, {"message", message_}, {"reason", reason_}};
  if (!details_.empty()) out["details"] = details_;
  out["code"] = code_;
  return out;
}

StatusError StatusError::from_json(int http_status, const json::value& body) {
  const json::object* object = body.if_object();
  if (!object || string_at(*object, "kind") != "Status") {
    return {http_status, reason_of(http_status), fmt::format("the server answered with HTTP status {}", http_status)};
  }
  int code = http_status;
  if (const json::value* value = object->if_contains("code"); value && value->is_int64()) {
    if (value->get_int64() >= 400 && value->get_int64() <= 599) code = static_cast<int>(value->get_int64());
  }
  std::string reason = string_at(*object, "reason");
  if (reason.empty()) reason = reason_of(code);
  const json::value* details = object->if_contains("details");
  return {code, std::move(reason), string_at(*object, "message"),
          details && details->is_object() ? details->get_object() : json::object()};
}

StatusError bad_request(std::string message) { return {400, "BadRequest", std::move(message)}; }
StatusError unauthorized(std::string message) { return {401, "Unauthorized", std::move(message)}; }
StatusError forbidden(std::string message) { return {403, "Forbidden", std::move(message)}; }
StatusError not_found(std::string_view resource, std::string_view name) {
  return {404, "NotFound", fmt::format("{} \"{}\" not found", resource, name), named(resource, name)};
}
StatusError already_exists(std::string_view resource, std::string_view name) {
  return {409, "AlreadyExists", fmt::format("{} \"{}\" already exists", resource, name), named(resource, name)};
}
StatusError conflict(std::string_view resource, std::string_view name, std::string why) {
  return {409, "Conflict", fmt::format("Operation cannot be fulfilled on {} \"{}\": {}", resource, name, why),
          named(resource, name)};
}
StatusError gone(std::string message) { return {410, "Expired", std::move(message)}; }
StatusError too_large(std::string message) { return {413, "RequestEntityTooLarge", std::move(message)}; }
StatusError unsupported_media_type(std::string message) { return {415, "UnsupportedMediaType", std::move(message)}; }

StatusError invalid(std::string_view kind, std::string_view name, const std::vector<Cause>& causes) {
  json::array list;
  std::string text;
  for (const Cause& cause : causes) {
    list.push_back(json::object{{"reason", cause.reason}, {"message", cause.message}, {"field", cause.field}});
    if (!text.empty()) text += ", ";
    text += cause.field.empty() ? cause.message : fmt::format("{}: {}", cause.field, cause.message);
  }
  if (causes.size() > 1) text = fmt::format("[{}]", text);
  json::object details = named(kind, name);
  details["causes"] = std::move(list);
  return {422, "Invalid", fmt::format("{} \"{}\" is invalid: {}", kind, name, text), std::move(details)};
}

StatusError too_many_requests(std::string message, int retry_after_seconds) {
  return {429, "TooManyRequests", std::move(message), {{"retryAfterSeconds", retry_after_seconds}}};
}
StatusError internal_error(std::string message) { return {500, "InternalError", std::move(message)}; }
StatusError unavailable(std::string message) { return {503, "ServiceUnavailable", std::move(message)}; }

StatusError from_error(const Error& error) {
  switch (error.code) {
    case ErrorCode::kInvalid:
      return {400, "BadRequest", error.message};
    case ErrorCode::kNotFound:
      return {404, "NotFound", error.message};
    case ErrorCode::kAlreadyExists:
      return {409, "AlreadyExists", error.message};
    case ErrorCode::kConflict:
      return {409, "Conflict", error.message};
    case ErrorCode::kUnauthenticated:
      return {401, "Unauthorized", error.message};
    case ErrorCode::kForbidden:
      return {403, "Forbidden", error.message};
    case ErrorCode::kTooLarge:
      return {413, "RequestEntityTooLarge", error.message};
    case ErrorCode::kTimeout:
      return {504, "Timeout", error.message};
    case ErrorCode::kCancelled:
      return {503, "ServiceUnavailable", error.message};
    case ErrorCode::kUnavailable:
      return {503, "ServiceUnavailable", error.message};
    case ErrorCode::kExhausted:
      return {507, "InsufficientStorage", error.message};
    case ErrorCode::kInternal:
      break;
  }
  return {500, "InternalError", error.message};
}

}  // namespace mainstay::base
