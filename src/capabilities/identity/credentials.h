// UserCredential objects: a user's password, authenticator and recovery codes.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "capabilities/identity/password.h"
#include "client/client.h"

namespace mainstay::identity {
namespace json = boost::json;

class Credentials {
 public:
  Credentials(client::ApiClient client, async::Runtime& runtime, const base::Clock& clock)
      : client_(std::move(client)), hasher_(runtime), clock_(clock) {}
  async::Task<std::optional<json::value>> find(std::string user) const;
  // Takes the same time whether there is such a user or not.
  async::Task<bool> password_fits(std::optional<json::value> credential, std::string password);
  // Throws StatusError 422 for a password that will not do.
  async::Task<> set_password(std::string user, std::string password, bool temporary);
  static bool has_totp(const json::value& credential);
  // An authenticator's code or a recovery code; each is spent by it.
  async::Task<bool> take_second_factor(std::string user, std::string code);
  // Turns the second factor on: answers the recovery codes, shown once.
  async::Task<std::vector<std::string>> enrol_totp(std::string user, std::string secret, std::int64_t counter);
  async::Task<> remove_totp(std::string user);

  // DIR/admin.password: for the administrator's first sign-in in a browser, while no password of theirs is set.
  async::Task<> offer_first_password(std::filesystem::path file);

 private:
  async::Task<> save(std::string user, json::object change);
  client::ApiClient client_;
  PasswordHasher hasher_;
  const base::Clock& clock_;
};

}  // namespace mainstay::identity
