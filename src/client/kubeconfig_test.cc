#include "client/kubeconfig.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/yaml.h"

namespace mainstay::client {
namespace {
using testing::HasSubstr;

base::Result<ClusterAccess> read(std::string_view cluster, std::string_view user, std::string_view context = "") {
  std::string text = "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u, namespace: shop}}]\n";
  text += "clusters: [{name: k, cluster: {" + std::string(cluster) + "}}]\nusers: [{name: u, user: {" +
          std::string(user) + "}}]\n";
  return read_kubeconfig(base::parse_yaml(text).value(), context);
}

TEST(KubeconfigTest, ReadsServerAndCredentials) {
  auto access = read("server: 'https://10.0.0.1:6443/k8s/c-1/', certificate-authority-data: Q0E=", "token: abc");
  ASSERT_TRUE(access) << access.error().message;
  EXPECT_EQ(access->origin, "https://10.0.0.1:6443");
  EXPECT_EQ(access->path_prefix, "/k8s/c-1");
  EXPECT_EQ(access->tls.ca_pem, "CA");
  EXPECT_EQ(access->authorization, "Bearer abc");
  EXPECT_EQ(access->ns, "shop");
  access = read("server: 'https://h:1', insecure-skip-tls-verify: true", "username: ann, password: pw");
  EXPECT_EQ(access->authorization, "Basic YW5uOnB3");
  EXPECT_TRUE(access->tls.insecure);
  access = read("server: 'https://h:1'", "client-certificate-data: Q0VSVA==, client-key-data: S0VZ");
  EXPECT_EQ(access->tls.certificate_pem, "CERT");
  EXPECT_EQ(access->tls.private_key_pem, "KEY");
}

TEST(KubeconfigTest, SaysWhatItCannotDo) {
  EXPECT_THAT(read("server: 'https://h:1'", "exec: {command: aws}").error().message, HasSubstr("plug-in"));
  EXPECT_THAT(read("server: 'https://h:1', proxy-url: 'http://p'", "token: a").error().message, HasSubstr("proxy-url"));
  EXPECT_THAT(read("server: nonsense", "token: a").error().message, HasSubstr("no URL"));
  EXPECT_THAT(read("server: 'https://h:1'", "token: a", "other").error().message, HasSubstr("no entry \"other\""));
  EXPECT_THAT(read("server: 'https://h:1', certificate-authority: /nonexistent/ca", "token: a").error().message,
              HasSubstr("/nonexistent/ca"));
  EXPECT_THAT(read("server: 'https://h:1', certificate-authority-data: '%'", "token: a").error().message,
              HasSubstr("base64"));
  EXPECT_THAT(read_kubeconfig(boost::json::object{}).error().message, HasSubstr("current-context"));
}

}  // namespace
}  // namespace mainstay::client
