#include "platform/bootstrap.h"

#include "api/user.h"
#include "base/encoding.h"
#include "base/files.h"
#include "base/log.h"
#include "base/yaml.h"

namespace mainstay::platform {
namespace json = boost::json;

namespace {

// The resource of an object in a bootstrap file: its plural follows from the kind, as for every type we ship.
client::Resource resource_of(const json::value& object) {
  const std::string api_version = base::get_string(object, "apiVersion");
  const std::string kind = base::get_string(object, "kind");
  const auto slash = api_version.find('/');
  client::Resource r;
  r.group = slash == std::string::npos ? "" : api_version.substr(0, slash);
  r.version = slash == std::string::npos ? api_version : api_version.substr(slash + 1);
  r.kind = kind;
  for (char c : kind) r.plural += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (r.plural.ends_with("y") && !r.plural.ends_with("ay")) {  // policies, but gateways
    r.plural.replace(r.plural.size() - 1, 1, "ies");
  } else if (r.plural.ends_with("s") || r.plural.ends_with("x")) {
    r.plural += "es";
  } else {
    r.plural += "s";
  }
  r.namespaced = base::find(object, "metadata.namespace") != nullptr;
  return r;
}

}  // namespace

async::Task<> apply_bootstrap(client::ApiClient client, std::vector<base::EmbeddedFile> files) {
  for (const base::EmbeddedFile& file : files) {
    auto documents = base::parse_yaml_documents(file.content);
    if (!documents)
      throw std::runtime_error(fmt::format("bootstrap file {}: {}", file.path, documents.error().message));
    for (json::value& object : *documents) {
      const client::Resource resource = resource_of(object);
      const std::string ns = base::get_string(object, "metadata.namespace");
      const std::string name = base::get_string(object, "metadata.name");
      const auto present = co_await client.find(resource, ns, name);
      if (present && base::annotation(*present, "mainstay.dev/managed") == "false") continue;
      co_await client.apply(resource, object);
    }
  }
}

base::Result<> write_admin_kubeconfig(const base::Config& config, const crypto::Authority& authority,
                                      const base::Clock& clock) {
  const auto path = config.dir("admin.kubeconfig");
  if (auto old = base::read_file(path, 1u << 20)) {
    if (auto parsed = base::parse_yaml(*old)) {
      const json::array& users = base::get_array(*parsed, "users");
      const json::array& clusters = base::get_array(*parsed, "clusters");
      if (!users.empty() && !clusters.empty() &&
          base::get_string(clusters[0], "cluster.server") == config.server_url()) {
        auto pem = base::base64_decode(base::get_string(users[0], "user.client-certificate-data"));
        if (pem && authority.verify(*pem, clock.now() + std::chrono::hours(24 * 30))) return {};
      }
    }
  }
  const auto key = crypto::PrivateKey::generate();
  crypto::CertificateRequest request;
  request.common_name = "admin";
  request.organizations = {std::string(api::kAdminGroup)};
  request.client = true;
  MAINSTAY_TRY(std::string certificate, authority.issue(request, key.public_pem(), clock));
  const json::value kubeconfig = {
      {"apiVersion", "v1"},
      {"kind", "Config"},
      {"clusters", json::array{{{"name", "mainstay"},
                                {"cluster",
                                 {{"server", config.server_url()},
                                  {"certificate-authority-data", base::base64(authority.certificate_pem())}}}}}},
      {"users", json::array{{{"name", "admin"},
                             {"user",
                              {{"client-certificate-data", base::base64(certificate)},
                               {"client-key-data", base::base64(key.to_pem())}}}}}},
      {"contexts", json::array{{{"name", "mainstay"}, {"context", {{"cluster", "mainstay"}, {"user", "admin"}}}}}},
      {"current-context", "mainstay"}};
  return base::write_file(path, base::to_yaml(kubeconfig), 0600);
}

namespace {

// The name or address of --url.
void add_advertised(const base::Config& config, crypto::CertificateRequest& request) {
  if (config.url.empty()) return;
  std::string host = config.registry_host();
  if (const auto colon = host.rfind(':'); colon != std::string::npos && host.find(']', colon) == std::string::npos)
    host.resize(colon);
  if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
  const bool address =
      base::HostPort::parse(fmt::format("{}:1", host.find(':') == std::string::npos ? host : "[" + host + "]"))
          .has_value();
  auto& list = address ? request.ip_addresses : request.dns_names;
  if (std::find(list.begin(), list.end(), host) == list.end()) list.push_back(host);
}

}  // namespace

base::Result<net::ServerTls> endpoint_tls(const base::Config& config, const crypto::Authority& authority,
                                          const base::Clock& clock) {
  const auto key = crypto::PrivateKey::generate();
  crypto::CertificateRequest request;
  request.common_name = "mainstay";
  request.dns_names = {"localhost",
                       "mainstay",
                       "kubernetes",
                       "kubernetes.default",
                       "kubernetes.default.svc",
                       "kubernetes.default.svc.cluster.local"};
  if (config.domain != "localhost") request.dns_names.push_back(config.domain);
  request.ip_addresses = {"127.0.0.1", "::1", config.node_address()};
  if (config.listen.host != "127.0.0.1" && !config.listen.any()) request.ip_addresses.push_back(config.listen.host);
  add_advertised(config, request);
  request.server = true;
  request.lifetime = std::chrono::hours(24 * 90);
  MAINSTAY_TRY(std::string certificate, authority.issue(request, key.public_pem(), clock));
  net::ServerTls tls;
  tls.certificate_chain_pem = certificate + authority.certificate_pem();
  tls.private_key_pem = key.to_pem();
  tls.client_ca_pem = authority.certificate_pem();
  return tls;
}

}  // namespace mainstay::platform
