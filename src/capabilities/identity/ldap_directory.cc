#include "capabilities/identity/ldap_directory.h"

#include <fmt/format.h>
#include <ldap.h>

#include <memory>

#include "base/strings.h"

namespace mainstay::identity {
namespace {

using base::ErrorCode;

struct Unbind {
  void operator()(LDAP* connection) const { ldap_unbind_ext_s(connection, nullptr, nullptr); }
};
using Connection = std::unique_ptr<LDAP, Unbind>;
struct FreeMessage {
  void operator()(LDAPMessage* message) const { ldap_msgfree(message); }
};
using Message = std::unique_ptr<LDAPMessage, FreeMessage>;

constexpr int kMaxGroups = 1000;

std::unexpected<base::Error> failed(std::string_view what, int code) {
  const ErrorCode kind = code == LDAP_INVALID_CREDENTIALS ? ErrorCode::kUnauthenticated : ErrorCode::kUnavailable;
  return base::fail(kind, fmt::format("the directory: {}: {}", what, ldap_err2string(code)));
}

base::Result<Connection> connect(const LdapSettings& settings) {
  LDAP* raw = nullptr;
  if (const int code = ldap_initialize(&raw, settings.url.c_str()); code != LDAP_SUCCESS)
    return base::fail(ErrorCode::kInvalid, fmt::format("{}: {}", settings.url, ldap_err2string(code)));
  Connection connection(raw);
  const int version = LDAP_VERSION3, demand = LDAP_OPT_X_TLS_DEMAND, client = 0;
  const timeval limit{settings.timeout_seconds, 0};
  ldap_set_option(raw, LDAP_OPT_PROTOCOL_VERSION, &version);
  ldap_set_option(raw, LDAP_OPT_NETWORK_TIMEOUT, &limit);
  ldap_set_option(raw, LDAP_OPT_TIMEOUT, &limit);
  ldap_set_option(raw, LDAP_OPT_TIMELIMIT, &settings.timeout_seconds);
  ldap_set_option(raw, LDAP_OPT_REFERRALS, LDAP_OPT_OFF);  // other servers would be sent the password
  ldap_set_option(raw, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand);
  if (!settings.ca_file.empty()) ldap_set_option(raw, LDAP_OPT_X_TLS_CACERTFILE, settings.ca_file.c_str());
  if (const int code = ldap_set_option(raw, LDAP_OPT_X_TLS_NEWCTX, &client); code != LDAP_SUCCESS)
    return failed("TLS settings", code);
  if (settings.start_tls) {
    if (const int code = ldap_start_tls_s(raw, nullptr, nullptr); code != LDAP_SUCCESS) return failed("StartTLS", code);
  }
  return connection;
}

int simple_bind(LDAP* connection, const std::string& dn, const std::string& password) {
  berval credentials{password.size(), const_cast<char*>(password.data())};
  return ldap_sasl_bind_s(connection, dn.c_str(), LDAP_SASL_SIMPLE, &credentials, nullptr, nullptr, nullptr);
}

base::Result<Connection> connect_as_reader(const LdapSettings& settings) {
  MAINSTAY_TRY(Connection connection, connect(settings));
  if (const int code = simple_bind(connection.get(), settings.bind_dn, settings.bind_password); code != LDAP_SUCCESS)
    return failed("signing in as bindDN", code);
  return connection;
}

base::Result<Message> search(LDAP* connection, const LdapSettings& settings, const std::string& base,
                             const std::string& filter, std::vector<const char*> attributes, int size_limit) {
  attributes.push_back(nullptr);
  timeval limit{settings.timeout_seconds, 0};
  LDAPMessage* raw = nullptr;
  const int code =
      ldap_search_ext_s(connection, base.c_str(), LDAP_SCOPE_SUBTREE, filter.c_str(),
                        const_cast<char**>(attributes.data()), 0, nullptr, nullptr, &limit, size_limit, &raw);
  Message message(raw);
  if (code != LDAP_SUCCESS && code != LDAP_SIZELIMIT_EXCEEDED && code != LDAP_NO_SUCH_OBJECT)
    return failed("searching " + base, code);
  return message;
}

std::string first_value(LDAP* connection, LDAPMessage* entry, const char* attribute) {
  berval** values = ldap_get_values_len(connection, entry, attribute);
  if (values == nullptr) return "";
  std::string out =
      values[0] != nullptr ? std::string(values[0]->bv_val, std::min<std::size_t>(values[0]->bv_len, 500)) : "";
  ldap_value_free_len(values);
  return out;
}

std::string dn_of(LDAP* connection, LDAPMessage* entry) {
  char* raw = ldap_get_dn(connection, entry);
  std::string dn = raw != nullptr ? raw : "";
  ldap_memfree(raw);
  return dn;
}

base::Result<> read_groups(LDAP* connection, const LdapSettings& settings, LdapUser& user) {
  if (settings.group_base.empty()) return {};
  const std::string filter = fmt::format("({}={})", settings.group_member_attribute, ldap_escape(user.dn));
  MAINSTAY_TRY(Message found, search(connection, settings, settings.group_base, filter,
                                     {settings.group_name_attribute.c_str()}, kMaxGroups));
  for (LDAPMessage* entry = ldap_first_entry(connection, found.get()); entry != nullptr;
       entry = ldap_next_entry(connection, entry)) {
    user.groups.push_back(dn_of(connection, entry));
    user.groups.push_back(first_value(connection, entry, settings.group_name_attribute.c_str()));
  }
  return {};
}

}  // namespace

std::string ldap_escape(std::string_view value) {
  std::string out;
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f || std::string_view("*()\\").find(c) != std::string_view::npos)
      out += fmt::format("\\{:02x}", byte);
    else
      out += c;
  }
  return out;
}

base::Result<> check_ldap_url(const std::string& url, bool start_tls) {
  const auto bad = [](std::string why) { return base::fail(ErrorCode::kInvalid, "spec.ldap.url: " + std::move(why)); };
  LDAPURLDesc* parsed = nullptr;
  if (ldap_url_parse(url.c_str(), &parsed) != LDAP_URL_SUCCESS) return bad("not an LDAP URL");
  const std::string scheme = parsed->lud_scheme ? parsed->lud_scheme : "",
                    host = parsed->lud_host ? parsed->lud_host : "";
  ldap_free_urldesc(parsed);
  if (scheme != "ldap" && scheme != "ldaps") return bad("must be ldaps:// or ldap://");
  if (host.empty()) return bad("the host is missing");
  if (scheme == "ldaps" && start_tls) return bad("ldaps is TLS from the beginning: leave startTLS out");
  const bool loopback = host == "127.0.0.1" || host == "localhost" || host == "::1";
  if (scheme == "ldap" && !start_tls && !loopback)
    return bad("passwords would travel in the clear: use ldaps://, or set startTLS");
  return {};
}

base::Result<> ldap_check(const LdapSettings& settings) {
  MAINSTAY_TRY_VOID(check_ldap_url(settings.url, settings.start_tls));
  MAINSTAY_TRY([[maybe_unused]] Connection connection, connect_as_reader(settings));
  return {};
}

base::Result<std::optional<LdapUser>> ldap_sign_in(const LdapSettings& settings, const std::string& name,
                                                   const std::string& password) {
  // An empty password is an anonymous bind, which succeeds (RFC 4513 5.1.2).
  if (name.empty() || password.empty() || password.find('\0') != std::string::npos) return std::nullopt;
  MAINSTAY_TRY_VOID(check_ldap_url(settings.url, settings.start_tls));
  MAINSTAY_TRY(Connection reader, connect_as_reader(settings));
  const std::string filter = fmt::format("({}={})", settings.user_attribute, ldap_escape(name));
  MAINSTAY_TRY(Message found, search(reader.get(), settings, settings.user_base, filter,
                                     {settings.user_attribute.c_str(), "displayName", "cn", "mail", "entryUUID"}, 2));
  LDAPMessage* entry = ldap_first_entry(reader.get(), found.get());
  if (entry == nullptr || ldap_next_entry(reader.get(), entry) != nullptr) return std::nullopt;
  LdapUser user;
  user.dn = dn_of(reader.get(), entry);
  user.id = first_value(reader.get(), entry, "entryUUID");
  if (user.id.empty()) user.id = base::lower(user.dn);
  user.name = base::lower(first_value(reader.get(), entry, settings.user_attribute.c_str()));
  user.display_name = first_value(reader.get(), entry, "displayName");
  if (user.display_name.empty()) user.display_name = first_value(reader.get(), entry, "cn");
  user.email = first_value(reader.get(), entry, "mail");
  if (user.dn.empty()) return std::nullopt;
  MAINSTAY_TRY(Connection own, connect(settings));
  const int code = simple_bind(own.get(), user.dn, password);
  if (code == LDAP_INVALID_CREDENTIALS || code == LDAP_INAPPROPRIATE_AUTH || code == LDAP_UNWILLING_TO_PERFORM)
    return std::nullopt;
  if (code != LDAP_SUCCESS) return failed("signing in as the user", code);
  MAINSTAY_TRY_VOID(read_groups(reader.get(), settings, user));
  return user;
}

}  // namespace mainstay::identity
