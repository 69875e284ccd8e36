// The Kubernetes Status as an exception: thrown anywhere in a request, turned into an HTTP answer in one place
// (api/server.cc), and thrown again by client/ when a server answers with one.
#pragma once
#include <boost/json.hpp>
#include <exception>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mainstay::base {

class StatusError : public std::exception {
 public:
  StatusError(int code, std::string reason, std::string message, boost::json::object details = {});
  int code() const { return code_; }                     // HTTP status
  const std::string& reason() const { return reason_; }  // "NotFound", "Conflict", "Invalid"…
  const std::string& message() const { return message_; }
  const boost::json::object& details() const { return details_; }
  const char* what() const noexcept override { return message_.c_str(); }
  boost::json::object to_json() const;  // {kind: Status, apiVersion: v1, status: Failure, …}
  static StatusError from_json(int http_status,
                               const boost::json::value& body);  // any body: falls back on the HTTP status

  bool is_not_found() const { return code_ == 404; }
  bool is_conflict() const { return code_ == 409 && reason_ == "Conflict"; }
  bool is_already_exists() const { return code_ == 409 && reason_ == "AlreadyExists"; }
  bool is_gone() const { return code_ == 410; }

 private:
  int code_;
  std::string reason_, message_;
  boost::json::object details_;
};

StatusError bad_request(std::string message);                                             // 400 BadRequest
StatusError unauthorized(std::string message);                                            // 401 Unauthorized
StatusError forbidden(std::string message);                                               // 403 Forbidden
StatusError not_found(std::string_view resource, std::string_view name);                  // 404: pods "x" not found
StatusError already_exists(std::string_view resource, std::string_view name);             // 409 AlreadyExists
StatusError conflict(std::string_view resource, std::string_view name, std::string why);  // 409 Conflict
StatusError gone(std::string message);                                                    // 410 Expired
StatusError too_large(std::string message);                                               // 413 RequestEntityTooLarge
StatusError unsupported_media_type(std::string message);                                  // 415
struct Cause {
  std::string field, reason, message;
};  // reason: FieldValueRequired, FieldValueInvalid…
StatusError invalid(std::string_view kind, std::string_view name, const std::vector<Cause>& causes);  // 422 Invalid
StatusError too_many_requests(std::string message, int retry_after_seconds);                          // 429
StatusError internal_error(std::string message);                                                      // 500
StatusError unavailable(std::string message);                                                         // 503
StatusError from_error(const Error& error);  // the ErrorCode's HTTP status

}  // namespace mainstay::base
