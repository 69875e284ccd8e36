// The HTTP/1.1 client: http, https and http+unix (`unix:/path/to.sock`), a pool of kept connections per origin.
#pragma once
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "async/runtime.h"
#include "net/http.h"
#include "net/tls.h"

namespace mainstay::net {

struct ClientOptions {
  ClientTls tls;
  std::chrono::milliseconds connect_timeout{5000};
  std::chrono::milliseconds response_timeout{30000};  // until the response's head; streams have no limit after that
  std::size_t max_kept_connections = 16;
};

struct ClientRequest {
  std::string method = "GET";
  std::string target = "/";  // path and query, percent-encoded
  Headers headers;
  std::string body;
  std::shared_ptr<BodyReader> stream;  // in place of `body`: sent chunked, or with its length where it knows it
  std::optional<std::chrono::milliseconds> response_timeout;  // in place of the client's own
};

struct ClientResponse {
  int status = 0;
  Headers headers;
  std::shared_ptr<BodyReader>
      body;  // must be read to its end for the connection to be kept; dropping it closes the connection
};

class Client {
 public:
  // `origin`: "https://127.0.0.1:6443", "http://10.244.0.5:8080", "unix:/run/x.sock".
  static base::Result<std::shared_ptr<Client>> create(async::Executor executor, std::string origin,
                                                      ClientOptions options = {});
  virtual ~Client() = default;
  // Errors: kUnavailable (cannot connect, broke off), kTimeout, kInvalid (not HTTP).
  virtual async::Task<base::Result<ClientResponse>> send(ClientRequest request) = 0;
  // Connects a WebSocket.
  virtual async::Task<base::Result<std::unique_ptr<WebSocket>>> websocket(ClientRequest request,
                                                                          std::vector<std::string> subprotocols) = 0;
};

// One command over a Unix stream socket: writes `data`, half-closes, reads to the end (HAProxy's stats socket).
async::Task<base::Result<std::string>> unix_exchange(std::string path, std::string data,
                                                     std::chrono::milliseconds limit);
// Whether something accepts TCP connections there within `limit` (probes).
async::Task<bool> tcp_probe(std::string host, std::uint16_t port, std::chrono::milliseconds limit);

}  // namespace mainstay::net
