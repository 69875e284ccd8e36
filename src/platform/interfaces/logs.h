// Container logs between compute/, which writes CRI-format files, and observe/, which keeps and searches them.
#pragma once
#include <filesystem>
#include <string>

#include "async/task.h"

namespace mainstay::platform {

struct ContainerLog {
  std::string ns, pod, pod_uid, container;
  std::string workload;  // the Deployment's name, or the pod's where there is none
  int restart = 0;
  std::filesystem::path file;  // "<time> stdout F <line>\n", as conmon's k8s-file
};
class LogCollector {
 public:
  virtual ~LogCollector() = default;
  // Follow this file from where it was left (also after a restart).
  virtual void follow(ContainerLog log) = 0;
  // The container has ended: resumes when all of the file is kept, after which compute may delete it.
  virtual async::Task<> finish(std::filesystem::path file) = 0;
};

}  // namespace mainstay::platform
