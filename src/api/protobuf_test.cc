#include "api/protobuf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/test_server.h"
#include "base/encoding.h"

namespace mainstay::embedded {
base::EmbeddedFiles api_files();
}

namespace mainstay::api {
namespace {
namespace json = base::json;
using testing::HasSubstr;

// The little of an encoder that tests need.
std::string varint(std::uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}
std::string number(int field, std::int64_t value) {
  return varint(field << 3) + varint(static_cast<std::uint64_t>(value));
}
std::string bytes(int field, std::string_view value) {
  return varint(field << 3 | 2) + varint(value.size()) + std::string(value);
}
std::string object(std::string_view api_version, std::string_view kind, std::string_view raw) {
  return std::string("k8s\0", 4) + bytes(1, bytes(1, api_version) + bytes(2, kind)) + bytes(2, raw) + bytes(3, "") +
         bytes(4, "");
}

const TypeRegistry& types() {
  static const TypeRegistry loaded = [] {
    TypeRegistry made;
    if (auto added = made.add_files(embedded::api_files()); !added) throw std::runtime_error(added.error().message);
    if (auto resolved = made.resolve(); !resolved) throw std::runtime_error(resolved.error().message);
    return made;
  }();
  return loaded;
}
base::Result<json::value> decode_protobuf(std::string_view body) { return types().protobuf().decode(body); }

// As kubectl 1.32 sent it for `kubectl create configmap a --from-literal=x=y`.
const std::string kFromKubectl = base::hex_decode(
                                     "6b3873000a0f0a0276311209436f6e6669674d6170121b0a110a01611200"
                                     "1a0022002a00320038004200120"
                                     "60a01781201791a002200")
                                     .value();

TEST(ProtobufTest, ReadsWhatKubectlSends) {
  auto decoded = decode_protobuf(kFromKubectl);
  ASSERT_TRUE(decoded) << decoded.error().message;
  EXPECT_EQ(*decoded,
            json::parse(R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"},"data":{"x":"y"}})"));
}

TEST(ProtobufTest, ReadsEveryKindOfField) {
  const std::string container =
      bytes(1, "c") + bytes(2, "nginx") + bytes(6, number(2, 0) + number(3, 80) + bytes(4, "TCP")) +
      bytes(8, bytes(1, bytes(1, "cpu") + bytes(2, bytes(1, "500m")))) +
      bytes(10, bytes(1, bytes(2, bytes(1, "/") + bytes(2, number(1, 1) + number(2, 0) + bytes(3, "http")))) +
                    number(2, -5));
  const std::string template_ =
      bytes(1, bytes(11, bytes(1, "app") + bytes(2, "web"))) + bytes(2, bytes(2, container) + number(4, 0));
  const std::string spec = number(1, 0) + bytes(2, bytes(1, bytes(1, "app") + bytes(2, "web"))) + bytes(3, template_) +
                           number(5, 0) + number(99, 7);
  const std::string meta = bytes(1, "web") + bytes(3, "") + bytes(8, "") + bytes(9, number(1, 1700000000));
  auto decoded = decode_protobuf(object("apps/v1", "Deployment", bytes(1, meta) + bytes(2, spec)));
  ASSERT_TRUE(decoded) << decoded.error().message;
  EXPECT_EQ(*decoded, json::parse(R"({"apiVersion":"apps/v1","kind":"Deployment",
    "metadata":{"name":"web","deletionTimestamp":"2023-11-14T22:13:20Z"},
    "spec":{"replicas":0,"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},
      "spec":{"terminationGracePeriodSeconds":0,"containers":[{"name":"c","image":"nginx","ports":[{"containerPort":80,"protocol":"TCP"}],
        "resources":{"limits":{"cpu":"500m"}},"livenessProbe":{"httpGet":{"path":"/","port":"http"},"initialDelaySeconds":-5}}]}}}})"))
      << base::to_json(*decoded);
}

TEST(ProtobufTest, ReadsBytesTimesAndNamedLists) {
  auto secret = decode_protobuf(object("v1", "Secret", bytes(2, bytes(1, "k") + bytes(2, std::string("\0\xff", 2)))));
  EXPECT_EQ(base::get_string(*secret, "data.k"), "AP8=");
  auto lease = decode_protobuf(object("coordination.k8s.io/v1", "Lease",
                                      bytes(2, bytes(1, "me") + bytes(4, number(1, 1700000000) + number(2, 5000)))));
  EXPECT_EQ(base::get_string(*lease, "spec.renewTime"), "2023-11-14T22:13:20.000005Z");
  auto review = decode_protobuf(
      object("authorization.k8s.io/v1", "SubjectAccessReview",
             bytes(2, bytes(3, "ann") + bytes(5, bytes(1, "scope") + bytes(2, bytes(1, "a") + bytes(1, "b"))))));
  EXPECT_EQ(*base::find(*review, "spec.extra.scope"), (json::array{"a", "b"})) << base::to_json(*review);
}

TEST(ProtobufTest, RefusesWhatIsBroken) {
  EXPECT_FALSE(decode_protobuf(""));
  EXPECT_FALSE(decode_protobuf("{}"));
  for (std::size_t cut = 5; cut < kFromKubectl.size(); ++cut) decode_protobuf(kFromKubectl.substr(0, cut));
  EXPECT_FALSE(decode_protobuf(object("v1", "ConfigMap", bytes(1, bytes(1, "\xff\xfe")))));
  EXPECT_FALSE(decode_protobuf(object("v1", "ConfigMap", number(1, 5))));
  EXPECT_FALSE(decode_protobuf(object("v1", "ConfigMap", "\x0a\xff\xff\xff\xff\x0f")));
  EXPECT_THAT(decode_protobuf(object("v1", "Unheard", "")).error().message, HasSubstr("application/json"));
}

TEST(ProtobufTest, TheServerTakesItWhereItTakesObjects) {
  TestServer t;
  t.run([&]() -> async::Task<> {
    const UserInfo root = TestServer::master();
    const std::string path = "/api/v1/namespaces/shop/configmaps";
    auto made = co_await t.call(root, "POST", path, kFromKubectl, std::string(kProtobufMediaType),
                                "application/vnd.kubernetes.protobuf,application/json");
    EXPECT_EQ(made.status, 201) << made.text;
    EXPECT_EQ(base::get_string(made.json, "data.x"), "y");
    auto gone = co_await t.call(root, "DELETE", path + "/a", object("v1", "DeleteOptions", bytes(4, "Background")),
                                std::string(kProtobufMediaType));
    EXPECT_EQ(gone.status, 200) << gone.text;
    auto patch = co_await t.call(root, "PATCH", path + "/a", kFromKubectl, std::string(kProtobufMediaType));
    EXPECT_EQ(patch.status, 415);
  });
}

TEST(ProtobufTest, ChecksItsTables) {
  ProtobufMessages messages;
  EXPECT_TRUE(messages.add("A", json::parse(R"({"1":"b B","2":"names []string"})"), "f"));
  EXPECT_THAT(messages.check().error().message, HasSubstr("unknown message B"));
  EXPECT_TRUE(messages.add("B", json::object{}, "f"));
  EXPECT_TRUE(messages.check());
  EXPECT_FALSE(messages.add("B", json::object{}, "f"));
  EXPECT_FALSE(messages.add("C", json::parse(R"({"x":"b B"})"), "f"));
  EXPECT_FALSE(messages.add("D", json::parse(R"({"1":"b"})"), "f"));
}

}  // namespace
}  // namespace mainstay::api
