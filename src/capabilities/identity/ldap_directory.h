// A directory asked over LDAP (RFC 4511) whether a name and a password fit, by libldap. Everything here blocks: call it
// in Runtime::blocking.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace mainstay::identity {

struct LdapSettings {
  std::string url, ca_file;  // ca_file: a path; "" for the system's authorities
  bool start_tls = false;
  std::string bind_dn, bind_password;
  std::string user_base, user_attribute, group_base, group_member_attribute, group_name_attribute;
  int timeout_seconds = 5;  // for each step
};

struct LdapUser {
  std::string dn, id, name, display_name, email;  // id: entryUUID (RFC 4530), else the DN
  std::vector<std::string> groups;                // both the names and the DNs
};

// nullopt: no such user, more than one, or the password does not fit. Errors: kUnavailable, kInvalid (the settings).
base::Result<std::optional<LdapUser>> ldap_sign_in(const LdapSettings& settings, const std::string& name,
                                                   const std::string& password);
// Connects and binds as `bind_dn`.
base::Result<> ldap_check(const LdapSettings& settings);
// RFC 4515 3: so that what people type is a value, never a part of the filter.
std::string ldap_escape(std::string_view value);
// ldaps, ldap with StartTLS, or a loopback address: passwords do not travel in the clear.
base::Result<> check_ldap_url(const std::string& url, bool start_tls);

}  // namespace mainstay::identity
