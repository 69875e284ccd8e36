// Precompiled for every layer above base: the standard headers, Boost.JSON and the coroutine type, but no I/O
// templates.
#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/this_coro.hpp>

#include "base/pch.h"
