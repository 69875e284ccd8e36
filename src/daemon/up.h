#pragma once

namespace mainstay::daemon {

// `mainstay up`: serves in the foreground until SIGINT or SIGTERM. Exit codes: 0 stopped, 1 failed, 2 wrong usage,
// 3 the preflight found something to mend first.
int up_main(int argc, char** argv);

}  // namespace mainstay::daemon
