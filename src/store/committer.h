// Internal to store/: the thread that commits.
#pragma once
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

namespace mainstay::store {

// One job at a time, on a thread of its own. Commits do not share the pool: there they would stand behind whatever else
// takes long (a log query, a layer being unpacked), and with them every write of the platform.
class Committer {
 public:
  Committer();
  ~Committer() { join(); }
  void run(std::function<void()> job);  // the last one has ended
  void join();                          // after the job under way; then no more are taken

 private:
  void work();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> job_;
  bool ending_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace mainstay::store
