#include "api/auth.h"

#include <algorithm>

#include "base/encoding.h"
#include "base/log.h"
#include "base/strings.h"
#include "crypto/keys.h"

namespace mainstay::api {
namespace {

constexpr std::size_t kMaxCertificates = 512;
constexpr std::size_t kMaxCredential = 16 * 1024;
constexpr std::string_view kServiceAccountPrefix = "system:serviceaccount:";

void add_group(UserInfo& user, std::string group) {
  if (!user.in_group(group)) user.groups.push_back(std::move(group));
}

// The part after "Bearer " or "Basic ", the scheme compared without case (RFC 9110 11.1); nullopt: another scheme.
std::optional<std::string_view> after_scheme(std::string_view header, std::string_view scheme) {
  if (header.size() <= scheme.size() || header[scheme.size()] != ' ' ||
      !base::iequals(header.substr(0, scheme.size()), scheme)) {
    return std::nullopt;
  }
  return base::trim(header.substr(scheme.size() + 1));
}

}  // namespace

bool UserInfo::in_group(std::string_view group) const { return std::ranges::find(groups, group) != groups.end(); }

void add_implied_groups(UserInfo& user) {
  if (user.anonymous()) return add_group(user, "system:unauthenticated");
  add_group(user, "system:authenticated");
  const std::string_view name = user.name;
  if (!name.starts_with(kServiceAccountPrefix)) return;
  const std::string_view rest = name.substr(kServiceAccountPrefix.size());
  add_group(user, "system:serviceaccounts");
  add_group(user, "system:serviceaccounts:" + std::string(rest.substr(0, rest.find(':'))));
}

void Authenticator::add(std::string kind, Verify verify) {
  verifiers_.emplace_back(std::move(kind), std::move(verify));
}

void Authenticator::add_source(Find find) { sources_.push_back(std::move(find)); }

async::Task<base::Result<UserInfo>> Authenticator::authenticate_token(std::string token, std::string user_name,
                                                                      std::optional<base::SystemTime> as_of) const {
  if (token.empty() || token.size() > kMaxCredential) {
    co_return base::fail(base::ErrorCode::kUnauthenticated, "the credential is empty or too long");
  }
  for (const auto& [kind, verify] : verifiers_) {
    auto verdict = co_await verify(token, user_name, as_of);
    if (!verdict) continue;
    if (*verdict)
      add_implied_groups(**verdict);
    else
      base::log::debug("auth", "{}: {}", kind, verdict->error().message);
    co_return std::move(*verdict);
  }
  co_return base::fail(base::ErrorCode::kUnauthenticated,
                       "the credential is of no kind known here, or has been revoked; log in again (`mainstay login`)");
}

async::Task<base::Result<UserInfo>> Authenticator::authenticate(const net::Request& request,
                                                                std::optional<base::SystemTime> as_of) const {
  if (const std::string_view header = request.headers.get("Authorization"); !header.empty()) {
    if (auto token = after_scheme(header, "Bearer"))
      co_return co_await authenticate_token(std::string(*token), "", as_of);
    if (auto encoded = after_scheme(header, "Basic")) {
      auto decoded = base::base64_decode(*encoded);
      const auto colon = decoded ? decoded->find(':') : std::string::npos;
      if (colon == std::string::npos) {
        co_return base::fail(base::ErrorCode::kUnauthenticated,
                             "the Basic credentials are malformed: user:token in base64 is expected");
      }
      co_return co_await authenticate_token(decoded->substr(colon + 1), decoded->substr(0, colon), as_of);
    }
    co_return base::fail(base::ErrorCode::kUnauthenticated, "the Authorization header must be Bearer or Basic");
  }
  for (const Find& find : sources_) {
    if (auto token = find(request)) co_return co_await authenticate_token(*std::move(token), "", as_of);
  }
  if (!request.client_certificate.empty()) {
    if (auto known = certificates_.find(request.client_certificate); known != certificates_.end())
      co_return known->second;
    auto info = crypto::inspect_certificate(request.client_certificate);
    if (!info || info->subject_common_name.empty()) {
      co_return base::fail(base::ErrorCode::kUnauthenticated,
                           "the client certificate has no common name to be the user's name");
    }
    UserInfo user;
    user.name = info->subject_common_name;
    user.groups = info->organizations;
    add_implied_groups(user);
    if (certificates_.size() >= kMaxCertificates) certificates_.clear();
    certificates_.emplace(request.client_certificate, user);
    co_return user;
  }
  UserInfo nobody;
  add_implied_groups(nobody);
  co_return nobody;
}

}  // namespace mainstay::api
