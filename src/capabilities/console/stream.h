// Many GET requests over one WebSocket. A page of the console watches a dozen types at once and follows a log, and a
// browser opens only six HTTP/1.1 connections to a server. Each request inside goes through the whole chain (token,
// rights, audit) as if it had come on a connection of its own. Loki's tail, which elsewhere is a WebSocket, is listened
// to as well: each of its messages is a line.
//
// Client, text: {"token": "…"} first, and again after each refresh; {"id": 7, "get": "/api/v1/…?watch=true"};
// {"cancel": 7}. Server, binary: "<id> h <status>\n", then any number of "<id> d\n<bytes>", then "<id> e\n", or
// "<id> b\n" where the answer broke off: the right to it may have ended, or something is wrong; whoever wants it asks
// again. A close with code 4401 says that the token is not good any more.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "net/http.h"
#include "platform/host.h"

namespace mainstay::console {

struct StreamMessage {
  std::optional<std::string> token;
  std::optional<std::uint32_t> cancel, id;
  std::string target;  // with id: what to GET
};
// kInvalid, with words for the client, where it is none of the three.
base::Result<StreamMessage> parse_stream_message(std::string_view text);

// The request for a target; kInvalid where it is not the path of an API.
base::Result<std::shared_ptr<net::Request>> stream_request(const std::string& target, const std::string& token,
                                                           std::string peer);

// Adds GET /console/stream.
void add_stream_route(platform::Host& host);

}  // namespace mainstay::console
