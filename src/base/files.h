// Files written so that a crash leaves the old content or the new, never a part.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mainstay::base {

Result<std::string> read_file(const std::filesystem::path& path, std::size_t max_bytes = 64u << 20);
// Temporary file, fsync, rename, fsync of the folder.
Result<> write_file(const std::filesystem::path& path, std::string_view content, unsigned mode = 0644);
Result<> make_directories(const std::filesystem::path& path, unsigned mode = 0755);

}  // namespace mainstay::base
