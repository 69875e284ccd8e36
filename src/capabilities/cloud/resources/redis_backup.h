// Copies of a Redis' append-only files (Redis 7: a folder with a manifest, a base file and increments). Blocking.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "platform/interfaces/resources.h"

namespace mainstay::cloud {

inline constexpr std::size_t kKeptRedisBackups = 10;

// Copies DATA/appendonlydir to FOLDER/<name>, durable when it returns; the oldest copies beyond ten go. The files only
// grow while the manifest is the same, so that a copy is the data as of a moment; where Redis rewrote them meanwhile
// the copy is made again.
base::Result<platform::ResourceBackup> copy_redis(const std::filesystem::path& data,
                                                  const std::filesystem::path& folder, const std::string& name);
// Oldest first.
std::vector<platform::ResourceBackup> list_redis_copies(const std::filesystem::path& folder);
// The copy in the place of DATA/appendonlydir, whose old content is kept beside it as appendonlydir.old; the server
// must be down. Everything is given to the user.
base::Result<> place_redis_copy(const std::filesystem::path& copy, const std::filesystem::path& data,
                                const std::string& user);
// After a crash in the middle of a restore: puts the old content back, or removes it where the new one is in place.
// `keep`: the new content was started from and is good.
void settle_redis_data(const std::filesystem::path& data, bool keep);

}  // namespace mainstay::cloud
