// What OAuth clients and browsers send: application/x-www-form-urlencoded, bounded; and how they are refused.
#pragma once
#include <exception>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "api/route.h"
#include "base/result.h"

namespace mainstay::identity {

// RFC 6749 5.2: answered as {"error", "error_description"}, or sent along with a redirect.
class OAuthError : public std::exception {
 public:
  OAuthError(std::string error, std::string description, int status = 400)
      : error(std::move(error)), description(std::move(description)), status(status) {}
  const char* what() const noexcept override { return error.c_str(); }
  std::string error, description;
  int status;
};

class Form {
 public:
  // At most 64 fields, 8 KiB a value, no NUL; a field given twice is an error (RFC 6749 3.1).
  static base::Result<Form> parse(std::string_view text);
  static base::Result<Form> from(const net::Query& query);
  // "" where missing; an empty value counts as missing (RFC 6749 3.1).
  const std::string& get(std::string_view name) const;
  bool has(std::string_view name) const { return !get(name).empty(); }
  void erase(std::string_view name);
  void set(std::string name, std::string value) { fields_[std::move(name)] = std::move(value); }
  std::string encode() const;

 private:
  std::map<std::string, std::string, std::less<>> fields_;
};

// The body of a POST, at most 32 KiB. Throws OAuthError invalid_request.
async::Task<Form> read_form(std::shared_ptr<api::RequestContext> context);

}  // namespace mainstay::identity
