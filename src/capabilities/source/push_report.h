// The end of a push's answer: passes receive-pack's output on, but keeps its last packet back, so that words for people
// can be put before it.
#pragma once
#include <set>
#include <string>
#include <string_view>

namespace mainstay::source {

class PushReport {
 public:
  // Takes output of receive-pack, gives what may go to the client now.
  std::string feed(std::string_view output);
  // What was kept back: the closing flush, or the rest of an output that is not packets.
  std::string finish();
  // The refs that git's report says have moved.
  std::set<std::string> accepted() const;
  // True where the output came in bands and ended with its flush: progress_packets() may go before finish().
  bool takes_progress() const { return banded_ && held_ && pending_.empty() && !raw_; }

 private:
  std::string report_;   // what came in band 1, bounded
  std::string pending_;  // an incomplete packet
  bool held_ = false;    // a flush that is not passed on yet
  bool banded_ = false;  // packets of a side band were seen
  bool raw_ = false;     // not packets: all is passed on as it is
};

}  // namespace mainstay::source
