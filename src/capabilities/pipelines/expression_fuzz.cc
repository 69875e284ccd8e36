#include "capabilities/pipelines/expression.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mainstay::pipelines;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  EvaluationContext context;
  context.values = {{"github", boost::json::object{{"ref", "x"}, {"a", boost::json::array{1, "b", nullptr}}}},
                    {"env", boost::json::object{}}};
  (void)evaluate_text(text, context);
  (void)evaluate_condition(text, context);
  return 0;
}
