#include "store/conformance/suite.h"

#include <sys/mount.h>

#include "base/ids.h"

namespace mainstay::store {

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(BackendSuite);

TempFolder::TempFolder() : path_(std::filesystem::temp_directory_path() / ("mainstay-store-" + base::random_hex(8))) {
  std::filesystem::create_directories(path_);
}
TempFolder::~TempFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

SmallDisk::SmallDisk(const std::filesystem::path& at, const std::string& size) : at_(at) {
  std::filesystem::create_directories(at_);
  mounted_ = ::mount("tmpfs", at_.c_str(), "tmpfs", 0, ("size=" + size).c_str()) == 0;
}
SmallDisk::~SmallDisk() {
  if (mounted_) ::umount2(at_.c_str(), MNT_DETACH);
}

base::Result<> FaultyDialect::commit(const std::vector<Write>& batch) {
  const std::lock_guard lock(faults_->gate);
  ++faults_->commits;
  if (faults_->fail_next > 0) {
    --faults_->fail_next;
    if (faults_->throws) throw std::runtime_error("broken");
    return base::fail(faults_->code, "injected");
  }
  for (const Write& write : batch) faults_->values.push_back(write.value.value_or(write.last.value_or("")));
  return inner_->commit(batch);
}

namespace {

async::Task<> run_body(Backend& backend, const std::function<async::Task<>(Backend&)>& body) {
  try {
    co_await body(backend);
  } catch (const std::exception& e) {
    ADD_FAILURE() << "the body threw: " << e.what();
  }
  co_await backend.stop();
}

}  // namespace

void BackendSuite::run(const Body& body) {
  async::Runtime runtime(2);
  runtime_ = &runtime;
  auto inner = home_->open();
  ASSERT_TRUE(inner);
  Backend backend(runtime, std::make_unique<FaultyDialect>(std::move(inner), faults_), seal_, metrics_, limits_);
  auto loaded = backend.load();
  ASSERT_TRUE(loaded) << loaded.error().message;
  runtime.run(run_body(backend, body));
  runtime_ = nullptr;
}

base::Result<> BackendSuite::try_load() {
  async::Runtime runtime(1);
  Backend backend(runtime, home_->open(), seal_, metrics_, limits_);
  return backend.load();
}

base::json::value object(std::string_view name, std::string_view data) {
  return {{"kind", "Pod"}, {"metadata", {{"name", name}}}, {"data", data}};
}

Key pod(std::string name, std::string ns) { return {"", "pods", std::move(ns), std::move(name)}; }

std::vector<std::string> names(const std::vector<RecordPtr>& records) {
  std::vector<std::string> out;
  for (const auto& record : records) out.push_back(record->key.ns + "/" + record->key.name);
  return out;
}

}  // namespace mainstay::store
