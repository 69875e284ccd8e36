// The image `mainstay.dev/runner`: this host's own /usr with an /etc of its own and this program, for jobs. No image to
// download.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "base/config.h"
#include "base/result.h"
#include "capabilities/compute/image/image_config.h"
#include "capabilities/compute/oci/spec.h"

namespace mainstay::compute {

class RunnerRoot {
 public:
  RunnerRoot(const base::Config& config, std::string ca_certificate);
  // Makes the directories, under a name that follows from their content: containers of an earlier start keep theirs.
  // Blocking.
  base::Result<> prepare();
  // The overlay's lower directory. The one for builds belongs to the user namespace's root.
  std::filesystem::path lower(bool builds) const { return home_ / (builds ? "build" : "root"); }
  // /usr, and the program at /opt/mainstay/bin/mainstay and /usr/local/bin/mainstay.
  std::vector<Mount> mounts() const;
  ImageConfig config() const;
  const std::string& id() const { return id_; }  // in place of an image's digest

 private:
  base::Result<> make_root(const std::filesystem::path& root, bool builds) const;
  base::Result<> make_etc(const std::filesystem::path& etc) const;
  base::Result<> make_containers_config(const std::filesystem::path& etc) const;
  base::Result<> keep_program();
  base::Result<> make_local_bin() const;

  base::Config config_;
  std::string ca_;
  std::filesystem::path base_, home_, program_;
  std::string id_;
};

}  // namespace mainstay::compute
