// A run's folder on this machine, as its pod sees it: in/ (the module, read-only there) and out/ (what came of it).
// What lies in out/ was written by the module: links are not followed and sizes are bounded. Everything here blocks.
#pragma once
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "base/result.h"

namespace mainstay::cloud {

using ModuleFiles = std::map<std::string, std::string>;

// in/ anew with the files (checked names), and an empty out/.
base::Result<> lay_out(const std::filesystem::path& folder, const ModuleFiles& files);
base::Result<> empty_out(const std::filesystem::path& folder);
struct RunResult {
  std::optional<int> code;  // none: the program did not come to its end
  std::string log, plan_text, plan;
  bool plan_too_large = false;
};
RunResult read_out(const std::filesystem::path& folder);
void clear_away(const std::filesystem::path& folder);

// terraform, or tofu, in the PATH of this process, links resolved; "" where there is neither.
std::string find_program();

}  // namespace mainstay::cloud
