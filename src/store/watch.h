// Internal to store/.
#pragma once
#include "store/state.h"

namespace mainstay::store {

// A position in a history; the history is shared with the backend and every other watch of the resource.
struct Watch::Impl {
  Impl(std::shared_ptr<History> h, std::uint64_t p, std::int64_t r, base::Gauge& o)
      : history(std::move(h)), position(p), revision(r), open(o) {
    open.add(1);
  }
  ~Impl() { open.add(-1); }

  std::shared_ptr<History> history;
  std::uint64_t position;
  std::int64_t revision;  // of the last change given out
  base::Gauge& open;
};

}  // namespace mainstay::store
