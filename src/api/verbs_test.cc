// What the data-driven cases cannot say: admission, and writers that race.
#include "api/verbs.h"

#include <gtest/gtest.h>

#include "api/test_json.h"
#include "api/test_types.h"
#include "base/status.h"

namespace mainstay::api {
namespace {
namespace json = base::json;

struct World {
  explicit World(Admit admit = nullptr) : verbs(builtin_types(), store, base::real_clock(), std::move(admit)) {
    EXPECT_TRUE(store.load());
  }
  // `body` outlives its coroutine.
  void run(const std::function<async::Task<>(World&)>& body) { runtime.run(all(this, &body)); }
  static async::Task<> all(World* self, const std::function<async::Task<>(World&)>* body) {
    co_await self->verbs.create(builtin("", "namespaces"), "", js("{'metadata':{'name':'shop'}}"), UserInfo(), {});
    co_await (*body)(*self);
    co_await self->store.stop();
  }

  async::Runtime runtime{1};
  base::Metrics metrics;
  store::Backend store{runtime, store::open_memory(), store::SealHook{}, metrics};
  Verbs verbs;
};

const Type& config_maps() { return builtin("", "configmaps"); }

async::Task<> label_it(AdmissionRequest& request) {
  if (request.type->kind == "ConfigMap" && request.object) base::set(*request.object, "metadata.labels.seen", "yes");
  co_return;
}
async::Task<> admitted(World& world) {
  auto made =
      co_await world.verbs.create(config_maps(), "shop", js("{'metadata':{'generateName':'a-'}}"), UserInfo(), {});
  EXPECT_EQ(base::label(*made->object, "seen"), "yes");
  EXPECT_EQ(base::to_json(*made->object), *made->bytes);
}
TEST(Verbs, AdmissionMayChangeTheObject) { World(label_it).run(admitted); }

async::Task<> refuse_it(AdmissionRequest& request) {
  if (request.type->kind == "ConfigMap") throw base::forbidden("not today");
  co_return;
}
async::Task<> refused(World& world) {
  bool thrown = false;
  try {
    co_await world.verbs.create(config_maps(), "shop", js("{'metadata':{'name':'a'}}"), UserInfo(), {});
  } catch (const base::StatusError& error) {
    thrown = error.code() == 403;
  }
  EXPECT_TRUE(thrown);
  EXPECT_EQ(world.store.count("", "configmaps"), 0u);
}
TEST(Verbs, AdmissionMayRefuse) { World(refuse_it).run(refused); }

async::Task<> spoil_it(AdmissionRequest& request) {
  if (request.type->kind == "ConfigMap") base::set(*request.object, "data", 7);
  co_return;
}
async::Task<> spoilt(World& world) {
  bool thrown = false;
  try {
    co_await world.verbs.create(config_maps(), "shop", js("{'metadata':{'name':'a'}}"), UserInfo(), {});
  } catch (const base::StatusError& error) {
    thrown = error.code() == 422;
  }
  EXPECT_TRUE(thrown) << "what admission made is validated too";
}
TEST(Verbs, WhatAdmissionMadeIsValidated) { World(spoil_it).run(spoilt); }

async::Task<> patch_once(World* world, std::string key) {
  json::value patch = json::object{{"data", json::object{{key, "1"}}}};
  co_await world->verbs.patch(config_maps(), "shop", "a", PatchType::kMerge, std::move(patch), UserInfo(), {}, nullptr);
}
async::Task<> race(World& world) {
  co_await world.verbs.create(config_maps(), "shop", js("{'metadata':{'name':'a'}}"), UserInfo(), {});
  async::TaskGroup group(world.runtime.executor(), "patches");
  for (const char* key : {"a", "b", "c", "d"}) group.spawn(key, patch_once(&world, key));
  co_await group.join();
  auto record = world.verbs.get(config_maps(), "shop", "a");
  EXPECT_EQ(base::get_object(*record->object, "data").size(), 4u) << *record->bytes;
}
TEST(Verbs, PatchesThatRaceAllCount) { World().run(race); }

async::Task<> apply_once(World* world, std::string manager) {
  json::value applied = js("{'apiVersion':'v1','kind':'ConfigMap','data':{}}");
  base::set(applied, {"data", manager}, json::value("1"));
  WriteOptions options;
  options.field_manager = manager;
  bool created = false;
  co_await world->verbs.patch(config_maps(), "shop", "new", PatchType::kApply, std::move(applied), UserInfo(), options,
                              &created);
}
async::Task<> apply_race(World& world) {
  async::TaskGroup group(world.runtime.executor(), "applies");
  for (const char* manager : {"a", "b", "c"}) group.spawn(manager, apply_once(&world, manager));
  co_await group.join();
  auto record = world.verbs.get(config_maps(), "shop", "new");
  EXPECT_EQ(base::get_object(*record->object, "data").size(), 3u) << *record->bytes;
}
TEST(Verbs, AppliesThatRaceToCreateAllCount) { World().run(apply_race); }

async::Task<> too_deep(World& world) {
  json::value object = js("{'metadata':{'name':'n'},'spec':{'configSource':{}}}");
  json::value deep = json::object();
  for (int i = 0; i < 60; ++i) deep = json::object{{"a", std::move(deep)}};
  base::set(object, "spec.configSource.x", std::move(deep));
  bool thrown = false;
  try {
    co_await world.verbs.create(builtin("", "nodes"), "", object, UserInfo(), {});
  } catch (const base::StatusError& error) {
    thrown = error.message().find("nests deeper than") != std::string::npos;
  }
  EXPECT_TRUE(thrown);
}
TEST(Verbs, ObjectsDoNotNestWithoutEnd) { World().run(too_deep); }

async::Task<int> code_of(async::Task<store::RecordPtr> task) {
  try {
    (void)co_await std::move(task);
  } catch (const base::StatusError& error) {
    co_return error.code();
  }
  co_return 200;
}
async::Task<> grows(World& world) {
  const Type& deployments = builtin("apps", "deployments");
  const auto patch = [&](std::size_t bytes) {
    return code_of(world.verbs.patch(
        deployments, "shop", "a", PatchType::kStrategic,
        json::object{{"spec",
                      {{"template",
                        {{"spec",
                          {{"containers", json::array{json::object{
                                              {"name", "a"}, {"args", json::array{std::string(bytes, 'x')}}}}}}}}}}}},
        UserInfo(), {}, nullptr));
  };
  co_await world.verbs.create(deployments, "shop",
                              js("{'metadata':{'name':'a'},'spec':{'selector':{'matchLabels':{'a':'b'}},'template':{"
                                 "'metadata':{'labels':{'a':'b'}},'spec':{'containers':[{'name':'a','image':'i'}]}}}}"),
                              UserInfo(), {});
  EXPECT_EQ(co_await patch(7u << 20), 200);
  EXPECT_EQ(co_await patch(9u << 20), 413);
  EXPECT_EQ(co_await patch(10), 200);
}
TEST(Verbs, AnObjectDoesNotGrowWithoutEnd) { World().run(grows); }

async::Task<> faulty(World& world) {
  json::object labels;
  for (int i = 0; i < 1000; ++i) labels["not a label " + std::to_string(i)] = "a";
  std::size_t causes = 0;
  try {
    co_await world.verbs.create(config_maps(), "shop",
                                json::object{{"metadata", json::object{{"name", "a"}, {"labels", labels}}}}, UserInfo(),
                                {});
  } catch (const base::StatusError& error) {
    causes = error.details().at("causes").as_array().size();
  }
  EXPECT_EQ(causes, 100u);
}
TEST(Verbs, AnAnswerNamesABoundedNumberOfFaults) { World().run(faulty); }

}  // namespace
}  // namespace mainstay::api
