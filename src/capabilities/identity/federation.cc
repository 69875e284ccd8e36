#include "capabilities/identity/federation.h"

#include "base/encoding.h"
#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "base/strings.h"
#include "capabilities/identity/ldap_directory.h"
#include "capabilities/identity/resources.h"
#include "capabilities/identity/upstream_oidc.h"

namespace mainstay::identity {
namespace {

constexpr std::string_view kProviderAnnotation = "mainstay.dev/identity-provider",
                           kSubjectAnnotation = "mainstay.dev/subject";
constexpr int kDirectoryAtOnce = 2;

client::ObjectPtr find_linked(const client::Cache& users, const Stranger& who) {
  for (const client::ObjectPtr& user : users.list()) {
    if (base::annotation(*user, kProviderAnnotation) == who.provider &&
        base::annotation(*user, kSubjectAnnotation) == who.subject)
      return user;
  }
  return nullptr;
}

async::Task<LdapSettings> ldap_settings(std::shared_ptr<Provider> provider, json::value object) {
  const json::value spec = base::get_object(object, "spec.ldap");
  const std::string name = base::get_string(object, "metadata.name");
  LdapSettings out;
  out.url = base::get_string(spec, "url");
  out.start_tls = base::get_bool(spec, "startTLS");
  out.bind_dn = base::get_string(spec, "bindDN");
  out.user_base = base::get_string(spec, "userBaseDN");
  out.user_attribute = base::get_string(spec, "userAttribute", "uid");
  out.group_base = base::get_string(spec, "groupBaseDN");
  out.group_member_attribute = base::get_string(spec, "groupMemberAttribute", "member");
  out.group_name_attribute = base::get_string(spec, "groupNameAttribute", "cn");
  out.timeout_seconds = static_cast<int>(base::get_int(spec, "timeoutSeconds", 5));
  if (const json::value* secret = base::find(spec, "bindPasswordRef"))
    out.bind_password = co_await secret_value(provider->client, *secret, "password");
  if (const json::value* ca = base::find(spec, "caRef")) {
    // libldap takes a file.
    const std::string pem = co_await ca_of(provider->client, *ca);
    const auto file = provider->host.config().dir("run") / ("ldap-" + name + ".crt");
    if (auto written = base::write_file(file, pem, 0600); !written) throw base::internal_error(written.error().message);
    out.ca_file = file;
  }
  co_return out;
}

class Federation final : public Upstreams {
 public:
  Federation(std::weak_ptr<Provider> provider, std::shared_ptr<client::Cache> objects)
      : provider_(std::move(provider)), objects_(std::move(objects)) {}

  std::string links(const std::string& back) const override {
    std::string out;
    for (const client::ObjectPtr& object : objects_->list()) {
      if (base::get_string(*object, "spec.type") != "oidc") continue;
      const std::string name = base::get_string(*object, "metadata.name");
      out += fmt::format("<p><a class=\"button second\" href=\"/oauth2/upstream/{}?back={}\">Sign in with {}</a></p>",
                         escape(base::percent_encode(name)), escape(base::percent_encode(back)),
                         escape(base::get_string(*object, "spec.displayName", name)));
    }
    return out.empty() ? "" : "<div class=\"others\">" + out + "</div>";
  }

  bool has_directory() const override {
    for (const client::ObjectPtr& object : objects_->list()) {
      if (base::get_string(*object, "spec.type") == "ldap") return true;
    }
    return false;
  }

  async::Task<std::optional<std::string>> sign_in_by_password(std::string name, std::string password) override {
    const auto provider = provider_.lock();
    for (const client::ObjectPtr& object : objects_->list()) {
      if (base::get_string(*object, "spec.type") != "ldap") continue;
      const std::string directory = base::get_string(*object, "metadata.name");
      const LdapSettings settings = co_await ldap_settings(provider, *object);
      // Each may hold a thread of the pool for some seconds: only so many at once.
      if (busy_ >= kDirectoryAtOnce) throw base::too_many_requests("the directory is slow to answer; try again", 5);
      struct Busy {
        int& count;
        explicit Busy(int& c) : count(c) { ++count; }
        ~Busy() { --count; }
      } counted(busy_);
      auto found = co_await provider->host.runtime().blocking(
          [settings, name, password] { return ldap_sign_in(settings, name, password); });
      if (!found) {
        base::log::warn("identity", "identity provider {}: {}", directory, found.error().message);
        throw base::unavailable("the directory does not answer; try again, or ask an administrator");
      }
      if (!*found) continue;
      Stranger who{directory, (*found)->id, (*found)->name, (*found)->display_name, (*found)->email, (*found)->groups};
      co_return co_await admit_stranger(provider, *object, std::move(who));
    }
    co_return std::nullopt;
  }

 private:
  std::weak_ptr<Provider> provider_;
  std::shared_ptr<client::Cache> objects_;
  int busy_ = 0;
};

struct FederationReconciler {
  std::shared_ptr<Provider> provider;
  std::shared_ptr<client::Cache> objects;

  // "" or what keeps people from signing in by it.
  async::Task<std::string> problem_of(json::value object) const {
    const std::string type = base::get_string(object, "spec.type");
    if (base::find(object, "spec." + type) == nullptr) co_return fmt::format("spec.{}: is missing", type);
    std::string problem;
    try {
      if (type == "oidc") {
        (void)co_await discover(provider, object);
      } else {
        const LdapSettings settings = co_await ldap_settings(provider, object);
        const auto checked = co_await provider->host.runtime().blocking([settings] { return ldap_check(settings); });
        if (!checked) problem = checked.error().message;
      }
    } catch (const base::StatusError& e) {
      problem = e.message();
    }
    co_return problem;
  }

  async::Task<reconcile::Outcome> operator()(reconcile::Name name) const {
    const client::ObjectPtr object = objects->get("", name.name);
    if (!object) co_return reconcile::Outcome::done();
    const std::string problem = co_await problem_of(*object);
    reconcile::Pass pass(provider->client, resources::kIdentityProviders, object);
    base::set(pass.object(), "status.observedGeneration", json::value(base::get_int(*object, "metadata.generation")));
    pass.set_condition("Ready", problem.empty(), problem.empty() ? "Answers" : "Failed",
                       problem.empty() ? "people can sign in by it" : problem, provider->host.clock());
    co_await pass.commit();
    // It tells nobody when it goes or comes back.
    co_return reconcile::Outcome::after(problem.empty() ? std::chrono::minutes(10) : std::chrono::minutes(1));
  }
};

}  // namespace

std::string user_name_from(std::string_view name) {
  std::string out;
  for (const char raw : base::lower(name.substr(0, name.find('@')))) {
    const bool plain = (raw >= 'a' && raw <= 'z') || (raw >= '0' && raw <= '9');
    if (plain)
      out += raw;
    else if (!out.empty() && out.back() != '-')
      out += '-';
    if (out.size() >= 63) break;
  }
  while (!out.empty() && out.back() == '-') out.pop_back();
  return out;
}

std::vector<std::string> mapped_groups(const json::value& provider, const std::vector<std::string>& groups) {
  std::vector<std::string> out;
  const auto add = [&](std::string group) {
    if (std::find(out.begin(), out.end(), group) == out.end()) out.push_back(std::move(group));
  };
  for (const json::value& mapping : base::get_array(provider, "spec.groupMappings")) {
    const std::string wanted = base::get_string(mapping, "group"), team = base::get_string(mapping, "team");
    const bool in = std::any_of(groups.begin(), groups.end(),
                                [&](const std::string& group) { return base::iequals(group, wanted); });
    if (!in || team.empty()) continue;
    add("team:" + team);
    add("team:" + team + ":" + base::get_string(mapping, "role", "developer"));
  }
  return out;
}

std::string provider_of(const json::value& user) { return base::annotation(user, kProviderAnnotation); }

async::Task<std::string> admit_stranger(std::shared_ptr<Provider> provider, json::value object, Stranger who) {
  const std::string name = user_name_from(who.name);
  client::ObjectPtr user = find_linked(*provider->users, who);
  if (!user) {
    if (!base::check_dns_label(name) || who.subject.empty())
      throw base::forbidden(
          fmt::format("the account's name \"{}\" cannot be a user's name here", who.name.substr(0, 60)));
    // Never by the name alone: whoever may choose a name elsewhere would choose admin.
    if (provider->users->get("", name) || co_await provider->client.find(resources::kUsers, "", name))
      throw base::forbidden(
          fmt::format("there is a user {} here already who is not of {}: an administrator renames one of them", name,
                      who.provider));
    const json::value fresh = {
        {"apiVersion", "mainstay.dev/v1"},
        {"kind", "User"},
        {"metadata",
         {{"name", name}, {"annotations", {{kProviderAnnotation, who.provider}, {kSubjectAnnotation, who.subject}}}}},
        {"spec", {{"displayName", who.display_name.substr(0, 200)}, {"email", who.email.substr(0, 254)}}}};
    user = std::make_shared<const json::value>(co_await provider->client.create(resources::kUsers, "", fresh));
  }
  if (!is_active(*user)) throw base::forbidden("this user is disabled: ask an administrator");
  const std::string known = base::get_string(*user, "metadata.name");
  const json::value federated = {{"provider", who.provider},
                                 {"groups", json::value_from(mapped_groups(object, who.groups))},
                                 {"updatedAt", base::rfc3339(provider->host.clock().now())}};
  const json::value kept = co_await provider->client.merge_patch(resources::kUsers, "", known,
                                                                 {{"status", {{"federated", federated}}}}, "status");
  co_await provider->users->caught_up(base::get_string(kept, "metadata.resourceVersion"));
  co_return known;
}

void add_federation(platform::Host& host, const std::shared_ptr<Provider>& provider) {
  auto objects = host.caches().of(resources::kIdentityProviders);
  provider->upstreams = std::make_shared<Federation>(provider, objects);
  add_upstream_routes(host, provider, objects);
  reconcile::ControllerOptions options;
  options.name = "identity-provider";
  options.primary = resources::kIdentityProviders;
  host.add_controller(options, FederationReconciler{provider, objects});
}

}  // namespace mainstay::identity
