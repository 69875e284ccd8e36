// Who a person is at this moment, provided by identity/: for what outlives the request in which somebody acted.
#pragma once
#include <string>

#include "api/user.h"
#include "base/result.h"

namespace mainstay::platform {

class People {
 public:
  virtual ~People() = default;
  // As a request of theirs would be authorized now. An error: they are disabled or gone.
  virtual base::Result<api::UserInfo> person(const std::string& user) const = 0;
};

}  // namespace mainstay::platform
