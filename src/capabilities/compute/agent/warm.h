// The first move of a process between cgroups after a quiet time costs the kernel 10 to 20 ms (a grace period of its
// synchronisation), those right after it next to nothing. Making such a move while a pod's network and volumes are
// prepared keeps this wait out of the pod's start.
#pragma once
#include <sys/types.h>

#include <mutex>
#include <string>

namespace mainstay::compute {

class Warm {
 public:
  // `program` called with --pause does nothing for as long as we live.
  Warm(std::string program, std::string tag) : program_(std::move(program)), tag_(std::move(tag)) {}
  ~Warm() { stop(); }
  void stop();
  void kick();  // blocking for those 10 to 20 ms; from any pool thread

 private:
  bool prepare();

  std::string program_, tag_, directory_[2];
  std::mutex mutex_;
  pid_t idle_ = 0;
  bool tried_ = false, flip_ = false;
};

}  // namespace mainstay::compute
