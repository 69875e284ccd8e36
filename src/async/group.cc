#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <cassert>
#include <list>

#include "async/runtime.h"
#include "async/suspend.h"
#include "base/log.h"

namespace mainstay::async {
namespace asio = boost::asio;

struct TaskGroup::Impl : std::enable_shared_from_this<TaskGroup::Impl> {
  struct Child {
    asio::cancellation_signal signal;
    std::string name;
    bool ended = false;
  };

  Impl(Executor e, std::string n) : executor(std::move(e)), name(std::move(n)) {}

  Executor executor;
  std::string name;
  std::list<Child> children;  // a list: the signals' addresses are kept by the coroutines
  std::vector<std::function<void()>> joiners;
  bool cancelled = false;

  void report(const Child& child, const std::exception_ptr& error) const {
    try {
      std::rethrow_exception(error);
    } catch (const Cancelled&) {
    } catch (const std::exception& e) {
      base::log::error("async", "task {}/{} failed: {}", name, child.name, e.what());
    } catch (...) {
      base::log::error("async", "task {}/{} failed", name, child.name);
    }
  }

  void end(std::list<Child>::iterator child, const std::exception_ptr& error) {
    if (error) report(*child, error);
    child->ended = true;
    // The coroutine that calls here still leans on the signal: let it unwind first.
    asio::post(executor, [self = shared_from_this(), child] {
      self->children.erase(child);
      if (!self->children.empty()) return;
      for (auto& resume : std::exchange(self->joiners, {})) resume();
    });
  }
};

TaskGroup::TaskGroup(Executor executor, std::string name)
    : impl_(std::make_shared<Impl>(std::move(executor), std::move(name))) {}

TaskGroup::~TaskGroup() {
  assert(impl_->children.empty() && "a task group must be joined before it goes");
  if (!impl_->children.empty()) {
    base::log::error("async", "task group {} was left with {} tasks", impl_->name, impl_->children.size());
    cancel();
  }
}

void TaskGroup::spawn(std::string name, Task<> task) {
  if (impl_->cancelled) return;
  const auto child = impl_->children.emplace(impl_->children.end());
  child->name = std::move(name);
  asio::co_spawn(impl_->executor, spawned(std::move(task)),
                 asio::bind_cancellation_slot(child->signal.slot(), [impl = impl_, child](std::exception_ptr error) {
                   impl->end(child, error);
                 }));
}

void TaskGroup::cancel() {
  const auto impl = impl_;
  impl->cancelled = true;
  for (auto& child : impl->children) {
    if (!child.ended) child.signal.emit(asio::cancellation_type::terminal);
  }
}

Task<> TaskGroup::join() {
  const auto impl = impl_;
  std::function<void(std::function<void()>)> start = [impl](std::function<void()> resume) {
    impl->joiners.push_back(std::move(resume));
  };
  while (!impl->children.empty()) co_await suspend(start);
}

std::size_t TaskGroup::size() const { return impl_->children.size(); }
Executor TaskGroup::executor() const { return impl_->executor; }

}  // namespace mainstay::async
