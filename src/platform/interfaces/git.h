// Reading git repositories, provided by source/ to pipelines/.
#pragma once
#include <string>
#include <vector>

#include "async/task.h"
#include "base/result.h"

namespace mainstay::platform {

class GitReader {
 public:
  virtual ~GitReader() = default;
  // A file's content at a commit; kNotFound. At most max_bytes, else kTooLarge.
  virtual async::Task<base::Result<std::string>> read_file(std::string ns, std::string repository, std::string commit,
                                                           std::string path, std::size_t max_bytes) = 0;
  // Names below a folder ("" for the root), folders with a trailing slash; kNotFound.
  virtual async::Task<base::Result<std::vector<std::string>>> list(std::string ns, std::string repository,
                                                                   std::string commit, std::string folder) = 0;
  struct Commit {
    std::string sha, tree, author_name, author_email, subject, message;
  };  // message: at most 64 KiB
  // Paths that differ between two commits, at most a few thousand (then kTooLarge); kNotFound where `before` is empty
  // or unknown.
  virtual async::Task<base::Result<std::vector<std::string>>> changed_paths(std::string ns, std::string repository,
                                                                            std::string before, std::string after) = 0;
  virtual async::Task<base::Result<Commit>> commit(std::string ns, std::string repository, std::string revision) = 0;
  // Addresses of those who wrote the commits that `after` has and `before` has not, "Co-authored-by" lines included:
  // each once, in lower case. Where `before` is empty or unknown, of `after` alone. kTooLarge over a mebibyte of
  // addresses (some 30 000 commits): nobody is left out in silence.
  virtual async::Task<base::Result<std::vector<std::string>>> authors(std::string ns, std::string repository,
                                                                      std::string before, std::string after) = 0;
};

}  // namespace mainstay::platform
