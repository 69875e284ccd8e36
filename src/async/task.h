// The coroutine type. Rules (see docs/adr/coroutines.md): no detached work; spawned coroutines take values; no
// capturing lambda coroutine called as a temporary; no mutex held over co_await; invariants rechecked after it.
//
// Threads: all capabilities, the API and all network I/O run on ONE event loop thread, so their state needs no locks.
// CPU-bound and blocking work goes to the pool (async/runtime.h), which is the only place where threads meet.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

namespace mainstay::async {

using Executor = boost::asio::any_io_executor;
template <class T = void>
using Task = boost::asio::awaitable<T>;

}  // namespace mainstay::async
