#include "net/connection.h"

#include <sys/socket.h>

#include <cerrno>

#include "base/log.h"
#include "base/status.h"
#include "base/strings.h"
#include "net/parser.h"
#include "net/respond.h"
#include "net/websocket.h"

namespace mainstay::net {
namespace {

constexpr std::size_t kHeadRead = 8 * 1024;
// What of an unread body is read and dropped to keep a connection; more than this is not worth it.
constexpr std::size_t kMostDropped = 256 * 1024;

}  // namespace

Response status_response(const base::StatusError& error) {
  Response response = Response::json(error.code(), error.to_json());
  if (const auto* seconds = error.details().if_contains("retryAfterSeconds")) {
    response.headers.set("Retry-After", base::json::serialize(*seconds));
  }
  return response;
}

Connection::Connection(std::shared_ptr<ServerShared> server, int fd, std::string peer, TlsContext tls)
    : server_(std::move(server)),
      stream_(server_->runtime.executor(), fd, server_->deadlines),
      peer_(std::move(peer)),
      tls_(std::move(tls)),
      at_(server_->connections.insert(server_->connections.end(), this)) {
  stream_.idle_limit(server_->limits.idle_timeout);
}

Connection::~Connection() {
  server_->connections.erase(at_);
  server_->ended.notify_all();
}

async::Task<> Connection::run(std::shared_ptr<Connection> self) {
  const bool ready = !self->tls_ || co_await self->start_tls();
  while (ready && co_await self->serve_one()) {
  }
  if (self->unread_input_) {
    co_await self->linger();
  } else if (self->stream_.is_open()) {
    self->stream_.shutdown_write();
  }
}

async::Task<bool> Connection::start_tls() {
  auto ssl = server_ssl(tls_);
  if (!ssl) co_return false;
  stream_.deadline_in(server_->limits.header_timeout);
  const Io state = co_await stream_.handshake(*std::move(ssl));
  if (state == Io::kOk) {
    client_certificate_ = peer_certificate(stream_.ssl());
    co_return true;
  }
  if (stream_.error() == "http request") {
    constexpr std::string_view kAnswer =
        "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
        "This port speaks HTTPS. Use an https:// URL.\n";
    (void)!::send(stream_.fd(), kAnswer.data(), kAnswer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    unread_input_ = true;
  }
  base::log::debug("net", "TLS handshake with {} failed: {}", peer_, stream_.error());
  co_return unread_input_;
}

async::Task<bool> Connection::read_head(MessageParser& parser) {
  idle_ = true;
  stream_.deadline_in(first_ ? std::chrono::seconds(server_->limits.header_timeout) : server_->limits.idle_timeout);
  for (;;) {
    // RFC 9112 section 2.2: empty lines before a request are ignored.
    while (idle_ && buffer_.view().starts_with("\r\n")) buffer_.consume(2);
    if (!buffer_.empty()) {
      if (idle_) stream_.deadline_in(server_->limits.header_timeout);
      idle_ = false;
      std::size_t used = 0;
      const auto state = parser.parse_head(buffer_.view(), used);
      buffer_.consume(used);
      if (state == MessageParser::State::kDone) break;
      if (state == MessageParser::State::kBad)
        co_return co_await refuse(400, "not a request in HTTP/1.1: " + parser.error());
      if (state == MessageParser::State::kHeadTooLarge) {
        co_return co_await refuse(
            431, "the request's head is larger than " + std::to_string(server_->limits.max_header_bytes) + " bytes");
      }
    } else if (server_->stopping) {
      co_return false;
    }
    if (idle_) {
      buffer_.release();
      // A client that waited for its answer has not sent more yet: asking the socket first would be in vain.
      if (!first_ && !stream_.has_buffered()) {
        const Io state = co_await stream_.wait(Stream::Want::kRead);
        if (state != Io::kOk) co_return false;
      }
    }
    const IoResult result = co_await stream_.read_some(buffer_.room(kHeadRead));
    if (result.state == Io::kTimeout && !idle_) co_return co_await refuse(408, "the request's head took too long");
    if (result.state != Io::kOk) co_return false;
    buffer_.commit(result.n);
  }
  stream_.no_deadline();
  first_ = false;
  co_return true;
}

std::string Connection::head_fault(const Head& head) {
  std::size_t hosts = 0;
  for (const auto& [name, value] : head.headers.all()) hosts += base::iequals(name, "Host") ? 1 : 0;
  // RFC 9112 section 3.2. Two hosts could be read differently by a proxy before us.
  if (hosts > 1 || (hosts == 0 && head.version == 11)) return "a request must have exactly one Host header";
  // Section 6.1: a body we could not find the end of must not be taken for the next request.
  if (head.headers.has("Transfer-Encoding") && !head.chunked) return "this Transfer-Encoding is not supported";
  if (head.chunked && head.version == 10) return "HTTP/1.0 has no chunked bodies";
  return {};
}

std::shared_ptr<Request> Connection::make_request(Head& head, Target target) {
  auto request = std::make_shared<Request>();
  request->method = std::move(head.method);
  request->path = std::move(target.path);
  request->raw_target = std::move(head.target);
  request->query = std::move(target.query);
  request->headers = std::move(head.headers);
  request->peer = peer_;
  request->secure = stream_.ssl() != nullptr;
  request->client_certificate = client_certificate_;
  return request;
}

async::Task<Response> Connection::call_handler(std::shared_ptr<Request> request) {
  try {
    co_return co_await server_->handler(request);
  } catch (const async::Cancelled&) {
    throw;
  } catch (const base::StatusError& e) {
    co_return status_response(e);
  } catch (const std::exception& e) {
    base::log::error("net", "{} {} failed: {}", request->method, request->path, e.what());
    co_return status_response(base::internal_error("an internal error; the server's log says more"));
  }
}

async::Task<bool> Connection::refuse(int status, std::string message) {
  const base::StatusError error = status == 400
                                      ? base::bad_request(message)
                                      : base::StatusError(status, std::string(reason_phrase(status)), message);
  stream_.deadline_in(server_->limits.header_timeout);
  co_await send(Request{}, status_response(error), false);
  unread_input_ = true;
  co_return false;
}

async::Task<bool> Connection::serve_one() {
  if (unread_input_) co_return false;  // plain HTTP on the TLS port has been answered
  MessageParser parser(MessageParser::Kind::kRequest, server_->limits.max_header_bytes);
  if (!co_await read_head(parser)) co_return false;
  Head& head = parser.head();
  http_1_0_ = head.version == 10;
  if (std::string fault = head_fault(head); !fault.empty()) co_return co_await refuse(400, std::move(fault));
  auto target = parse_target(head.method, head.target);
  if (!target) co_return co_await refuse(400, target.error().message);

  Framing framing;
  if (head.chunked) {
    framing.kind = Framing::Kind::kChunked;
  } else if (head.content_length.value_or(0) > 0) {
    framing = {Framing::Kind::kLength, *head.content_length};
  }
  const bool keep_alive = head.keep_alive;
  const bool expects_continue = !http_1_0_ && base::iequals(head.headers.get("Expect"), "100-continue");
  auto body = std::make_shared<WireBody>(
      WireBody::Source{&stream_, &buffer_, &parser, WireBody::Side::kServer, shared_from_this()}, framing,
      expects_continue);
  struct Detach {
    WireBody& body;
    ~Detach() { body.detach(); }
  } detach{*body};  // the handler may keep the request, and through it the body
  auto request = make_request(head, *std::move(target));
  request->body = body;

  Response response = co_await call_handler(request);
  if (auto* upgrade = std::get_if<WebSocketBody>(&response.body)) {
    const std::string fault = websocket_fault(*request, *upgrade);
    if (fault.empty() && body->at_end()) {
      co_await serve_websocket(WebSocketLink{&stream_, &buffer_, shared_from_this()}, *request,
                               std::move(response.headers), std::move(*upgrade));
      co_return false;
    }
    response = status_response(base::bad_request(fault.empty() ? "a WebSocket's request has no body" : fault));
  }
  // An answer to a body that was never asked for by 100 Continue ends the connection (RFC 9110 section 10.1.1).
  const bool keep = keep_alive && !server_->stopping && !body->awaits_continue();
  if (!co_await send(*request, std::move(response), keep)) {
    unread_input_ = unread_input_ || !body->at_end();
    co_return false;
  }
  if (!keep || !co_await settle_body(*body)) co_return false;
  if (!buffer_.empty()) co_await async::yield();  // whoever sends many requests at once does not hold up the others
  co_return true;
}

async::Task<bool> Connection::send_bytes(std::string_view head, std::string_view body) {
  co_return co_await stream_.write(head, body) == Io::kOk;
}

namespace {

struct Bytes {
  std::string_view operator()(const std::string& text) const { return text; }
  std::string_view operator()(const std::shared_ptr<const std::string>& text) const {
    return text ? *text : std::string_view();
  }
  template <class Other>
  std::string_view operator()(const Other&) const {
    return {};
  }
};

Framing framing_of(const Body& body, bool http_1_0) {
  using Kind = Framing::Kind;
  if (const auto* file = std::get_if<FileBody>(&body)) return {Kind::kLength, file->length};
  if (const auto* stream = std::get_if<StreamBody>(&body)) {
    if (stream->length) return {Kind::kLength, *stream->length};
    return {http_1_0 ? Kind::kUntilClose : Kind::kChunked, 0};
  }
  return {Kind::kLength, std::visit(Bytes{}, body).size()};
}

}  // namespace

async::Task<bool> Connection::send(const Request& request, Response response, bool keep_alive) {
  const bool head_only = request.method == "HEAD";
  const bool without_body = response.status == 204 || response.status == 304 || response.status < 200;
  Framing framing = framing_of(response.body, http_1_0_);
  // An answer to HEAD may state the length of a body that its handler did not make.
  const bool own_length = (head_only || response.status == 304) && response.headers.has("Content-Length");
  if (without_body || own_length) framing = {};
  if (framing.kind == Framing::Kind::kUntilClose) keep_alive = false;
  std::string head = response_head(response, framing, keep_alive, own_length);
  if (http_1_0_ && keep_alive) head.insert(head.size() - 2, "Connection: keep-alive\r\n");
  if (head_only || without_body) co_return co_await send_bytes(head, {}) && keep_alive;

  bool sent = false;
  if (auto* file = std::get_if<FileBody>(&response.body); file && file->length > 0) {
    std::optional<Response> instead;
    try {
      sent = co_await send_file(server_->runtime, stream_, std::move(head), std::move(*file)) == Io::kOk;
    } catch (const base::StatusError& e) {
      instead = status_response(e);
    }
    if (instead) co_return co_await send(request, *std::move(instead), keep_alive);
  } else if (auto* stream = std::get_if<StreamBody>(&response.body)) {
    sent = co_await send_stream(std::move(head), std::move(*stream), framing);
  } else {
    sent = co_await send_bytes(head, std::visit(Bytes{}, response.body));
  }
  co_return sent&& keep_alive;
}

async::Task<bool> Connection::send_stream(std::string head, StreamBody body, Framing framing) {
  if (!co_await send_bytes(head, {})) co_return false;
  co_return co_await write_stream(stream_, std::move(body), framing, peer_);
}

async::Task<bool> Connection::settle_body(WireBody& body) {
  if (body.at_end()) co_return true;
  auto dropped = std::make_unique_for_overwrite<char[]>(64 * 1024);
  std::size_t total = 0;
  try {
    while (total < kMostDropped) {
      const std::size_t n = co_await body.read({dropped.get(), 64 * 1024});
      if (n == 0) co_return true;
      total += n;
    }
  } catch (const base::StatusError&) {
    co_return false;
  }
  unread_input_ = true;
  co_return false;
}

// Ends our side and reads on for a moment: a connection closed with unread input is reset, which can take the answer (a
// 413 to a large upload, say) from the client before it has read it.
async::Task<> Connection::linger() {
  constexpr std::size_t kMost = 64u << 20;
  stream_.shutdown_write();
  stream_.deadline_in(std::chrono::seconds(5));
  auto dropped = std::make_unique_for_overwrite<char[]>(64 * 1024);
  for (std::size_t total = 0; total < kMost;) {
    const ssize_t n = ::recv(stream_.fd(), dropped.get(), 64 * 1024, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) co_return;
    if (n < 0 && co_await stream_.wait(Stream::Want::kRead) != Io::kOk) co_return;
    if (n > 0) total += static_cast<std::size_t>(n);
  }
}

}  // namespace mainstay::net
