// What becomes of a selected line: filters, and parsers that give it labels of its own. Pure; bounded in labels and
// size.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "capabilities/observe/logql.h"

namespace mainstay::observe {

using StreamLabels = std::vector<std::pair<std::string, std::string>>;  // sorted by name

inline constexpr std::size_t kMaxParsedLabels = 100, kMaxParsedLine = 64 * 1024;

// Whether the line passes. Parsers add to `labels`, as Loki names them: nested members are joined by "_", a name that
// the stream has already gets "_extracted", lists are left out. A line that is none of the kind gets __error__.
bool through(const std::vector<PipelineStage>& stages, std::string_view line, StreamLabels& labels);

}  // namespace mainstay::observe
