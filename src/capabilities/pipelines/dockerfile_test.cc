#include "capabilities/pipelines/dockerfile.h"

#include <gtest/gtest.h>

namespace mainstay::pipelines {
namespace {

TEST(Dockerfile, KeepsLines) {
  auto file = parse_dockerfile(
      "# syntax=x\nFROM a AS b\n\n# note\nRUN one \\\n  # inner\n  && two\nCOPY x y\nrun <<EOF\necho hi\nEOF\nCMD "
      "[\"x\"]\n");
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_EQ(file->instructions.size(), 5u);
  EXPECT_EQ(file->instructions[1].keyword, "RUN");
  EXPECT_EQ(file->instructions[1].line, 5u);
  EXPECT_EQ(file->instructions[1].arguments, "one && two");
  EXPECT_EQ(file->step(3)->line, 8u);
  EXPECT_EQ(file->instructions[3].line, 9u);
  EXPECT_EQ(file->instructions[4].line, 12u);
  EXPECT_EQ(file->step(0), nullptr);
  EXPECT_EQ(file->step(6), nullptr);
}

TEST(Dockerfile, Faults) {
  EXPECT_TRUE(parse_dockerfile("").error().message.contains("no FROM"));
  EXPECT_TRUE(parse_dockerfile("RUN x\n").error().message.contains("line 1: the first instruction must be FROM"));
  EXPECT_TRUE(parse_dockerfile("FROM a\n{}\n").error().message.contains("line 2"));
  EXPECT_TRUE(parse_dockerfile("ARG V=1\nFROM a:$V\n"));
  EXPECT_TRUE(parse_dockerfile("FROM a\nRUN x \\"));
}

TEST(Dockerfile, StepLines) {
  EXPECT_EQ(step_of_line("STEP 3/4: RUN make"), 3u);
  EXPECT_EQ(step_of_line("[1/2] STEP 12/14: RUN make"), 12u);
  EXPECT_EQ(step_of_line("STEP x"), 0u);
  EXPECT_EQ(step_of_line("echo STEP 3/4: no"), 0u);
}

}  // namespace
}  // namespace mainstay::pipelines
