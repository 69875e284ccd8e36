#include "capabilities/pipelines/dockerfile.h"
#include "capabilities/pipelines/runner_text.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mainstay::pipelines;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto file = parse_dockerfile(text); file && file->instructions.empty()) __builtin_trap();
  (void)parse_command(text);
  (void)parse_assignments(text);
  (void)step_of_line(text);
  return 0;
}
