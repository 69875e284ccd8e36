// Paths, ranges and challenges as anybody may send them.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "capabilities/artifacts/protocol.h"
#include "capabilities/artifacts/upstream.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mainstay::artifacts;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto target = parse_target(text); target && target->repository.find("..") != std::string::npos)
    std::abort();
  if (const auto range = parse_content_range(text); range && range->last < range->first) std::abort();
  constexpr std::uint64_t kSize = 1000;
  if (const auto range = parse_range(text, kSize);
      range && *range && ((*range)->last >= kSize || (*range)->first > (*range)->last)) {
    std::abort();
  }
  static_cast<void>(parse_challenge(text));
  static_cast<void>(Url::parse(text));
  static_cast<void>(etag_matches(text, "sha256:x"));
  return 0;
}
