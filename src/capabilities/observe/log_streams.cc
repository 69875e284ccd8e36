#include "capabilities/observe/log_streams.h"

#include <fmt/format.h>

#include <algorithm>

namespace mainstay::observe {

StreamLabels labels_of(const LogSpace& space, const RecordView& record) {
  StreamLabels out;
  const auto add = [&out](const char* name, std::string_view value) {
    if (!value.empty()) out.emplace_back(name, value);
  };
  add("container", record.container);
  add("namespace", space.ns);
  add("pod", record.pod);
  add("source", source_of(record.stream));
  if (record.stream == 'o' || record.stream == 'e') add("stream", record.stream == 'e' ? "stderr" : "stdout");
  add("team", space.team);
  add("workload", record.workload);
  return out;
}

bool selects(const LogSelector& selector, const StreamLabels& labels) {
  for (const LabelMatcher& m : selector.matchers) {
    const std::string* value = find_label(labels, m.name);
    // A label that is not there is an empty one.
    if (!m.matches(value ? std::string_view(*value) : std::string_view())) return false;
  }
  return true;
}

bool may_hold(const LogSelector& selector, const LogSpace& space) {
  for (const LabelMatcher& m : selector.matchers) {
    if (m.name == "namespace" && !m.matches(space.ns)) return false;
    if (m.name == "team" && !m.matches(space.team)) return false;
  }
  return true;
}

void StreamTable::begin(const LogSpace& space) {
  space_ = &space;
  known_.clear();
}

std::size_t StreamTable::of(const RecordView& record) {
  if (record.time_us < space_->since_us) return kNone;
  if (const auto at = known_.find(record.identity); at != known_.end()) return at->second;
  return known_[std::string(record.identity)] = decide(record);
}

std::size_t StreamTable::decide(const RecordView& record) {
  if (record.stream == 'a' ? !space_->audit : !space_->logs) return kNone;
  StreamLabels labels = labels_of(*space_, record);
  bool wanted = selectors_.empty();
  for (const LogSelector* selector : selectors_) wanted = wanted || selects(*selector, labels);
  if (!wanted) return kNone;
  if (streams_.size() >= kMaxStreams) {
    full_ = true;
    return kNone;
  }
  streams_.push_back(std::move(labels));
  return streams_.size() - 1;
}

std::unexpected<base::Error> StreamTable::too_many() {
  return base::fail(base::ErrorCode::kTooLarge,
                    fmt::format("more than {} streams match: narrow the selector or the time", kMaxStreams));
}

Pipeline::Pipeline(const LogSelector& selector) : stages_(selector.stages), parses_(selector.parses()) {
  labels_matter_ = std::any_of(stages_.begin(), stages_.end(),
                               [](const PipelineStage& s) { return s.kind != PipelineStage::Kind::kLine; });
}

bool Pipeline::through(const StreamLabels& stream, const RecordView& record) {
  passing_.line = record.line;
  passing_.time_us = record.time_us;
  if (labels_matter_) passing_.labels = stream;
  return observe::through(stages_, stream, passing_);
}

}  // namespace mainstay::observe
