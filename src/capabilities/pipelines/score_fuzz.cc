#include "capabilities/pipelines/score.h"

// Both passes over a file from a repository: what it asks for, and its objects once placeholders have values.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mainstay::pipelines;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  DeployTarget target{"shop", "dev", "web", "c", "r", "i@sha256:1", 0, ".dev.shop.x"};
  const auto asked = render_score("score.yaml", text, target);
  if (!asked) return 0;
  auto values = std::make_shared<ResourceValues>();
  for (const ResourceRequest& resource : asked->resources)
    (*values)[resource.name] = {{"host", {"10.0.0.1", "", "", ""}},
                                {"password", {"", "secretKeyRef", "web-" + resource.name, "password"}}};
  target.resources = std::move(values);
  if (const auto rendered = render_score("score.yaml", text, target); rendered && rendered->name != asked->name)
    __builtin_trap();
  return 0;
}
