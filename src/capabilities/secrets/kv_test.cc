#include <gtest/gtest.h>

#include "capabilities/secrets/kv_entry.h"
#include "capabilities/secrets/sys_routes.h"
#include "capabilities/secrets/vault_answer.h"

namespace mainstay::secrets {
namespace {

const base::SystemTime kNow{std::chrono::seconds(1'700'000'000)};

TEST(KvPath, AcceptsAndRefuses) {
  const auto path = KvPath::entry("shop/web/db");
  ASSERT_TRUE(path);
  EXPECT_EQ(path->team, "shop");
  EXPECT_EQ(path->path, "web/db");
  for (const char* bad : {"", "shop", "shop/", "shop//db", "shop/../other/db", "shop/./db", "Shop/db", "/shop/db",
                          "shop/db/", "shop/a\nb", "-shop/db"})
    EXPECT_FALSE(KvPath::entry(bad)) << bad;
  EXPECT_FALSE(KvPath::entry("shop/" + std::string(600, 'a')));
  EXPECT_EQ(KvPath::folder("shop/")->path, "");
  EXPECT_EQ(KvPath::folder("shop/web/")->path, "web");
}

TEST(VaultHeaders, WhatIsNotOfferedIsRefused) {
  const auto of = [](const char* name, const char* value) {
    net::Headers headers;
    headers.set(name, value);
    return unsupported(headers);
  };
  for (const char* ttl : {"60", "5m", "1h", "soon"}) {
    const auto refused = of("X-Vault-Wrap-TTL", ttl);
    ASSERT_TRUE(refused) << ttl;
    EXPECT_EQ(refused->status, 400);
  }
  EXPECT_FALSE(of("X-Vault-Wrap-TTL", "0"));
  EXPECT_FALSE(of("X-Vault-Wrap-TTL", ""));
  EXPECT_TRUE(of("X-Vault-Namespace", "other/"));
  EXPECT_FALSE(of("X-Vault-Namespace", "root/"));
  EXPECT_FALSE(of("Accept", "*/*"));
}

TEST(KvBody, Write) {
  const auto body = parse_write(R"({"data":{"a":1},"options":{"cas":"2"}})");
  ASSERT_TRUE(body);
  EXPECT_EQ(body->cas, 2);
  EXPECT_EQ(parse_write(R"({"data":{}})")->cas, std::nullopt);
  for (const char* bad :
       {"", "[]", "{}", R"({"data":"x"})", R"({"data":{},"options":{"cas":-1}})", R"({"data":{},"options":1})"})
    EXPECT_FALSE(parse_write(bad)) << bad;
  EXPECT_EQ(parse_write("{\"data\":{\"a\":\"" + std::string(kMaxValue, 'x') + "\"}}").error().code,
            base::ErrorCode::kTooLarge);
}

TEST(KvBody, VersionsAndMetadata) {
  EXPECT_EQ(parse_versions(R"({"versions":[1,"2"]})")->size(), 2u);
  EXPECT_FALSE(parse_versions(R"({"versions":[]})"));
  EXPECT_FALSE(parse_versions(R"({"versions":[0]})"));
  EXPECT_EQ(parse_metadata(R"({"max_versions":5})")->max_versions, 5);
  EXPECT_FALSE(parse_metadata(R"({"max_versions":5000})"));
  EXPECT_FALSE(parse_metadata(R"({"delete_version_after":"1h"})")) << "not silently ignored";
  EXPECT_FALSE(parse_metadata(R"({"custom_metadata":{"a":1}})"));
}

TEST(KvEntry, VersionsAndCheckAndSet) {
  json::value entry = new_entry({"shop", "db"}, kNow);
  EXPECT_TRUE(check_cas(entry, 0));
  EXPECT_FALSE(check_cas(entry, 1));
  EXPECT_EQ(add_version(entry, "s1", "ann", kNow), 1);
  EXPECT_FALSE(check_cas(entry, 0));
  EXPECT_TRUE(check_cas(entry, 1));
  MetadataBody strict;
  strict.cas_required = true;
  strict.max_versions = 2;
  change_metadata(entry, strict, false, kNow);
  EXPECT_FALSE(check_cas(entry, std::nullopt));
  add_version(entry, "s2", "ann", kNow);
  EXPECT_EQ(add_version(entry, "s3", "ann", kNow), 3);
  EXPECT_EQ(find_version(entry, 1), nullptr) << "over the limit of two";
  EXPECT_EQ(base::get_string(*find_version(entry, 0), "sealed"), "s3");
  EXPECT_EQ(base::get_int(json::value(metadata_answer(entry)), "oldest_version"), 2);
}

TEST(KvEntry, DeleteUndeleteDestroy) {
  json::value entry = new_entry({"shop", "db"}, kNow);
  add_version(entry, "s1", "ann", kNow);
  delete_versions(entry, {1, 7}, kNow);
  EXPECT_FALSE(readable(*find_version(entry, 1)));
  undelete_versions(entry, {1});
  EXPECT_TRUE(readable(*find_version(entry, 1)));
  destroy_versions(entry, {1});
  undelete_versions(entry, {1});
  EXPECT_FALSE(readable(*find_version(entry, 1))) << "destroyed for good";
  EXPECT_EQ(base::get_string(*find_version(entry, 1), "sealed"), "");
}

TEST(KvEntry, Children) {
  const std::vector<std::string> paths{"db", "web/a", "web/b/c", "webx"};
  EXPECT_EQ(children(paths, ""), (std::vector<std::string>{"db", "web/", "webx"}));
  EXPECT_EQ(children(paths, "web"), (std::vector<std::string>{"a", "b/"}));
  EXPECT_TRUE(children(paths, "db").empty());
}

TEST(VaultToken, StandsInAllRequestsButLoginsAndProbes) {
  const auto token_at = [](std::string path) {
    net::Request request;
    request.path = std::move(path);
    request.headers.set("X-Vault-Token", "one");
    return vault_token(request);
  };
  for (const char* path : {"/v1/secret/data/shop/db", "/v1/secret/data/shop/login",
                           "/v1/secret/metadata/shop/web/login", "/v1/auth/token/lookup-self"})
    EXPECT_EQ(token_at(path), "one") << path;
  for (const char* path :
       {"/v1/auth/kubernetes/login", "/v1/auth/jwt/login", "/v1/sys/health", "/v1/sys/seal-status", "/api/v1/pods"})
    EXPECT_EQ(token_at(path), std::nullopt) << path;
}

}  // namespace
}  // namespace mainstay::secrets
