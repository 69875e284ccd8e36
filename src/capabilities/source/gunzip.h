// A gzip request body, unpacked as it is read: git compresses what it asks for when that is long.
#pragma once
#include <memory>

#include "net/http.h"

namespace mainstay::source {

// Gives at most `max` unpacked bytes, then throws StatusError 413; 400 where it is not gzip.
std::shared_ptr<net::BodyReader> gunzip(std::shared_ptr<net::BodyReader> packed, std::uint64_t max);

}  // namespace mainstay::source
