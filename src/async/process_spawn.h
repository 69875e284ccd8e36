// Starting a child: the part between clone and exec. Not for other layers.
#pragma once
#include <sys/types.h>

#include "async/process.h"

namespace mainstay::async {

// The child's ends of its standard descriptors; -1 for /dev/null.
struct ChildEnds {
  int in = -1, out = -1, err = -1;
};
struct Spawned {
  pid_t pid = -1;
  int pidfd = -1;  // the caller's, close-on-exec
};

// Returns once the child runs its program. Errors: kNotFound (no such program), kInvalid, kExhausted, kInternal.
base::Result<Spawned> spawn_child(const ProcessOptions& options, const ChildEnds& ends);

}  // namespace mainstay::async
