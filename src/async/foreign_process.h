// A process that need not be our child: one that outlived the program that started it. Known by pidfd, so a number that
// the kernel gives to another process is never mistaken for it.
#pragma once
#include <sys/types.h>

#include <memory>

#include "async/task.h"
#include "base/result.h"

namespace mainstay::async {

class ForeignProcess {
 public:
  // kNotFound where there is no such process.
  static base::Result<std::unique_ptr<ForeignProcess>> open(Executor executor, pid_t pid);
  ~ForeignProcess();  // leaves it running
  pid_t pid() const;
  bool running() const;
  Task<> ended();         // resumes when it has ended; many may wait
  void kill(int signal);  // this process alone

 private:
  struct Impl;
  explicit ForeignProcess(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace mainstay::async
