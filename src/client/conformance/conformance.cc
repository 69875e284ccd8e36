#include "client/conformance/conformance.h"

#include <gtest/gtest.h>

namespace mainstay::client {
namespace {
using resources::kConfigMaps;

json::value config_map(std::string name, std::string value = "1", std::string label = "x") {
  return json::object{
      {"metadata", json::object{{"name", name}, {"namespace", "shop"}, {"labels", json::object{{"app", label}}}}},
      {"data", json::object{{"k", value}}}};
}

// The status code that `task` throws; 0 where it does not.
async::Task<int> code_of(async::Task<json::value> task) {
  try {
    co_await std::move(task);
  } catch (const base::StatusError& e) {
    co_return e.code();
  }
  co_return 0;
}

async::Task<> reads_and_writes(ApiClient client) {
  auto made = co_await client.create(kConfigMaps, "shop", config_map("a"));
  EXPECT_EQ(base::get_string(made, "kind"), "ConfigMap");
  EXPECT_EQ(co_await code_of(client.create(kConfigMaps, "shop", config_map("a"))), 409);
  auto got = co_await client.get(kConfigMaps, "shop", "a");
  EXPECT_EQ(got, made);
  EXPECT_FALSE(co_await client.find(kConfigMaps, "shop", "b"));
  EXPECT_EQ(co_await code_of(client.get(kConfigMaps, "shop", "b")), 404);
  base::set(got, "data.k", "2");
  auto updated = co_await client.update(kConfigMaps, got);
  EXPECT_EQ(base::get_string(updated, "data.k"), "2");
  EXPECT_EQ(co_await code_of(client.update(kConfigMaps, got)), 409);  // its version is old now
  auto patched =
      co_await client.merge_patch(kConfigMaps, "shop", "a", json::object{{"data", json::object{{"l", "3"}}}});
  EXPECT_EQ(base::get_string(patched, "data.l"), "3");
  EXPECT_EQ(base::get_string(patched, "data.k"), "2");
  co_await client.remove(kConfigMaps, "shop", "a");
  co_await client.remove(kConfigMaps, "shop", "a");  // 404 is fine
  EXPECT_FALSE(co_await client.find(kConfigMaps, "shop", "a"));
}

async::Task<> writes_what_is_no_utf8(ApiClient client) {
  auto made = co_await client.create(kConfigMaps, "shop", config_map("latin", "caf\xe9 \xc3\xa9\xc3"));
  EXPECT_EQ(base::get_string(made, "data.k"), "caf\xef\xbf\xbd \xc3\xa9\xef\xbf\xbd");
  auto patched =
      co_await client.merge_patch(kConfigMaps, "shop", "latin", json::object{{"data", json::object{{"l", "\xff"}}}});
  EXPECT_EQ(base::get_string(patched, "data.l"), "\xef\xbf\xbd");
}

async::Task<> applies(ApiClient client) {
  json::value wanted = config_map("a");
  base::set(wanted, "apiVersion", "v1");
  base::set(wanted, "kind", "ConfigMap");
  auto first = co_await client.apply(kConfigMaps, wanted);
  auto second = co_await client.apply(kConfigMaps, wanted);
  EXPECT_EQ(base::get_string(first, "metadata.resourceVersion"), base::get_string(second, "metadata.resourceVersion"));
  EXPECT_EQ(base::get_string(base::get_array(second, "metadata.managedFields").at(0), "manager"),
            client.field_manager());
}

async::Task<> writes_status_apart(ApiClient client) {
  json::value ns = co_await client.get(resources::kNamespaces, "", "shop");
  base::set(ns, "status.phase", "Terminating");
  base::set(ns, {"metadata", "labels", "new"}, "yes");
  auto updated = co_await client.update_status(resources::kNamespaces, ns);
  EXPECT_EQ(base::get_string(updated, "status.phase"), "Terminating");
  EXPECT_EQ(base::label(updated, "new"), "");
  updated = co_await client.merge_patch(resources::kNamespaces, "", "shop",
                                        json::object{{"status", json::object{{"phase", "Active"}}}}, "status");
  EXPECT_EQ(base::get_string(updated, "status.phase"), "Active");
}

async::Task<> lists(ApiClient client) {
  for (int i = 0; i < 510; ++i)
    co_await client.create(kConfigMaps, "shop", config_map("c" + std::to_string(i), "1", i % 2 ? "odd" : "even"));
  auto all = co_await client.list_objects(kConfigMaps, "shop");  // more than a page
  EXPECT_EQ(all.items.size(), 510u);
  EXPECT_EQ(base::get_string(*all.items.front(), "kind"), "ConfigMap");
  EXPECT_FALSE(all.resource_version.empty());
  ListQuery odd;
  odd.label_selector = "app in (odd)";
  EXPECT_EQ((co_await client.list_objects(kConfigMaps, "", odd)).items.size(), 255u);
  odd.limit = 10;
  EXPECT_EQ((co_await client.list_objects(kConfigMaps, "", odd)).items.size(), 10u);
  auto list = co_await client.list(kConfigMaps, "default");
  EXPECT_EQ(base::get_string(list, "kind"), "ConfigMapList");
  EXPECT_TRUE(base::get_array(list, "items").empty());
  ListQuery bad;
  bad.label_selector = "a b";
  EXPECT_EQ(co_await code_of(client.list(kConfigMaps, "", bad)), 400);
  co_await client.remove_with(kConfigMaps, "shop", "", {});
  EXPECT_TRUE((co_await client.list_objects(kConfigMaps, "shop")).items.empty());
}

async::Task<std::string> next(WatchStream* stream) {
  auto event = co_await stream->next();
  if (!event) co_return "end";
  co_return event->type + " " + base::get_string(*event->object, "metadata.name");
}

async::Task<> watches(ApiClient client) {
  auto made = co_await client.create(kConfigMaps, "shop", config_map("a"));
  const std::string version = base::get_string(made, "metadata.resourceVersion");
  ListQuery only;
  only.label_selector = "app=x";
  auto stream = co_await client.watch(kConfigMaps, "shop", version, only);
  co_await client.create(kConfigMaps, "shop", config_map("b"));
  co_await client.create(kConfigMaps, "shop", config_map("unseen", "1", "y"));
  co_await client.merge_patch(kConfigMaps, "shop", "a", json::object{{"data", json::object{{"k", "2"}}}});
  co_await client.merge_patch(kConfigMaps, "shop", "b",
                              json::object{{"metadata", json::object{{"labels", json::object{{"app", "y"}}}}}});
  co_await client.remove(kConfigMaps, "shop", "a");
  EXPECT_EQ(co_await next(stream.get()), "ADDED b");
  EXPECT_EQ(co_await next(stream.get()), "MODIFIED a");
  EXPECT_EQ(co_await next(stream.get()), "DELETED b");
  EXPECT_EQ(co_await next(stream.get()), "DELETED a");
  auto anew = co_await client.watch(kConfigMaps, "", "");
  EXPECT_EQ(co_await next(anew.get()), "ADDED b");
  EXPECT_EQ(co_await next(anew.get()), "ADDED unseen");
}

async::Task<> tells_of_lost_history(ApiClient client) {
  int code = 0;
  try {
    auto stream = co_await client.watch(kConfigMaps, "", "99999999");
    co_await stream->next();
  } catch (const base::StatusError& e) {
    code = e.code();
  }
  EXPECT_EQ(code, 410);
}

async::Task<> refuses_unknown_resources(ApiClient client) {
  const Resource unknown{"nowhere.dev", "v1", "things", true, "Thing"};
  EXPECT_EQ(co_await code_of(client.list(unknown, "shop")), 404);
  EXPECT_EQ(co_await code_of(client.create(unknown, "shop", json::object{})), 404);
  int code = 0;
  try {
    auto stream = co_await client.watch(unknown, "shop", "");
    co_await stream->next();
  } catch (const base::StatusError& e) {
    code = e.code();
  }
  EXPECT_EQ(code, 404);
}

async::Task<> counts_events(ApiClient client) {
  auto about = co_await client.create(kConfigMaps, "shop", config_map("a"));
  for (int i = 0; i < 3; ++i) co_await client.event(about, "Warning", "Failed", "it did not work");
  co_await client.event(about, "Normal", "Done", "it works");
  auto events = co_await client.list_objects(resources::kEvents, "shop");
  EXPECT_EQ(events.items.size(), 2u);
  std::int64_t most = 0;
  for (const auto& event : events.items) {
    most = std::max(most, base::get_int(*event, "count"));
    EXPECT_EQ(base::get_string(*event, "involvedObject.name"), "a");
    EXPECT_EQ(base::get_string(*event, "source.component"), client.field_manager());
  }
  EXPECT_EQ(most, 3);
}

async::Task<> sends_anything(ApiClient client) {
  net::ClientRequest request;
  request.target = "/version";
  auto response = co_await client.raw(std::move(request));
  EXPECT_EQ(response.status, 200);
  EXPECT_FALSE((co_await response.body->read_all(1 << 16)).empty());
  net::ClientRequest wrong;
  wrong.target = "/nothing/here";
  EXPECT_EQ((co_await client.raw(std::move(wrong))).status, 404);
}

}  // namespace

const std::vector<ConformanceCase>& conformance_cases() {
  static const std::vector<ConformanceCase> cases{{"ReadsAndWrites", reads_and_writes},
                                                  {"WritesWhatIsNoUtf8", writes_what_is_no_utf8},
                                                  {"Applies", applies},
                                                  {"WritesStatusApart", writes_status_apart},
                                                  {"Lists", lists},
                                                  {"Watches", watches},
                                                  {"TellsOfLostHistory", tells_of_lost_history},
                                                  {"RefusesUnknownResources", refuses_unknown_resources},
                                                  {"CountsEvents", counts_events},
                                                  {"SendsAnything", sends_anything}};
  return cases;
}

}  // namespace mainstay::client
