// What becomes of a selected line: filters, parsers that give it labels of its own, and new texts. Pure.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "capabilities/observe/log_parsers.h"

namespace mainstay::observe {

// A line on its way. `line` may come to lie in `text`: it is valid as long as this is, and what it was given.
struct PassingLine {
  std::string_view line;
  std::int64_t time_us = 0;
  StreamLabels labels;  // its stream's, then its own; sorted once it is through
  std::string text;
};

// Whether it passes. `stream` are the labels of its stream.
bool through(const std::vector<PipelineStage>& stages, const StreamLabels& stream, PassingLine& line);

}  // namespace mainstay::observe
