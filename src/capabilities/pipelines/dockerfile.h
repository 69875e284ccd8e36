// A Dockerfile's instructions and their lines: enough to say where a build failed, what it exposes, and whether it is
// one that needs no container to build.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mainstay::pipelines {

struct Instruction {
  std::string keyword;    // upper case
  std::string arguments;  // continuation lines joined, comments taken out
  std::size_t line = 1;   // where it begins
};

struct Dockerfile {
  std::vector<Instruction> instructions;
  // The instruction that buildah's "STEP n/m" means, counted from 1 over the whole file; nullptr where there is none.
  const Instruction* step(std::size_t n) const;
};

// Errors name the line. A Dockerfile without FROM is one. Heredocs are kept as the text of their instruction.
base::Result<Dockerfile> parse_dockerfile(std::string_view text);

// "STEP 3/4: RUN make" to 3; 0 where the line is no such line.
std::size_t step_of_line(std::string_view line);

}  // namespace mainstay::pipelines
