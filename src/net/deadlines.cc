#include "net/deadlines.h"

#include <algorithm>
#include <vector>

namespace mainstay::net {

void Deadlines::add(Entry& entry) {
  entry.deadline_ = kNever;
  entry.at_ = entries_.insert(entries_.end(), &entry);
}

void Deadlines::remove(Entry& entry) {
  entries_.erase(entry.at_);
  if (!entries_.empty()) return;
  next_ = kNever;
  timer_.cancel();
}

void Deadlines::set(Entry& entry, Time deadline) {
  entry.deadline_ = deadline;
  if (deadline < next_) schedule(deadline);
}

void Deadlines::schedule(Time at) {
  next_ = at;
  timer_.expires_at(at);
  timer_.async_wait([self = weak_from_this()](const boost::system::error_code& error) {
    if (error) return;
    if (const auto alive = self.lock()) alive->tick();
  });
}

void Deadlines::tick() {
  const Time now = std::chrono::steady_clock::now();
  std::vector<Entry*> due;
  Time earliest = kNever;
  for (Entry* entry : entries_) {
    if (entry->deadline_ <= now) {
      entry->deadline_ = kNever;
      due.push_back(entry);
    } else {
      earliest = std::min(earliest, entry->deadline_);
    }
  }
  next_ = kNever;
  // Not more often than this: a walk over thousands of connections serves many limits at once.
  if (earliest != kNever) schedule(std::max(earliest, now + std::chrono::milliseconds(100)));
  for (Entry* entry : due) entry->on_deadline();  // cancels waits, which resume later: nobody leaves the list meanwhile
}

}  // namespace mainstay::net
