#include "capabilities/pipelines/score.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mainstay::pipelines;
  (void)render_score("score.yaml", {reinterpret_cast<const char*>(data), size},
                     {"shop", "dev", "web", "c", "r", "i@sha256:1", 0, ".dev.shop.x"});
  return 0;
}
