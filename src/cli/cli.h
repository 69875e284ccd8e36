#pragma once

namespace mainstay::cli {

// Every verb but `up`, `hook` and `runner`: thin over the API. Exit codes: 0 done, 1 failed (the server's reason on
// standard error), 2 wrong usage, 3 not logged in or not reachable, 4 not found, 5 forbidden.
int cli_main(int argc, char** argv);

}  // namespace mainstay::cli
