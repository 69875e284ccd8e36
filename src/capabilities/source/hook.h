// The verb `mainstay hook`, which git starts inside a push.
#pragma once

namespace mainstay::source {

// `hook pre-receive`: refuses to delete or rewrite protected branches (patterns in MAINSTAY_PROTECTED, one a line),
// reading git's "old new ref" lines from standard input. argv[0] is "hook". Gives the exit status: 0 lets the push
// pass.
int hook_main(int argc, char** argv);

}  // namespace mainstay::source
