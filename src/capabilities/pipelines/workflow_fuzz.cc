#include "capabilities/pipelines/workflow.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mainstay::pipelines;
  const auto workflow = parse_workflow("w.yml", {reinterpret_cast<const char*>(data), size});
  if (!workflow) return workflow.error().message.empty() ? (__builtin_trap(), 0) : 0;
  (void)push_starts(*workflow, "refs/heads/main", std::vector<std::string>{"a/b"});
  for (const Job& job : workflow->jobs) (void)expand_matrix(job.matrix);
  return 0;
}
