// Streams: what lines of one source have in common, and which of them a selector and a caller's rights leave.
#pragma once
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "capabilities/observe/log_pipeline.h"
#include "capabilities/observe/log_record.h"

namespace mainstay::observe {

inline constexpr std::size_t kMaxStreams = 5000;
inline constexpr std::size_t kMaxHeld = 64u << 20;  // bytes of lines and of their labels that one query keeps

// A namespace that may be searched, and whose it is.
struct LogSpace {
  std::string ns, team;
  bool logs = true, audit = true;  // what the caller may see of it
  std::int64_t since_us = 0;  // nor what is older: a namespace of this name that is gone may have been another team's
};

struct LogSpan {
  std::int64_t from_us = 0, to_us = INT64_MAX;  // both included
};

// The labels of a stream: namespace, team, source, pod, container, workload, stream (stdout, stderr); no empty ones.
StreamLabels labels_of(const LogSpace& space, const RecordView& record);
bool selects(const LogSelector& selector, const StreamLabels& labels);
// Whether anything of this namespace can match, by the labels that all of it has.
bool may_hold(const LogSelector& selector, const LogSpace& space);

// Tells streams apart while one namespace is scanned: the selector is asked once a stream, not once a line.
class StreamTable {
 public:
  static constexpr std::size_t kNone = SIZE_MAX;
  StreamTable(std::vector<const LogSelector*> selectors, std::vector<StreamLabels>& streams)
      : selectors_(std::move(selectors)), streams_(streams) {}
  void begin(const LogSpace& space);
  // The stream's number, kNone where the selectors leave it out, or the caller may not see it.
  std::size_t of(const RecordView& record);
  bool full() const { return full_; }
  static std::unexpected<base::Error> too_many();

 private:
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  std::size_t decide(const RecordView& record);
  std::vector<const LogSelector*> selectors_;
  std::vector<StreamLabels>& streams_;
  const LogSpace* space_ = nullptr;
  std::unordered_map<std::string, std::size_t, TextHash, std::equal_to<>> known_;
  bool full_ = false;
};

// Takes lines through a selector's stages, one after the other.
class Pipeline {
 public:
  explicit Pipeline(const LogSelector& selector);
  bool parses() const { return parses_; }
  // Afterwards line() and labels() are what became of it.
  bool through(const StreamLabels& stream, const RecordView& record);
  std::string_view line() const { return passing_.line; }
  StreamLabels& labels() { return passing_.labels; }

 private:
  const std::vector<PipelineStage>& stages_;
  bool parses_ = false, labels_matter_ = false;
  PassingLine passing_;
};

}  // namespace mainstay::observe
