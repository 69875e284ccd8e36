#include "net/client_connection.h"

#include <fmt/format.h>

#include <boost/asio/this_coro.hpp>
#include <charconv>

#include "net/connect.h"
#include "net/wire.h"

namespace mainstay::net {
namespace {

constexpr std::size_t kMaxHead = 256 * 1024;
constexpr std::size_t kUploadPiece = 64 * 1024;

base::Error broken(const Origin& origin, Io state, std::string_view during, const std::string& detail = "") {
  if (state == Io::kTimeout)
    return {base::ErrorCode::kTimeout, fmt::format("{} did not answer in time ({})", origin.text, during)};
  return {base::ErrorCode::kUnavailable, fmt::format("the connection to {} broke off ({}{}{})", origin.text, during,
                                                     detail.empty() ? "" : ": ", detail)};
}

Framing request_framing(const ClientRequest& request) {
  if (request.stream) {
    if (const auto length = request.stream->length()) return {Framing::Kind::kLength, *length};
    return {Framing::Kind::kChunked, 0};
  }
  const bool expects_body = request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
  if (request.body.empty() && !expects_body) return {};
  return {Framing::Kind::kLength, request.body.size()};
}

Framing response_framing(const Head& head, const std::string& method) {
  if (method == "HEAD" || head.status == 204 || head.status == 304) return {};
  if (head.chunked) return {Framing::Kind::kChunked, 0};
  if (head.content_length) return {Framing::Kind::kLength, *head.content_length};
  return {Framing::Kind::kUntilClose, 0};
}

// false: the server answered, or broke off, before the body's end.
async::Task<bool> upload(Stream& stream, std::shared_ptr<BodyReader> body, Framing framing) {
  auto piece = std::make_unique_for_overwrite<char[]>(kUploadPiece);
  std::uint64_t total = 0;
  for (;;) {
    const std::size_t n = co_await body->read({piece.get(), kUploadPiece});
    if (n == 0) break;
    total += n;
    if (!stream.is_quiet()) co_return false;
    const std::string_view data(piece.get(), n);
    Io state = Io::kOk;
    if (framing.kind == Framing::Kind::kChunked) {
      const std::string head = chunk_head(n);
      state = co_await stream.write(head, data, "\r\n");
    } else {
      if (total > framing.length) co_return false;
      state = co_await stream.write(data);
    }
    if (state != Io::kOk) co_return false;
  }
  if (framing.kind == Framing::Kind::kChunked) co_return co_await stream.write("0\r\n\r\n") == Io::kOk;
  co_return total == framing.length;
}

// The head of the final answer; those before it (1xx) are skipped.
async::Task<base::Result<void>> read_head(ClientConnection& connection, const Origin& origin, bool& nothing_back) {
  Io last = Io::kOk;
  for (;;) {
    connection.parser = std::make_unique<MessageParser>(MessageParser::Kind::kResponse, kMaxHead);
    for (;;) {
      if (!connection.buffer.empty()) {
        std::size_t used = 0;
        const auto state = connection.parser->parse_head(connection.buffer.view(), used);
        connection.buffer.consume(used);
        if (state == MessageParser::State::kDone) break;
        if (state != MessageParser::State::kNeedMore) {
          co_return base::fail(base::ErrorCode::kInvalid, fmt::format("{} does not answer in HTTP/1.1: {}", origin.text,
                                                                      connection.parser->error()));
        }
      }
      const IoResult result = co_await connection.stream.read_some(connection.buffer.room(16 * 1024));
      last = result.state;
      if (last != Io::kOk) {
        nothing_back = nothing_back && connection.buffer.empty() && last != Io::kTimeout;
        co_return std::unexpected(broken(origin, last, "waiting for its answer", connection.stream.error()));
      }
      connection.buffer.commit(result.n);
    }
    nothing_back = false;
    const int status = connection.parser->head().status;
    if (status >= 200 || status == 101) co_return base::Result<void>{};
  }
}

}  // namespace

base::Result<Origin> Origin::parse(std::string text) {
  Origin out;
  out.text = text;
  const auto bad = [&text](std::string_view why) {
    return base::fail(base::ErrorCode::kInvalid,
                      fmt::format("\"{}\": {}; expected https://host:port, http://host:port or unix:/path", text, why));
  };
  if (text.starts_with("unix:")) {
    out.socket_path = text.substr(5);
    out.host_header = "localhost";
    if (!out.socket_path.starts_with('/')) return bad("the socket's path is not absolute");
    return out;
  }
  out.tls = text.starts_with("https://");
  if (!out.tls && !text.starts_with("http://")) return bad("unknown scheme");
  std::string_view rest = std::string_view(text).substr(out.tls ? 8 : 7);
  if (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.find_first_of("/?#@ \r\n") != std::string_view::npos) return bad("an origin has no path, query or user");
  out.host_header = rest;
  out.port = out.tls ? 443 : 80;
  std::string_view host = rest;
  const auto colon = rest.rfind(':');
  if (colon != std::string_view::npos && rest.find(']', colon) == std::string_view::npos) {
    const std::string_view digits = rest.substr(colon + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), out.port);
    if (error != std::errc() || end != digits.data() + digits.size())
      return bad("the port is not a number up to 65535");
    host = rest.substr(0, colon);
  }
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host.empty()) return bad("the host is missing");
  out.host = host;
  return out;
}

async::Task<base::Result<std::shared_ptr<ClientConnection>>> open_connection(Origin origin, ClientOptions options,
                                                                             TlsContext tls,
                                                                             std::shared_ptr<Deadlines> deadlines) {
  const async::Executor executor = co_await boost::asio::this_coro::executor;
  auto connected = origin.host.empty() ? co_await connect_unix(origin.socket_path, options.connect_timeout)
                                       : co_await connect_tcp(origin.host, origin.port, options.connect_timeout);
  if (!connected) co_return std::unexpected(std::move(connected).error());
  auto connection = std::make_shared<ClientConnection>(executor, *connected, std::move(deadlines));
  if (!origin.tls) co_return connection;
  const std::string& name = options.tls.server_name.empty() ? origin.host : options.tls.server_name;
  MAINSTAY_CO_TRY(auto ssl, client_ssl(tls, name));
  connection->stream.deadline_in(options.connect_timeout);
  const Io state = co_await connection->stream.handshake(std::move(ssl));
  if (state == Io::kOk) co_return connection;
  const std::string reason = verification_error(connection->stream.ssl());
  co_return std::unexpected(
      broken(origin, state, "TLS handshake", reason.empty() ? connection->stream.error() : reason));
}

async::Task<Exchange> exchange(std::shared_ptr<ClientConnection> connection, const ClientRequest& request,
                               const Origin& origin, std::chrono::milliseconds limit) {
  Stream& stream = connection->stream;
  const Framing framing = request_framing(request);
  const std::string head = request_head(request.method, request.target, origin.host_header, request.headers, framing);
  stream.deadline_in(limit);
  Exchange out{base::Result<ClientResponse>{}, true, true};
  const Io written = co_await stream.write(head, request.stream ? std::string_view() : std::string_view(request.body));
  if (written == Io::kTimeout) {
    out.response = std::unexpected(broken(origin, written, "sending the request"));
    co_return out;
  }
  // A server that refuses a body may answer and close before it has read it: the answer is what counts.
  if (written != Io::kOk) out.reusable = false;
  if (request.stream && written == Io::kOk) {
    stream.no_deadline();
    stream.idle_limit(limit);  // an upload may last as long as it moves
    if (!co_await upload(stream, request.stream, framing)) out.reusable = false;
    stream.idle_limit({});
  }
  stream.deadline_in(limit);
  if (auto answered = co_await read_head(*connection, origin, out.nothing_back); !answered) {
    out.response = std::unexpected(std::move(answered).error());
    co_return out;
  }
  stream.no_deadline();
  Head& answer = connection->parser->head();
  const Framing body = response_framing(answer, request.method);
  out.reusable = out.reusable && answer.keep_alive && body.kind != Framing::Kind::kUntilClose && answer.status != 101;
  ClientResponse response;
  response.status = answer.status;
  response.headers = std::move(answer.headers);
  WireBody::Source source{&stream, &connection->buffer, connection->parser.get(), WireBody::Side::kClient, connection};
  response.body = std::make_shared<WireBody>(std::move(source), body, false);
  out.response = std::move(response);
  co_return out;
}

}  // namespace mainstay::net
