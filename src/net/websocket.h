// WebSockets (RFC 6455) over a connection that HTTP has been spoken on.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "net/buffer.h"
#include "net/client.h"
#include "net/http.h"
#include "net/stream.h"

namespace mainstay::net {

// The connection, with bytes already read from it; `owner` keeps both.
struct WebSocketLink {
  Stream* stream = nullptr;
  Buffer* buffer = nullptr;
  std::shared_ptr<void> owner;
};

// Why this request cannot become a WebSocket; "" where it can.
std::string websocket_fault(const Request& request, const WebSocketBody& body);
// Answers the handshake with these headers, serves, closes. The connection is of no more use afterwards.
async::Task<> serve_websocket(WebSocketLink link, const Request& request, Headers headers, WebSocketBody body);
// Sends the handshake. An answer other than 101 is an error with that status' code and the Status' message.
async::Task<base::Result<std::unique_ptr<WebSocket>>> connect_websocket(WebSocketLink link, std::string host,
                                                                        ClientRequest request,
                                                                        std::vector<std::string> subprotocols);

}  // namespace mainstay::net
