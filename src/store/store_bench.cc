// Objects created a second by closed-loop writers, over SQLite with every commit fsynced; reads beside them. The peer
// is SQLite itself (rows a second by rows a commit) and etcd's put.
#include <benchmark/benchmark.h>
#include <fmt/core.h>

#include <filesystem>

#include "base/ids.h"
#include "crypto/digest.h"
#include "store/backend.h"
#include "store/blobs.h"

namespace mainstay::store {
namespace {

base::json::value object(std::string_view name) {
  return {{"apiVersion", "v1"},
          {"kind", "ConfigMap"},
          {"metadata", {{"name", name}, {"namespace", "shop"}, {"uid", "3c1f0c5e-7a62-4f0e-8a54-5d0a4c1f7b11"}}},
          {"data", {{"value", std::string(256, 'x')}}}};
}

Key key_of(std::string name) { return {"", "configmaps", "shop", std::move(name)}; }

struct Folder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("store-bench-" + base::random_hex(8));
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
};

async::Task<> create_some(Backend& backend, std::string prefix, int count) {
  for (int i = 0; i < count; ++i) {
    std::string name = fmt::format("{}-{}", prefix, i);
    base::json::value made = object(name);
    auto result = co_await backend.put(key_of(std::move(name)), std::move(made), std::nullopt);
    if (!result) throw std::runtime_error(result.error().message);
  }
}

async::Task<> create_round(async::Runtime& runtime, Backend& backend, int writers, int each) {
  static int round = 0;
  ++round;
  async::TaskGroup group(runtime.executor(), "writers");
  for (int w = 0; w < writers; ++w) group.spawn("w", create_some(backend, fmt::format("r{}w{}", round, w), each));
  co_await group.join();
}

void Create(benchmark::State& state) {
  const Folder folder;
  async::Runtime runtime;
  base::Metrics metrics;
  auto dialect = open_sqlite(folder.path / "state.db");
  Backend backend(runtime, *std::move(dialect), {}, metrics);
  (void)backend.load();
  const int writers = static_cast<int>(state.range(0)), each = 2000 / writers + 100;
  std::int64_t rows = 0;
  for (auto _ : state) {
    runtime.run(create_round(runtime, backend, writers, each));
    rows += writers * each;
  }
  state.counters["rows/s"] = benchmark::Counter(static_cast<double>(rows), benchmark::Counter::kIsRate);
  runtime.run(backend.stop());
}
BENCHMARK(Create)->Arg(1)->Arg(16)->Arg(32)->Arg(64)->UseRealTime()->Unit(benchmark::kMillisecond)->MinTime(2);

struct Filled {
  async::Runtime runtime{2};
  base::Metrics metrics;
  Backend backend{runtime, open_memory(), {}, metrics};
  explicit Filled(int count) {
    (void)backend.load();
    runtime.run(create_some(backend, "p", count));
  }
  ~Filled() { runtime.run(backend.stop()); }
};

void Get(benchmark::State& state) {
  Filled filled(static_cast<int>(state.range(0)));
  std::vector<Key> keys;
  for (int i = 0; i < 1000; ++i) keys.push_back(key_of(fmt::format("p-{}", i * 7919 % state.range(0))));
  std::size_t at = 0;
  for (auto _ : state) benchmark::DoNotOptimize(filled.backend.get(keys[at++ % keys.size()]));
}
BENCHMARK(Get)->Arg(1000)->Arg(50000);

void List(benchmark::State& state) {
  Filled filled(static_cast<int>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(filled.backend.list("", "configmaps", "shop"));
}
BENCHMARK(List)->Arg(500)->Arg(10000)->Unit(benchmark::kMicrosecond);

void Load(benchmark::State& state) {
  const Folder folder;
  async::Runtime runtime;
  base::Metrics metrics;
  {
    Backend backend(runtime, *open_sqlite(folder.path / "state.db"), {}, metrics);
    (void)backend.load();
    runtime.run(create_round(runtime, backend, 100, static_cast<int>(state.range(0) / 100)));
    runtime.run(backend.stop());
  }
  for (auto _ : state) {
    Backend backend(runtime, *open_sqlite(folder.path / "state.db"), {}, metrics);
    if (!backend.load()) state.SkipWithError("load");
  }
}
BENCHMARK(Load)->Arg(20000)->Unit(benchmark::kMillisecond);

async::Task<> push(BlobStore& blobs, std::string chunk, int chunks) {
  auto upload = co_await blobs.begin();
  crypto::Sha256 hash;
  for (int i = 0; i < chunks; ++i) {
    chunk[static_cast<std::size_t>(i)] ^= 1;
    hash.update(chunk);
    if (!co_await (*upload)->append(chunk)) throw std::runtime_error("append");
  }
  const std::string digest = "sha256:" + hash.finish_hex();
  if (!co_await (*upload)->finish(digest)) throw std::runtime_error("finish");
  (void)co_await blobs.remove(digest);
}

// Of 256 MiB in pieces of a MiB, fsync included (and the digest reckoned twice: the client's is here too).
void BlobPush(benchmark::State& state) {
  const Folder folder;
  async::Runtime runtime;
  auto blobs = open_file_blobs(runtime, folder.path);
  for (auto _ : state) runtime.run(push(**blobs, std::string(1u << 20, 'x'), 256));
  state.SetBytesProcessed(state.iterations() * (256 << 20));
}
BENCHMARK(BlobPush)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace mainstay::store
