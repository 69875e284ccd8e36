#include "capabilities/routing/gateway/compile.h"

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base/encoding.h"
#include "crypto/keys.h"

namespace mainstay::routing {
namespace {

client::ObjectPtr object(std::string_view text) {
  return std::make_shared<const json::value>(json::parse(json::string_view(text.data(), text.size())));
}

class Compile : public testing::Test {
 protected:
  Compile() {
    add("Namespace//shop-dev", R"({"metadata":{"name":"shop-dev","labels":{"mainstay.dev/team":"shop"}}})");
    add("Namespace//other", R"({"metadata":{"name":"other","labels":{"mainstay.dev/team":"other"}}})");
    add("Namespace//edge", R"({"metadata":{"name":"edge"}})");
    add("Team//shop",
        R"({"metadata":{"name":"shop","annotations":{"mainstay.dev/allowed-hosts":"shop.test, *.shop.test"}}})");
    for (const char* name : {"v1", "v2"})
      add(std::string("Service/shop-dev/") + name,
          R"({"metadata":{"namespace":"shop-dev"},"spec":{"ports":[{"port":80}]}})");
    slices_["v1"] = {
        object(R"({"ports":[{"port":8080}],"endpoints":[{"addresses":["10.0.0.1"]},{"addresses":["10.0.0.2"]}]})")};
    slices_["v2"] = {object(R"({"ports":[{"port":8080}],"endpoints":[{"addresses":["10.0.0.9"]}]})")};
    world_.classes = {object(R"({"metadata":{"name":"mainstay"},"spec":{"controllerName":"mainstay.dev/gateway"}})")};
    world_.gateways = {
        object(R"({"metadata":{"name":"edge","namespace":"edge"},"spec":{"gatewayClassName":"mainstay","listeners":[
      {"name":"http","port":80,"protocol":"HTTP","allowedRoutes":{"namespaces":{"from":"All"}}},
      {"name":"https","port":443,"protocol":"HTTPS","allowedRoutes":{"namespaces":{"from":"All"}}}]}})")};
    const auto get = [this](const std::string& kind) {
      return
          [this, kind](const std::string& ns, const std::string& name) { return find(kind + "/" + ns + "/" + name); };
    };
    world_.service = get("Service");
    world_.secret = get("Secret");
    world_.gateway = get("Gateway");
    world_.slices = [this](const std::string&, const std::string& name) { return slices_[name]; };
    world_.ns = [this](const std::string& name) { return find("Namespace//" + name); };
    world_.team = [this](const std::string& name) { return find("Team//" + name); };
    world_.now = base::SystemTime(std::chrono::seconds(1'800'000'000));
  }
  void add(const std::string& key, std::string_view text) { objects_[key] = object(text); }
  client::ObjectPtr find(const std::string& key) { return objects_.contains(key) ? objects_[key] : nullptr; }
  // `spec` without parentRefs, which name the edge's https listener.
  void route(std::string_view name, std::string_view spec, std::string_view ns = "shop-dev",
             std::string_view created = "2026-01-01T00:00:00Z", std::string_view section = "https") {
    json::value out = json::parse(json::string_view(spec.data(), spec.size()));
    json::value whole = json::object{
        {"metadata", json::object{{"name", name}, {"namespace", ns}, {"creationTimestamp", created}}}, {"spec", out}};
    base::set(whole, "spec.parentRefs",
              json::array{json::object{{"name", "edge"}, {"namespace", "edge"}, {"sectionName", section}}});
    world_.routes.push_back(std::make_shared<const json::value>(std::move(whole)));
  }
  static std::string reason(const Compiled& c, const std::string& key, std::string_view type) {
    for (const Condition& condition : c.http_routes.at(key).at(0).conditions) {
      if (condition.type == type) return condition.reason;
    }
    return "";
  }
  base::Config config_;
  World world_;
  std::map<std::string, client::ObjectPtr> objects_;
  std::map<std::string, std::vector<client::ObjectPtr>> slices_;
};

TEST_F(Compile, WeightsAreSharedAmongPods) {
  route("canary", R"({"hostnames":["www.shop.localhost"],"rules":[{"backendRefs":[
      {"name":"v1","port":80,"weight":90},{"name":"v2","port":80,"weight":10}]}]})");
  const Compiled out = compile(world_, config_);
  EXPECT_EQ(reason(out, "shop-dev/canary", "Accepted"), "Accepted");
  EXPECT_EQ(reason(out, "shop-dev/canary", "ResolvedRefs"), "ResolvedRefs");
  ASSERT_EQ(out.routes.size(), 1u);
  const Route& r = out.routes.begin()->second;
  ASSERT_EQ(r.endpoints.size(), 3u);
  EXPECT_EQ(r.endpoints[0].weight, 256) << "45 of 100";
  EXPECT_EQ(r.endpoints[1].weight, 256);
  EXPECT_EQ(r.endpoints[2].weight, 57) << "10 of 100";
  EXPECT_FALSE(r.plain_http);
  EXPECT_TRUE(out.hosts.contains("www.shop.localhost"));
  ASSERT_EQ(out.certificates.size(), 1u);
  EXPECT_EQ(out.certificates.begin()->second.pem, "");
}

TEST_F(Compile, HostsOfOthersAreRefused) {
  const std::string_view rules = R"("rules":[{"backendRefs":[{"name":"v1","port":80}]}]})";
  for (const char* host : {"www.other.localhost", "localhost", "*.localhost", "example.com", "test"}) {
    world_.routes.clear();
    route("x", fmt::format(R"({{"hostnames":["{}"],{})", host, rules));
    const Compiled out = compile(world_, config_);
    EXPECT_EQ(reason(out, "shop-dev/x", "Accepted"), "HostnameNotAllowed") << host;
    EXPECT_TRUE(out.rules.empty()) << host;
    EXPECT_TRUE(out.certificates.empty()) << host;
  }
  for (const char* host :
       {"a.shop.localhost", "shop.localhost", "*.dev.shop.localhost", "shop.test", "a.b.shop.test"}) {
    world_.routes.clear();
    route("x", fmt::format(R"({{"hostnames":["{}"],{})", host, rules));
    EXPECT_EQ(compile(world_, config_).rules.size(), 1u) << host;
  }
}

TEST_F(Compile, AGrantDoesNotReachIntoThePlatformsDomain) {
  add("Team//shop", R"({"metadata":{"name":"shop","annotations":{"mainstay.dev/allowed-hosts":"*.localhost"}}})");
  EXPECT_FALSE(may_claim(world_, "shop-dev", "www.other.localhost", config_));
  EXPECT_TRUE(may_claim(world_, "edge", "www.other.localhost", config_)) << "administrators may";
}

TEST_F(Compile, TheOlderRouteKeepsWhatBothClaim) {
  const std::string_view spec = R"({"hostnames":["shop.test"],"rules":[{"backendRefs":[{"name":"v1","port":80}]}]})";
  route("young", spec, "shop-dev", "2026-02-01T00:00:00Z");
  route("old", spec, "shop-dev", "2026-01-01T00:00:00Z");
  const Compiled out = compile(world_, config_);
  ASSERT_EQ(out.rules.size(), 1u);
  EXPECT_EQ(out.rules[0].source, "HTTPRoute shop-dev/old");
  EXPECT_EQ(reason(out, "shop-dev/young", "Accepted"), "UnsupportedValue");
}

TEST_F(Compile, OtherNamespacesNeedAGrant) {
  const std::string_view spec =
      R"({"hostnames":["a.other.localhost"],"rules":[{"backendRefs":[{"name":"v1","namespace":"shop-dev","port":80}]}]})";
  route("x", spec, "other");
  Compiled out = compile(world_, config_);
  EXPECT_EQ(reason(out, "other/x", "ResolvedRefs"), "RefNotPermitted");
  EXPECT_TRUE(out.routes.begin()->second.endpoints.empty());
  EXPECT_TRUE(out.routes.begin()->second.broken);
  world_.grants = {object(R"({"metadata":{"namespace":"shop-dev"},"spec":{
      "from":[{"group":"gateway.networking.k8s.io","kind":"HTTPRoute","namespace":"other"}],"to":[{"group":"","kind":"Service","name":"v1"}]}})")};
  out = compile(world_, config_);
  EXPECT_EQ(reason(out, "other/x", "ResolvedRefs"), "ResolvedRefs");
  EXPECT_EQ(out.routes.begin()->second.endpoints.size(), 2u);
  EXPECT_FALSE(out.routes.begin()->second.broken);
}

TEST_F(Compile, WhatIsMissingIsSaid) {
  route("a", R"({"hostnames":["a.shop.localhost"],"rules":[{"backendRefs":[{"name":"nope","port":80}]}]})");
  route("b", R"({"hostnames":["b.shop.localhost"],"rules":[]})", "shop-dev", "2026-01-01T00:00:00Z", "nope");
  route("c", R"({"rules":[{"backendRefs":[{"name":"v1","port":80}]}]})");
  const Compiled out = compile(world_, config_);
  EXPECT_EQ(reason(out, "shop-dev/a", "ResolvedRefs"), "BackendNotFound");
  EXPECT_EQ(reason(out, "shop-dev/b", "Accepted"), "NoMatchingParent");
  EXPECT_EQ(reason(out, "shop-dev/c", "Accepted"), "NoMatchingListenerHostname");
  EXPECT_EQ(out.gateways.at("edge/edge")[1].attached, 1);
}

TEST_F(Compile, IngressesAreRulesToo) {
  world_.ingresses = {object(R"({"metadata":{"name":"i","namespace":"shop-dev"},"spec":{"rules":[
      {"host":"shop.test","http":{"paths":[{"path":"/a","pathType":"Prefix","backend":{"service":{"name":"v1","port":{"number":80}}}}]}},
      {"host":"www.other.localhost","http":{"paths":[{"pathType":"Prefix","backend":{"service":{"name":"v1","port":{"number":80}}}}]}}]}})")};
  const Compiled out = compile(world_, config_);
  ASSERT_EQ(out.rules.size(), 1u);
  EXPECT_EQ(out.rules[0].matches[0].path, "/a");
  EXPECT_FALSE(out.ingresses.at("shop-dev/i").status) << "one of its hosts is another team's";
}

TEST_F(Compile, ADefaultBackendTakesTheRest) {
  const std::string_view backend = R"({"service":{"name":"v2","port":{"number":80}}})";
  world_.ingresses = {object(fmt::format(R"({{"metadata":{{"name":"i","namespace":"shop-dev"}},"spec":{{
      "defaultBackend":{0},"tls":[{{"hosts":["www.shop.test"]}}],"rules":[{{"host":"shop.test","http":{{"paths":[
      {{"path":"/a","pathType":"Prefix","backend":{{"service":{{"name":"v1","port":{{"number":80}}}}}}}}]}}}}]}}}})",
                                         backend)),
                      object(fmt::format(R"({{"metadata":{{"name":"all","namespace":"shop-dev"}},"spec":{{
      "defaultBackend":{0}}}}})",
                                         backend))};
  const Compiled out = compile(world_, config_);
  ASSERT_EQ(out.rules.size(), 3u);
  EXPECT_EQ(out.rules[1].matches[0].host, "shop.test");
  EXPECT_EQ(out.rules[1].matches[0].path, "/");
  EXPECT_EQ(out.rules[2].matches[0].host, "www.shop.test");
  EXPECT_EQ(out.routes.at(out.rules[1].key).service, "shop-dev/v2");
  EXPECT_TRUE(out.ingresses.at("shop-dev/i").status);
  EXPECT_FALSE(out.ingresses.at("shop-dev/all").status) << "for every host there is: other teams', too";
}

TEST_F(Compile, AnIngressWrittenForAnotherControllerIsNotServed) {
  const auto verdict = [this](std::string_view annotations, std::string_view ingress_class) {
    world_.ingresses = {object(fmt::format(
        R"({{"metadata":{{"name":"i","namespace":"shop-dev","annotations":{}}},"spec":{{"ingressClassName":"{}","rules":[
        {{"host":"shop.test","http":{{"paths":[{{"pathType":"Prefix","backend":{{"service":{{"name":"v1","port":{{"number":80}}}}}}}}]}}}}]}}}})",
        annotations, ingress_class))};
    const Compiled out = compile(world_, config_);
    const auto at = out.ingresses.find("shop-dev/i");
    return at == out.ingresses.end() ? std::string("not ours") : at->second.message;
  };
  world_.ingress_classes = {object(R"({"metadata":{"name":"mainstay"},"spec":{"controller":"mainstay.dev/gateway"}})"),
                            object(R"({"metadata":{"name":"theirs"},"spec":{"controller":"example.com/theirs"}})")};
  EXPECT_EQ(verdict("{}", "mainstay"), "");
  EXPECT_EQ(verdict(R"({"nginx.ingress.kubernetes.io/ssl-redirect":"true"})", "mainstay"), "");
  EXPECT_NE(verdict(R"({"nginx.ingress.kubernetes.io/ssl-redirect":"false"})", "mainstay"), "");
  EXPECT_NE(verdict(R"({"nginx.ingress.kubernetes.io/whitelist-source-range":"10.0.0.0/8"})", "mainstay"), "");
  EXPECT_EQ(verdict(R"({"nginx.ingress.kubernetes.io/auth-url":"x"})", "theirs"), "not ours");
  EXPECT_EQ(verdict("{}", "nginx"), "there is no IngressClass nginx: leave ingressClassName out, or write mainstay");
}

TEST_F(Compile, ListenersSayWhichRoutesTheyTake) {
  const auto listen = [this](std::string_view listeners) {
    world_.gateways = {object(fmt::format(
        R"({{"metadata":{{"name":"edge","namespace":"edge"}},"spec":{{"gatewayClassName":"mainstay","listeners":[{}]}}}})",
        listeners))};
    return compile(world_, config_);
  };
  const std::string_view spec = R"({"hostnames":["shop.test"],"rules":[{"backendRefs":[{"name":"v1","port":80}]}]})";
  route("web", spec);
  Compiled out = listen(R"({"name":"https","port":443,"protocol":"HTTPS","allowedRoutes":{
      "kinds":[{"kind":"GRPCRoute"},{"kind":"TCPRoute"}],"namespaces":{"from":"All"}}})");
  EXPECT_EQ(reason(out, "shop-dev/web", "Accepted"), "NotAllowedByListeners");
  EXPECT_EQ(out.gateways.at("edge/edge")[0].kinds, std::vector<std::string>{"GRPCRoute"});
  EXPECT_EQ(out.gateways.at("edge/edge")[0].conditions[1].reason, "InvalidRouteKinds");
  for (const auto& [selector, taken] :
       {std::pair{R"({"matchLabels":{"mainstay.dev/team":"shop"}})", true},
        std::pair{R"({"matchExpressions":[{"key":"mainstay.dev/team","operator":"NotIn","values":["shop"]}]})", false},
        std::pair{
            R"({"matchLabels":{"mainstay.dev/team":"shop"},"matchExpressions":[{"key":"x","operator":"Exists"}]})",
            false}}) {
    out = listen(fmt::format(
        R"({{"name":"https","port":443,"protocol":"HTTPS","allowedRoutes":{{"namespaces":{{"from":"Selector","selector":{}}}}}}})",
        selector));
    EXPECT_EQ(out.rules.size(), taken ? 1u : 0u) << selector;
  }
  out = listen(R"({"name":"https","port":443,"protocol":"HTTPS"},{"name":"again","port":8443,"protocol":"HTTPS"})");
  EXPECT_EQ(out.gateways.at("edge/edge")[1].conditions[3].reason, "HostnameConflict");
  out = listen(R"({"name":"off","port":9999,"protocol":"HTTPS"},{"name":"https","port":443,"protocol":"HTTPS",
      "allowedRoutes":{"namespaces":{"from":"All"}}})");
  EXPECT_EQ(out.gateways.at("edge/edge")[0].conditions[0].reason, "PortUnavailable");
  EXPECT_EQ(out.gateways.at("edge/edge")[1].conditions[3].reason, "NoConflicts");
  EXPECT_EQ(out.rules.size(), 1u);
}

TEST_F(Compile, GrpcRoutesAreServedInHttp2) {
  route("calls", R"({"hostnames":["shop.test"],"rules":[{"matches":[{"method":{"service":"x.Greeter"}}],
      "backendRefs":[{"name":"v1","port":80}]}]})");
  std::swap(world_.routes, world_.grpc_routes);
  const Compiled out = compile(world_, config_);
  ASSERT_EQ(out.rules.size(), 1u);
  EXPECT_EQ(out.rules[0].source, "GRPCRoute shop-dev/calls");
  EXPECT_EQ(out.rules[0].matches[0].path, "/x.Greeter");
  EXPECT_TRUE(out.routes.at(out.rules[0].key).http2);
  ASSERT_TRUE(out.grpc_routes.contains("shop-dev/calls"));
  EXPECT_TRUE(out.http_routes.empty());
}

TEST_F(Compile, ARuleThatCannotBeServedIsSaid) {
  route("x", R"({"hostnames":["a.shop.localhost"],"rules":[{"backendRefs":[{"name":"v1","port":80}]},
      {"matches":[{"path":{"value":"/old"}}],"filters":[{"type":"RequestRedirect"}]}]})");
  const Compiled out = compile(world_, config_);
  ASSERT_EQ(out.rules.size(), 1u);
  EXPECT_EQ(reason(out, "shop-dev/x", "PartiallyInvalid"), "UnsupportedValue");
}

TEST_F(Compile, AnUnreadableRateLimitIsNoLackOfOne) {
  route("x", R"({"hostnames":["a.shop.localhost"],"rules":[{"backendRefs":[{"name":"v1","port":80}]}]})");
  json::value changed = *world_.routes[0];
  base::set(changed, {"metadata", "annotations", "mainstay.dev/rate-limit"}, json::string("lots"));
  world_.routes[0] = std::make_shared<const json::value>(changed);
  const Compiled out = compile(world_, config_);
  EXPECT_TRUE(out.rules.empty());
  EXPECT_EQ(reason(out, "shop-dev/x", "Accepted"), "UnsupportedValue");
}

TEST(TlsPem, OnlyAKeyWithItsCertificate) {
  const auto authority = crypto::Authority::create("test", base::real_clock());
  const auto key = crypto::PrivateKey::generate(), other = crypto::PrivateKey::generate();
  crypto::CertificateRequest request;
  request.dns_names = {"shop.test"};
  request.server = true;
  const auto leaf = authority.issue(request, key.public_pem(), base::real_clock());
  ASSERT_TRUE(leaf);
  const auto secret = [](const std::string& certificate, const std::string& text) {
    return json::value(
        json::object{{"data", json::object{{"tls.crt", base::base64(certificate)}, {"tls.key", base::base64(text)}}}});
  };
  const auto now = base::real_clock().now();
  const auto made = tls_pem(secret("junk before\n" + *leaf + "\n\njunk after", key.to_pem()), now);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->find("junk"), std::string::npos);
  EXPECT_FALSE(tls_pem(secret(*leaf, other.to_pem()), now));
  EXPECT_FALSE(tls_pem(secret("", key.to_pem()), now));
  EXPECT_FALSE(tls_pem(secret(*leaf, ""), now));
  EXPECT_FALSE(tls_pem(secret(*leaf, key.to_pem()), now + std::chrono::hours(24 * 4000)));
}

// One such certificate and HAProxy would not start.
TEST(TlsPem, NoKeyThatTlsServersRefuse) {
  const auto text_of = [](BIO* out) {
    char* data = nullptr;
    const long size = BIO_get_mem_data(out, &data);
    std::string text(data, static_cast<std::size_t>(size));
    BIO_free(out);
    return base::base64(text);
  };
  for (const unsigned bits : {1024u, 2048u}) {
    EVP_PKEY* key = EVP_RSA_gen(bits);
    X509* certificate = X509_new();
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, key);
    ASSERT_GT(X509_sign(certificate, key, EVP_sha256()), 0);
    BIO *shown = BIO_new(BIO_s_mem()), *kept = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(shown, certificate);
    PEM_write_bio_PrivateKey(kept, key, nullptr, nullptr, 0, nullptr, nullptr);
    X509_free(certificate);
    EVP_PKEY_free(key);
    const json::value secret =
        json::object{{"data", json::object{{"tls.crt", text_of(shown)}, {"tls.key", text_of(kept)}}}};
    EXPECT_EQ(tls_pem(secret, base::real_clock().now()).has_value(), bits == 2048) << bits;
  }
}

}  // namespace
}  // namespace mainstay::routing
