// Parts of answering a request.
#pragma once
#include <string>

#include "base/status.h"
#include "net/http.h"
#include "net/stream.h"
#include "net/wire.h"

namespace mainstay::net {

// A StatusError as its JSON, with Retry-After where it says how long.
Response status_response(const base::StatusError& error);

// Lets the body write itself, until its end or until the peer goes, which cancels it even while it waits for something
// to write. false: the connection is of no more use.
async::Task<bool> write_stream(Stream& stream, StreamBody body, Framing framing, std::string peer);

}  // namespace mainstay::net
