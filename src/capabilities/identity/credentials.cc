#include "capabilities/identity/credentials.h"

#include "base/files.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/status.h"
#include "base/strings.h"
#include "capabilities/identity/resources.h"
#include "capabilities/identity/totp.h"
#include "reconcile/controller.h"

namespace mainstay::identity {

async::Task<std::optional<json::value>> Credentials::find(std::string user) const {
  if (!base::check_dns_subdomain(user)) co_return std::nullopt;
  co_return co_await client_.find(resources::kUserCredentials, "", user);
}

async::Task<bool> Credentials::password_fits(std::optional<json::value> credential, std::string password) {
  co_return co_await hasher_.verify(credential ? base::get_string(*credential, "spec.passwordHash") : "",
                                    std::move(password));
}

// A merge into spec; the object goes with its User.
async::Task<> Credentials::save(std::string user, json::object change) {
  if (co_await client_.find(resources::kUserCredentials, "", user)) {
    co_await client_.merge_patch(resources::kUserCredentials, "", user, {{"spec", std::move(change)}});
    co_return;
  }
  const json::value owner = co_await client_.get(resources::kUsers, "", user);
  const json::value object = {
      {"apiVersion", "mainstay.dev/v1"},
      {"kind", "UserCredential"},
      {"metadata", {{"name", user}, {"ownerReferences", json::array{reconcile::owner_reference(owner)}}}},
      {"spec", std::move(change)}};
  co_await client_.create(resources::kUserCredentials, "", object);
}

async::Task<> Credentials::set_password(std::string user, std::string password, bool temporary) {
  if (auto good = check_password(password, user); !good)
    throw base::invalid("PasswordRequest", user, {{"spec.password", "FieldValueInvalid", good.error().message}});
  std::string hash = co_await hasher_.hash(std::move(password));
  co_await save(user, {{"passwordHash", hash}, {"temporary", temporary}});
}

bool Credentials::has_totp(const json::value& credential) {
  return !base::get_string(credential, "spec.totp.secret").empty();
}

async::Task<bool> Credentials::take_second_factor(std::string user, std::string code) {
  auto credential = co_await find(user);
  if (!credential || !has_totp(*credential)) co_return false;
  json::value changed = *credential;
  std::string digits;
  for (const char c : code) {
    if (c != ' ') digits += c;
  }
  bool good = false;
  const auto secret = base32_decode(base::get_string(*credential, "spec.totp.secret"));
  if (!secret) throw base::internal_error("the second factor of this user cannot be read: an administrator resets it");
  if (auto counter = check_totp(*secret, digits, clock_.now(), base::get_int(*credential, "spec.totp.lastCounter"))) {
    base::set(changed, "spec.totp.lastCounter", json::value(*counter));
    good = true;
  } else {
    json::array left;
    const std::string typed = recovery_hash(code);
    for (const json::value& hash : base::get_array(*credential, "spec.recovery")) {
      if (base::constant_time_equal(std::string_view(hash.as_string()), typed))
        good = true;
      else
        left.push_back(hash);
    }
    base::set(changed, "spec.recovery", std::move(left));
  }
  if (!good) co_return false;
  try {
    co_await client_.update(resources::kUserCredentials, std::move(changed));
  } catch (const base::StatusError& e) {
    if (!e.is_conflict()) throw;
    good = false;  // the same code was shown twice at the same moment: it counts once
  }
  co_return good;
}

async::Task<std::vector<std::string>> Credentials::enrol_totp(std::string user, std::string secret,
                                                              std::int64_t counter) {
  RecoveryCodes recovery = make_recovery_codes();
  co_await save(user, {{"totp", {{"secret", base32(secret)}, {"lastCounter", counter}}},
                       {"recovery", json::value_from(recovery.hashes)}});
  co_return std::move(recovery.codes);
}

async::Task<> Credentials::remove_totp(std::string user) {
  co_await save(user, {{"totp", nullptr}, {"recovery", nullptr}});
}

async::Task<> Credentials::offer_first_password(std::filesystem::path file) {
  std::error_code ignored;
  const bool offered = std::filesystem::exists(file, ignored);
  const auto credential = co_await find("admin");
  if (credential && !base::get_string(*credential, "spec.passwordHash").empty()) {
    // It has been changed: the file tells nothing any more.
    if (offered && !base::get_bool(*credential, "spec.temporary")) std::filesystem::remove(file, ignored);
    co_return;
  }
  // Before the platform's first start there is no such user; an administrator who deleted it wants none.
  if (!co_await client_.find(resources::kUsers, "", "admin")) co_return;
  const std::string password = base::random_suffix(5) + "-" + base::random_suffix(5) + "-" + base::random_suffix(5);
  if (auto written = base::write_file(file, password + "\n", 0600); !written)
    throw base::internal_error(written.error().message);
  co_await set_password("admin", password, true);
  base::log::info("identity", "the administrator's first password for the browser is in {}", file.string());
}

}  // namespace mainstay::identity
