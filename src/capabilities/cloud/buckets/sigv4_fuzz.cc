#include <cstdint>

#include "base/strings.h"
#include "capabilities/cloud/buckets/sigv4.h"

// The first line is a request target, the further ones headers; what follows an empty line is a chunked body.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mainstay;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto split = text.find("\n\n");
  const auto lines = base::split(text.substr(0, split), '\n');
  auto target = cloud::parse_s3_target(lines[0]);
  if (!target) return 0;
  net::Headers headers;
  for (std::size_t i = 1; i < lines.size(); ++i)
    if (const auto colon = lines[i].find(':'); colon != std::string_view::npos)
      headers.add(lines[i].substr(0, colon), std::string(base::trim(lines[i].substr(colon + 1))));
  auto signature = cloud::read_signature(*target, headers);
  if (!signature || !*signature) return 0;
  cloud::fresh(**signature, base::SystemTime{});
  cloud::signed_with("secret", "PUT", *target, headers, **signature);
  if (split == std::string_view::npos) return 0;
  std::string out;
  cloud::ChunkDecoder unsigned_chunks("", **signature);
  if (unsigned_chunks.feed(text.substr(split + 2), out) && out.size() > size) __builtin_trap();
  cloud::ChunkDecoder chunks("key", **signature);
  (void)chunks.feed(text.substr(split + 2), out);
  return 0;
}
