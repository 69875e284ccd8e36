// platform::PushFollower: tells a person who pushed what becomes of it.
#pragma once
#include <memory>

#include "async/sync.h"
#include "capabilities/pipelines/trigger.h"
#include "platform/interfaces/push.h"

namespace mainstay::pipelines {

class Follower final : public platform::PushFollower {
 public:
  Follower(platform::Host& host, std::shared_ptr<Trigger> trigger);
  void start();
  async::Task<> follow(std::string ns, std::string repository, std::vector<platform::PushedRef> refs, Say say) override;

 private:
  platform::Host& host_;
  std::shared_ptr<Trigger> trigger_;
  std::shared_ptr<async::Event> changed_;
};

}  // namespace mainstay::pipelines
