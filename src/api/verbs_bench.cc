// CPU of the object path without HTTP and without a disk.
#include <benchmark/benchmark.h>

#include "api/test_json.h"
#include "api/test_types.h"
#include "api/verbs.h"

namespace mainstay::api {
namespace {
namespace json = base::json;

const char* const kDeployment =
    "{'metadata':{'name':'a','namespace':'shop','labels':{'app':'a'}},'spec':{'selector':{'matchLabels':{'app':'a'}},'"
    "template':{'metadata':"
    "{'labels':{'app':'a'}},'spec':{'containers':[{'name':'c','image':'i:1','ports':[{'containerPort':80}],'env':[{'"
    "name':'A','value':'1'}],"
    "'readinessProbe':{'httpGet':{'port':80}}}]}}}}";

async::Task<> create_all(store::Backend* store, Verbs* verbs, const Type* type, const json::value* object,
                         benchmark::State* state) {
  co_await verbs->create(builtin("", "namespaces"), "", js("{'metadata':{'name':'shop'}}"), UserInfo(), {});
  std::size_t number = 0;
  for (auto _ : *state) {
    json::value copy = *object;
    base::set(copy, "metadata.name", json::value("a" + std::to_string(number++)));
    co_await verbs->create(*type, "shop", std::move(copy), UserInfo(), {});
  }
  co_await store->stop();
}

void create(benchmark::State& state, const Type& type, const json::value& object) {
  async::Runtime runtime(1);
  base::Metrics metrics;
  store::Backend store(runtime, store::open_memory(), {}, metrics);
  if (!store.load()) state.SkipWithError("load");
  Verbs verbs(builtin_types(), store, base::real_clock(), nullptr);
  runtime.run(create_all(&store, &verbs, &type, &object, &state));
}

void BM_CreateConfigMap(benchmark::State& state) {
  create(state, builtin("", "configmaps"), js("{'metadata':{'name':'a'},'data':{'k':'v'}}"));
}
void BM_CreateDeployment(benchmark::State& state) { create(state, builtin("apps", "deployments"), js(kDeployment)); }
BENCHMARK(BM_CreateConfigMap)->UseRealTime();
BENCHMARK(BM_CreateDeployment)->UseRealTime();

void BM_PruneDefaultValidate(benchmark::State& state) {
  const Schema& schema = *builtin("apps", "deployments").schema;
  const json::value object = js(kDeployment);
  for (auto _ : state) {
    json::value copy = object;
    prune(schema, copy, nullptr);
    apply_defaults(schema, copy);
    benchmark::DoNotOptimize(validate(schema, copy));
  }
}
BENCHMARK(BM_PruneDefaultValidate);

void BM_ApplyUnchanged(benchmark::State& state) {
  const Schema& schema = *builtin("apps", "deployments").schema;
  const json::value applied = js(kDeployment);
  const json::value live = server_side_apply(schema, nullptr, applied, "a", false, "apps/v1", base::SystemTime());
  for (auto _ : state)
    benchmark::DoNotOptimize(server_side_apply(schema, &live, applied, "a", false, "apps/v1", base::SystemTime()));
}
BENCHMARK(BM_ApplyUnchanged);

}  // namespace
}  // namespace mainstay::api
