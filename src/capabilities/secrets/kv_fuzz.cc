// Paths and bodies of the Vault API: what is accepted keeps its bounds.
#include <cstdint>
#include <cstdlib>

#include "capabilities/secrets/kv_path.h"

using namespace mainstay::secrets;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto path = KvPath::entry(text)) {
    if (path->team.empty() || path->path.empty() || path->to_string() != text || text.size() > kMaxPath) std::abort();
    if (path->team.find('/') != std::string::npos || path->path.find("//") != std::string::npos) std::abort();
  }
  if (auto folder = KvPath::folder(text); folder && folder->to_string().size() > kMaxPath) std::abort();
  if (auto body = parse_write(text); body && body->cas && *body->cas < 0) std::abort();
  if (auto versions = parse_versions(text)) {
    for (const std::int64_t version : *versions) {
      if (version < 1) std::abort();
    }
  }
  if (auto metadata = parse_metadata(text); metadata && metadata->max_versions.value_or(0) > kMaxVersions) std::abort();
  return 0;
}
