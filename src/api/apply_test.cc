// Server-side apply below the verbs: merge order, removal, ownership. tests/api/apply.yaml has the behaviour as a
// client sees it.
#include <gtest/gtest.h>

#include "api/managed_fields.h"
#include "api/test_json.h"
#include "api/test_types.h"
#include "api/verbs.h"
#include "base/status.h"

namespace mainstay::api {
namespace {
namespace json = base::json;

const base::SystemTime kNow = base::parse_rfc3339("2026-03-01T12:00:00Z").value();

// An object of type Pod under the hands of several managers.
class PodUnderApply {
 public:
  PodUnderApply& apply(std::string_view manager, std::string_view spec, bool force = false) {
    json::value applied = json::object{
        {"apiVersion", "v1"}, {"kind", "Pod"}, {"metadata", json::object{{"name", "a"}}}, {"spec", js(spec)}};
    object = server_side_apply(*schema, object.is_null() ? nullptr : &object, applied, manager, force, "v1", kNow);
    return *this;
  }
  PodUnderApply& update(std::string_view manager, std::string_view merge_patch) {
    const json::value before = object;
    base::apply_merge_patch(object, js(merge_patch));
    track_managed_fields(*schema, before.is_null() ? nullptr : &before, object, manager, "", "v1", kNow);
    return *this;
  }
  std::string spec() const { return json::serialize(object.at("spec")); }
  std::vector<std::string> fields(std::string_view manager) const {
    for (const Manager& one : read_managers(object)) {
      if (one.name == manager) return one.fields.paths();
    }
    return {};
  }

  const std::shared_ptr<const Schema> schema = builtin("", "pods").schema;
  json::value object;
};

std::string text(std::string_view value) { return json::serialize(js(value)); }

TEST(Apply, KeepsTheAppliedOrder) {
  PodUnderApply pod;
  pod.apply("a", "{'containers':[{'name':'x'},{'name':'y'},{'name':'z'}]}").apply("b", "{'containers':[{'name':'s'}]}");
  EXPECT_EQ(pod.spec(), text("{'containers':[{'name':'x'},{'name':'y'},{'name':'z'},{'name':'s'}]}"));
  pod.apply("a", "{'containers':[{'name':'z'},{'name':'n'},{'name':'x'},{'name':'y'}]}");
  EXPECT_EQ(pod.spec(), text("{'containers':[{'name':'z'},{'name':'n'},{'name':'x'},{'name':'y'},{'name':'s'}]}"));
}

TEST(Apply, RemovesItemsWithAllThatIsBelow) {
  PodUnderApply pod;
  pod.apply("a", "{'containers':[{'name':'x','image':'1'},{'name':'y','image':'1'}]}");
  // Defaults that nobody owns go with the item.
  base::set(pod.object, "spec.containers",
            js("[{'name':'x','image':'1','tty':true},{'name':'y','image':'1','tty':true}]"));
  pod.apply("a", "{'containers':[{'name':'y','image':'1'}]}");
  EXPECT_EQ(pod.spec(), text("{'containers':[{'name':'y','image':'1','tty':true}]}"));
}

TEST(Apply, KeepsAnItemThatAnotherAppliesToo) {
  PodUnderApply pod;
  pod.apply("a", "{'containers':[{'name':'x','image':'1'}]}").apply("b", "{'containers':[{'name':'x','tty':true}]}");
  pod.apply("a", "{'containers':[]}");
  EXPECT_EQ(pod.spec(), text("{'containers':[{'name':'x','tty':true}]}"));
}

TEST(Apply, RemovesObjectsItEmptied) {
  PodUnderApply pod;
  pod.apply("a", "{'hostname':'h','securityContext':{'runAsUser':1}}").apply("a", "{'hostname':'h'}");
  EXPECT_EQ(pod.spec(), text("{'hostname':'h'}"));
  pod.apply("a", "{'hostname':'h','securityContext':{'runAsUser':1}}").apply("b", "{'securityContext':{'fsGroup':2}}");
  pod.apply("a", "{'hostname':'h'}");
  EXPECT_EQ(pod.spec(), text("{'hostname':'h','securityContext':{'fsGroup':2}}"));
}

TEST(Apply, AtomicPartsAreOneField) {
  PodUnderApply pod;
  pod.apply("a", "{'nodeSelector':{'x':'1'},'tolerations':[{'key':'k'}]}");
  EXPECT_EQ(pod.fields("a"), (std::vector<std::string>{".spec.nodeSelector", ".spec.tolerations"}));
  EXPECT_THROW(pod.apply("b", "{'nodeSelector':{'y':'2'}}"), base::StatusError);
  pod.apply("b", "{'nodeSelector':{'y':'2'}}", true);
  EXPECT_EQ(pod.spec(), text("{'nodeSelector':{'y':'2'},'tolerations':[{'key':'k'}]}"));
  EXPECT_EQ(pod.fields("a"), std::vector<std::string>{".spec.tolerations"});
}

TEST(Apply, SharesWhatIsEqual) {
  PodUnderApply pod;
  pod.apply("a", "{'hostname':'h'}").apply("b", "{'hostname':'h'}");
  EXPECT_EQ(pod.fields("a"), pod.fields("b"));
  pod.apply("a", "{}");
  EXPECT_EQ(pod.spec(), text("{'hostname':'h'}"));
}

TEST(Apply, OwnsNothingThatWasThereBefore) {
  PodUnderApply pod;
  pod.object = js("{'metadata':{'name':'a'},'spec':{'hostname':'h','nodeName':'n'}}");
  try {
    pod.apply("a", "{'hostname':'i'}");
    FAIL() << "the field is somebody's";
  } catch (const base::StatusError& error) {
    EXPECT_NE(error.message().find("before-first-apply"), std::string::npos) << error.message();
  }
  pod.apply("a", "{'hostname':'h'}").apply("a", "{}");
  EXPECT_EQ(pod.spec(), text("{'hostname':'h','nodeName':'n'}"));
}

TEST(Apply, MergedListsHaveNoDuplicates) {
  PodUnderApply pod;
  EXPECT_NO_THROW(pod.apply("a", "{'containers':[{'name':'x'}]}"));
  EXPECT_THROW(pod.apply("a", "{'containers':[{'name':'x'},{'name':'x'}]}"), base::StatusError);
}

TEST(Track, RemovalTakesOwnershipFromAll) {
  PodUnderApply pod;
  pod.apply("a", "{'hostname':'h','subdomain':'s'}").update("b", "{'spec':{'hostname':null}}");
  EXPECT_EQ(pod.fields("a"), std::vector<std::string>{".spec.subdomain"});
  EXPECT_TRUE(pod.fields("b").empty());
}

TEST(Track, NothingChangedNothingWritten) {
  PodUnderApply pod;
  pod.apply("a", "{'hostname':'h'}");
  const json::value before = pod.object;
  track_managed_fields(*pod.schema, &before, pod.object, "b", "", "v1", kNow + std::chrono::hours(1));
  EXPECT_EQ(pod.object, before);
}

TEST(Track, OldUpdatersAreFoldedIntoOne) {
  PodUnderApply pod;
  pod.object = js("{'metadata':{'name':'a','labels':{}},'spec':{}}");
  for (int i = 0; i < 30; ++i) {
    const json::value before = pod.object;
    base::set(pod.object, {"metadata", "labels", "k" + std::to_string(i)}, json::value("v"));
    track_managed_fields(*pod.schema, &before, pod.object, "m" + std::to_string(i), "", "v1",
                         kNow + std::chrono::seconds(i));
  }
  const auto managers = read_managers(pod.object);
  EXPECT_EQ(managers.size(), 11u);
  EXPECT_EQ(pod.fields("ancient-changes").size(), 20u);
  EXPECT_EQ(pod.fields("m29"), std::vector<std::string>{".metadata.labels.k29"});
}

}  // namespace
}  // namespace mainstay::api
