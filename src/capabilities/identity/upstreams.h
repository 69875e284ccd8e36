// Other places where people's accounts are kept: an upstream OpenID provider, a directory (IdentityProvider objects).
#pragma once
#include <optional>
#include <string>

#include "async/task.h"

namespace mainstay::identity {

class Upstreams {
 public:
  virtual ~Upstreams() = default;
  // HTML for the sign-in page: a link a provider that has a page of its own; "" where there is none.
  virtual std::string links(const std::string& back) const = 0;
  virtual bool has_directory() const = 0;
  // The User that a directory's name and password are of, made or brought up to date; nullopt where they do not fit.
  virtual async::Task<std::optional<std::string>> sign_in_by_password(std::string name, std::string password) = 0;
};

}  // namespace mainstay::identity
