#include "store/committer.h"

#include <pthread.h>

#include <cassert>

namespace mainstay::store {

Committer::Committer() : thread_([this] { work(); }) { pthread_setname_np(thread_.native_handle(), "store"); }

void Committer::run(std::function<void()> job) {
  {
    const std::lock_guard lock(mutex_);
    assert(!job_ && !ending_);
    job_ = std::move(job);
  }
  changed_.notify_one();
}

void Committer::join() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Committer::work() {
  for (;;) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return job_ || ending_; });
    if (!job_) return;
    // Emptied before it runs: what it posts to the loop may bring the next one at once.
    auto job = std::exchange(job_, nullptr);
    lock.unlock();
    job();
  }
}

}  // namespace mainstay::store
