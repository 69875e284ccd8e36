// What a line holds, as labels: JSON, logfmt, a pattern, a regular expression. Pure; bounded in labels and size.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "capabilities/observe/logql.h"

namespace mainstay::observe {

using StreamLabels = std::vector<std::pair<std::string, std::string>>;  // sorted by name

inline constexpr std::size_t kMaxParsedLabels = 100, kMaxParsedLine = 64 * 1024;
inline constexpr std::size_t kMaxLabelBytes = 256 * 1024;  // of one line's labels

std::size_t size_of(const StreamLabels& labels);  // bytes of names and values
const std::string* find_label(const StreamLabels& labels, std::string_view name);
void set_label(StreamLabels& labels, std::string name, std::string value);

// Adds what the stage's parser finds to `labels`, as Loki names it: nested members are joined by "_", a name that the
// stream has already gets "_extracted", lists are left out. Of one line a name's first value stays, and a later stage
// replaces an earlier one's. A line that is none of the kind gets __error__.
void parse_line(const PipelineStage& stage, std::string_view line, const StreamLabels& stream, StreamLabels& labels);

}  // namespace mainstay::observe
