// platform::GitReader over kept `git cat-file --batch` processes.
#pragma once
#include <list>
#include <memory>
#include <string>

#include "capabilities/source/git.h"
#include "platform/interfaces/git.h"
#include "reconcile/controller.h"

namespace mainstay::source {

// The raw content of a tree object to names, folders with a trailing slash. kInvalid where it is not one.
base::Result<std::vector<std::string>> parse_tree(std::string_view raw);
// The addresses in lines of "address" or "Name <address>", each once and in lower case.
std::vector<std::string> parse_addresses(std::string_view lines);
platform::GitReader::Commit parse_commit(std::string sha, std::string_view raw);

class CatFile;

class BatchReader final : public platform::GitReader {
 public:
  BatchReader(async::TaskGroup& group, std::shared_ptr<Git> git);
  ~BatchReader() override;
  async::Task<base::Result<std::string>> read_file(std::string ns, std::string repository, std::string commit,
                                                   std::string path, std::size_t max_bytes) override;
  async::Task<base::Result<std::vector<std::string>>> list(std::string ns, std::string repository, std::string commit,
                                                           std::string folder) override;
  async::Task<base::Result<Commit>> commit(std::string ns, std::string repository, std::string revision) override;
  async::Task<base::Result<std::vector<std::string>>> changed_paths(std::string ns, std::string repository,
                                                                    std::string before, std::string after) override;
  async::Task<base::Result<std::vector<std::string>>> authors(std::string ns, std::string repository,
                                                              std::string before, std::string after) override;
  // Ends the processes kept for a repository that goes.
  void forget(const reconcile::Name& name);

 private:
  struct Object {
    std::string id, type, content;
  };
  struct Kept {
    reconcile::Name name;
    std::unique_ptr<CatFile> process;
    std::chrono::steady_clock::time_point used;
  };
  async::Task<base::Result<Object>> object(reconcile::Name name, std::string expression, std::size_t max_bytes);
  async::Task<> sweep();

  async::TaskGroup& group_;
  std::shared_ptr<Git> git_;
  std::list<Kept> kept_;  // idle ones, the latest used first
  bool sweeping_ = false;
  friend class CatFile;
};

}  // namespace mainstay::source
