#include "capabilities/pipelines/follower.h"

#include "capabilities/pipelines/push_lines.h"

namespace mainstay::pipelines {
namespace {

// How long the platform takes to see a push, at most; more means it was rejected or something is wrong.
constexpr std::chrono::seconds kDecisionLimit{20};
constexpr std::size_t kMaxRefs = 20;

}  // namespace

Follower::Follower(platform::Host& host, std::shared_ptr<Trigger> trigger)
    : host_(host), trigger_(std::move(trigger)), changed_(std::make_shared<async::Event>(host.runtime().executor())) {}

void Follower::start() {
  host_.caches()
      .of(client::resources::kWorkflowRuns)
      ->on_change([changed = changed_](const client::ObjectPtr&, const client::ObjectPtr&) { changed->notify_all(); });
}

async::Task<> Follower::follow(std::string ns, std::string repository, std::vector<platform::PushedRef> refs, Say say) {
  const auto cache = host_.caches().of(client::resources::kRepositories);
  std::vector<std::string> runs;
  std::size_t told = 0;
  for (const platform::PushedRef& ref : refs) {
    if (ref.after.empty() || !(ref.ref.starts_with("refs/heads/") || ref.ref.starts_with("refs/tags/"))) continue;
    if (++told > kMaxRefs) break;
    // A ref that git rejected never gets there.
    auto decision = co_await trigger_->decision({ns, repository}, ref.ref, ref.after,
                                                told == 1 ? kDecisionLimit : std::chrono::seconds(2));
    if (!decision) continue;
    for (const std::string& line : decision->note)
      if (!co_await say(line)) co_return;
    runs.insert(runs.end(), decision->runs.begin(), decision->runs.end());
  }
  std::vector<std::pair<std::string, RunLines>> open;
  for (const std::string& run : runs) open.emplace_back(run, RunLines(runs.size() > 1));
  const auto all = host_.caches().of(client::resources::kWorkflowRuns);
  bool seen_any = false;
  while (!open.empty()) {
    for (auto& [name, lines] : open) {
      const auto run = all->get(ns, name);
      if (!run) continue;
      seen_any = true;
      for (const std::string& line : lines.next(*run))
        if (!co_await say(line)) co_return;
    }
    // A run that is deleted while it is followed is done with, too.
    std::erase_if(
        open, [&](const auto& entry) { return entry.second.finished() || (seen_any && !all->get(ns, entry.first)); });
    if (open.empty()) break;
    co_await changed_->wait();
  }
}

}  // namespace mainstay::pipelines
