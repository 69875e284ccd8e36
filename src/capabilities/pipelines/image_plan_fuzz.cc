#include "capabilities/pipelines/image_plan.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mainstay::pipelines;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto file = parse_dockerfile(text)) {
    (void)native_base(*file, {{"A", "b"}});
    (void)plan_image(*file, {{"A", "b"}}, {});
  }
  BaseTree tree;
  tree.add(text);
  if (const auto path = tree.resolve("/a/b/../c", true); path && !path->starts_with('/')) __builtin_trap();
  if (const auto ignore = Ignore::parse(text)) (void)ignore->ignores("a/b/c");
  return 0;
}
