#include "net/client.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "async/suspend.h"
#include "net/client_connection.h"
#include "net/websocket.h"

namespace mainstay::net {
namespace {

bool has_bad_bytes(std::string_view text) {
  return text.empty() || std::any_of(text.begin(), text.end(),
                                     [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; });
}

// RFC 9110 section 9.2.2, without those that carry a body: what may be sent again without harm.
bool is_replayable(const ClientRequest& request) {
  return !request.stream && (request.method == "GET" || request.method == "HEAD" || request.method == "OPTIONS");
}

class PooledClient final : public Client, public std::enable_shared_from_this<PooledClient> {
 public:
  PooledClient(async::Executor executor, Origin origin, ClientOptions options, TlsContext tls)
      : origin_(std::move(origin)),
        options_(std::move(options)),
        tls_(std::move(tls)),
        deadlines_(std::make_shared<Deadlines>(std::move(executor))) {}

  async::Task<base::Result<ClientResponse>> send(ClientRequest request) override {
    MAINSTAY_CHECK_CANCELLED();
    const auto self = shared_from_this();
    if (has_bad_bytes(request.method) || has_bad_bytes(request.target)) {
      co_return base::fail(base::ErrorCode::kInvalid,
                           "a request's method and target must be percent-encoded text without spaces");
    }
    for (;;) {
      auto connection = take_kept();
      const bool kept = connection != nullptr;
      if (!kept) {
        auto opened = co_await open_connection(origin_, options_, tls_, deadlines_);
        if (!opened) co_return std::unexpected(std::move(opened).error());
        connection = *std::move(opened);
      }
      Exchange done =
          co_await exchange(connection, request, origin_, request.response_timeout.value_or(options_.response_timeout));
      // The server may close a kept connection at the very moment it is used again.
      if (!done.response && kept && done.nothing_back && is_replayable(request)) continue;
      if (done.response) keep_when_read(*done.response, connection, done.reusable);
      co_return std::move(done.response);
    }
  }

  async::Task<base::Result<std::unique_ptr<WebSocket>>> websocket(ClientRequest request,
                                                                  std::vector<std::string> subprotocols) override {
    MAINSTAY_CHECK_CANCELLED();
    const auto self = shared_from_this();
    auto opened = co_await open_connection(origin_, options_, tls_, deadlines_);
    if (!opened) co_return std::unexpected(std::move(opened).error());
    const auto& connection = *opened;
    connection->stream.deadline_in(options_.response_timeout);
    auto socket = co_await connect_websocket(WebSocketLink{&connection->stream, &connection->buffer, connection},
                                             origin_.host_header, std::move(request), std::move(subprotocols));
    connection->stream.no_deadline();
    co_return socket;
  }

 private:
  std::shared_ptr<ClientConnection> take_kept() {
    while (!kept_.empty()) {
      auto connection = std::move(kept_.back());  // the latest: the others get the chance to grow old
      kept_.pop_back();
      if (connection->buffer.empty() && connection->stream.is_quiet()) return connection;
    }
    return nullptr;
  }

  void keep_when_read(ClientResponse& response, const std::shared_ptr<ClientConnection>& connection, bool reusable) {
    auto body = std::static_pointer_cast<WireBody>(response.body);
    const auto give_back = [client = weak_from_this(), connection, reusable](bool complete) {
      const auto self = client.lock();
      if (self && complete && reusable && self->kept_.size() < self->options_.max_kept_connections) {
        connection->buffer.release();
        self->kept_.push_back(connection);
      }
    };
    if (body->at_end()) {
      give_back(true);
      body->detach();
    } else {
      body->on_finish(give_back);
    }
  }

  Origin origin_;
  ClientOptions options_;
  TlsContext tls_;
  std::shared_ptr<Deadlines> deadlines_;
  std::vector<std::shared_ptr<ClientConnection>> kept_;
};

}  // namespace

base::Result<std::shared_ptr<Client>> Client::create(async::Executor executor, std::string origin,
                                                     ClientOptions options) {
  MAINSTAY_TRY(Origin parsed, Origin::parse(std::move(origin)));
  TlsContext tls;
  if (parsed.tls) {
    MAINSTAY_TRY(tls, make_client_context(options.tls));
  }
  return std::make_shared<PooledClient>(std::move(executor), std::move(parsed), std::move(options), std::move(tls));
}

}  // namespace mainstay::net
