#include "capabilities/pipelines/build_caches.h"

#include "base/log.h"

namespace mainstay::pipelines {
namespace {

async::Task<> forget(platform::Host& host, std::string ns, std::string name) {
  const auto folder = host.config().dir("cache") / ns / name;
  const auto error = co_await host.runtime().blocking([folder] {
    std::error_code failed;
    std::filesystem::remove_all(folder, failed);
    return failed;
  });
  if (error)
    base::log::warn("pipelines", "the build cache of {}/{} stays: {}: {}", ns, name, folder.string(), error.message());
}

}  // namespace

void forget_build_caches(platform::Host& host) {
  host.caches()
      .of(client::resources::kRepositories)
      ->on_change([&host](const client::ObjectPtr& before, const client::ObjectPtr& after) {
        if (!before || after) return;
        const std::string ns = base::get_string(*before, "metadata.namespace"),
                          name = base::get_string(*before, "metadata.name");
        if (!ns.empty() && !name.empty()) host.tasks().spawn("build-cache", forget(host, ns, name));
      });
}

}  // namespace mainstay::pipelines
