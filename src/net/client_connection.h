// One connection of the client and one exchange over it.
#pragma once
#include <memory>

#include "net/body.h"
#include "net/buffer.h"
#include "net/client.h"
#include "net/stream.h"
#include "net/tls_context.h"

namespace mainstay::net {

struct Origin {
  bool tls = false;
  std::string host;  // empty: a Unix socket
  std::uint16_t port = 0;
  std::string socket_path;
  std::string host_header;
  std::string text;  // as given

  static base::Result<Origin> parse(std::string text);
};

struct ClientConnection {
  ClientConnection(const async::Executor& executor, int fd, std::shared_ptr<Deadlines> deadlines)
      : stream(executor, fd, std::move(deadlines)) {}
  Stream stream;
  Buffer buffer;
  std::unique_ptr<MessageParser> parser;  // of the answer under way
};

async::Task<base::Result<std::shared_ptr<ClientConnection>>> open_connection(Origin origin, ClientOptions options,
                                                                             TlsContext tls,
                                                                             std::shared_ptr<Deadlines> deadlines);

struct Exchange {
  base::Result<ClientResponse> response;
  bool reusable = false;  // the connection, once the body has been read
  bool nothing_back =
      false;  // it failed before a byte of the answer came: a kept connection may have been closed meanwhile
};
// Sends the request and reads the answer's head. The body reads from the connection and keeps it.
async::Task<Exchange> exchange(std::shared_ptr<ClientConnection> connection, const ClientRequest& request,
                               const Origin& origin, std::chrono::milliseconds limit);

}  // namespace mainstay::net
