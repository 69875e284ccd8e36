#include "net/websocket.h"

#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/websocket/stream.hpp>

#include "async/suspend.h"
#include "base/log.h"
#include "base/status.h"
#include "base/strings.h"

namespace mainstay::net {
namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace ws = beast::websocket;

namespace {

using boost::system::error_code;
using Done = std::function<void(error_code, std::size_t)>;

constexpr std::size_t kMaxMessage = 16u << 20;

// What Beast asks of the stream below it, over ours.
class Layer {
 public:
  using executor_type = async::Executor;

  explicit Layer(WebSocketLink link) : link_(std::move(link)) {}
  executor_type get_executor() noexcept { return link_.stream->descriptor().get_executor(); }
  Stream& stream() { return *link_.stream; }

  template <class Buffers, class Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    return asio::async_initiate<Token, void(error_code, std::size_t)>(
        [this](auto handler, asio::mutable_buffer into) { read(into, erased(std::move(handler))); }, token,
        first_of<asio::mutable_buffer>(buffers));
  }
  template <class Buffers, class Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    return asio::async_initiate<Token, void(error_code, std::size_t)>(
        [this](auto handler, std::shared_ptr<std::string> copied, asio::const_buffer from) {
          write(std::move(copied), from, erased(std::move(handler)));
        },
        token, gathered(buffers), first_of<asio::const_buffer>(buffers));
  }

 private:
  static constexpr std::size_t kGather = 16 * 1024;

  // Beast's handlers can be moved only, and each is a type of its own: erased, one read and one write serve them all.
  template <class Handler>
  static Done erased(Handler handler) {
    auto held = std::make_shared<Handler>(std::move(handler));
    return [held](error_code error, std::size_t n) { std::move (*held)(error, n); };
  }
  template <class Buffer, class Buffers>
  static Buffer first_of(const Buffers& buffers) {
    for (Buffer buffer : beast::buffers_range_ref(buffers)) {
      if (buffer.size() > 0) return buffer;
    }
    return {};
  }
  // A frame's head and its payload in one write, where they are small; null where the first buffer is large.
  template <class Buffers>
  static std::shared_ptr<std::string> gathered(const Buffers& buffers) {
    if (first_of<asio::const_buffer>(buffers).size() >= kGather) return nullptr;
    auto out = std::make_shared<std::string>();
    for (asio::const_buffer buffer : beast::buffers_range_ref(buffers)) {
      out->append(static_cast<const char*>(buffer.data()), std::min(buffer.size(), kGather - out->size()));
      if (out->size() == kGather) break;
    }
    return out;
  }

  void complete(Done done, error_code error, std::size_t n) {
    asio::post(get_executor(), [done = std::move(done), error, n] { done(error, n); });
  }
  static error_code error_of(Io state) {
    if (state == Io::kOk) return {};
    return state == Io::kEnd ? error_code(asio::error::eof) : error_code(asio::error::connection_reset);
  }
  void retry(Stream::Want want, Done done, std::function<void(Done)> again) {
    using Descriptor = asio::posix::stream_descriptor;
    stream().descriptor().async_wait(want == Stream::Want::kRead ? Descriptor::wait_read : Descriptor::wait_write,
                                     [done = std::move(done), again = std::move(again)](error_code error) mutable {
                                       if (error) return done(error, 0);
                                       again(std::move(done));
                                     });
  }

  void read(asio::mutable_buffer into, Done done) {
    if (into.size() == 0) return complete(std::move(done), {}, 0);
    Buffer& left = *link_.buffer;
    if (!left.empty()) {
      const std::size_t n = std::min(into.size(), left.view().size());
      std::memcpy(into.data(), left.view().data(), n);
      left.consume(n);
      return complete(std::move(done), {}, n);
    }
    const auto attempt = stream().try_read({static_cast<char*>(into.data()), into.size()});
    if (attempt.want == Stream::Want::kNothing) {
      return complete(std::move(done), error_of(attempt.result.state), attempt.result.n);
    }
    retry(attempt.want, std::move(done), [this, into](Done d) { read(into, std::move(d)); });
  }

  void write(std::shared_ptr<std::string> copied, asio::const_buffer from, Done done) {
    const std::string_view data =
        copied ? *copied : std::string_view(static_cast<const char*>(from.data()), from.size());
    if (data.empty()) return complete(std::move(done), {}, 0);
    const auto attempt = stream().try_write(data);
    if (attempt.want == Stream::Want::kNothing) {
      return complete(std::move(done), error_of(attempt.result.state), attempt.result.n);
    }
    retry(attempt.want, std::move(done), [this, copied, from](Done d) { write(copied, from, std::move(d)); });
  }

  WebSocketLink link_;
};

// Found by Beast through the argument: its time limit on a handshake has passed, or...
void beast_close_socket(Layer& layer) { layer.stream().close(); }
// ...how the connection ends once both have said so.
template <class Handler>
void async_teardown(beast::role_type, Layer& layer, Handler&& handler) {
  layer.stream().shutdown_write();
  auto held = std::make_shared<std::decay_t<Handler>>(std::forward<Handler>(handler));
  asio::post(layer.get_executor(), [held] { std::move (*held)(error_code()); });
}

class Socket final : public WebSocket {
 public:
  explicit Socket(WebSocketLink link) : stream_(link.stream), owner_(link.owner), ws_(std::move(link)) {
    ws_.read_message_max(kMaxMessage);
    ws_.auto_fragment(false);
    // No pings of our own: they would need a read under way at all times. TCP's keep-alive finds peers that are gone.
    ws_.set_option(ws::stream_base::timeout{std::chrono::seconds(20), ws::stream_base::none(), false});
  }

  const std::string& subprotocol() const override { return subprotocol_; }

  async::Task<std::optional<Message>> read() override {
    co_await run([this](Done done) { ws_.async_read(buffer_, std::move(done)); });
    if (error_) co_return std::nullopt;
    Message message{ws_.got_binary(), beast::buffers_to_string(buffer_.data())};
    buffer_.consume(buffer_.size());
    co_return message;
  }

  async::Task<> write(Message message) override {
    ws_.binary(message.binary);
    co_await run([this, &message](Done done) { ws_.async_write(asio::buffer(message.data), std::move(done)); });
    if (error_) throw async::Cancelled();
  }

  async::Task<> close(std::uint16_t code, std::string reason) override {
    if (!ws_.is_open()) co_return;
    const ws::close_reason why(static_cast<ws::close_code>(code), std::string_view(reason).substr(0, 120));
    stream_->deadline_in(std::chrono::seconds(5));
    co_await run([this, &why](Done done) { ws_.async_close(why, [done](error_code e) { done(e, 0); }); });
  }

  async::Task<bool> accept(const Request& request, Headers headers, std::string subprotocol) {
    http::request<http::empty_body> head;
    head.method_string(request.method);
    head.target(request.raw_target);
    head.version(11);
    for (const auto& [name, value] : request.headers.all()) head.insert(name, value);
    subprotocol_ = std::move(subprotocol);
    ws_.set_option(ws::stream_base::decorator([this, &headers](ws::response_type& response) {
      for (const auto& [name, value] : headers.all()) response.set(name, value);
      if (!subprotocol_.empty()) response.set(http::field::sec_websocket_protocol, subprotocol_);
    }));
    co_await run([this, &head](Done done) { ws_.async_accept(head, [done](error_code e) { done(e, 0); }); });
    co_return !error_;
  }

  async::Task<base::Result<void>> connect(std::string host, ClientRequest request,
                                          std::vector<std::string> subprotocols) {
    ws_.set_option(ws::stream_base::decorator([&](ws::request_type& head) {
      for (const auto& [name, value] : request.headers.all()) head.set(name, value);
      if (!subprotocols.empty()) head.set(http::field::sec_websocket_protocol, base::join(subprotocols, ", "));
    }));
    ws::response_type response;
    co_await run([&, this](Done done) {
      ws_.async_handshake(response, host, request.target, [done](error_code e) { done(e, 0); });
    });
    if (error_ == ws::error::upgrade_declined) co_return declined(response);
    if (error_) {
      co_return base::fail(base::ErrorCode::kUnavailable,
                           fmt::format("WebSocket handshake with {} failed: {}", host, error_.message()));
    }
    subprotocol_ = std::string(response[http::field::sec_websocket_protocol]);
    co_return base::Result<void>{};
  }

 private:
  // Starts an operation of Beast's and suspends until it is done. Cancellation closes the connection, which ends it.
  async::Task<> run(std::function<void(Done)> start) {
    MAINSTAY_CHECK_CANCELLED();
    struct Outcome {
      error_code error;
    };
    auto outcome = std::make_shared<Outcome>();
    std::function<void(std::function<void()>)> begin = [start, outcome](std::function<void()> resume) {
      start([outcome, resume = std::move(resume)](error_code e, std::size_t) {
        outcome->error = e;
        resume();
      });
    };
    std::function<void()> on_cancel = [stream = stream_, owner = owner_] { stream->close(); };
    co_await async::suspend(std::move(begin), std::move(on_cancel));
    MAINSTAY_CHECK_CANCELLED();
    error_ = outcome->error;
  }

  static std::unexpected<base::Error> declined(const ws::response_type& response) {
    const int status = static_cast<int>(response.result_int());
    const auto body = base::parse_json(response.body());
    const auto error = base::StatusError::from_json(status, body ? *body : base::json::value());
    base::ErrorCode code = base::ErrorCode::kUnavailable;
    if (status == 400) code = base::ErrorCode::kInvalid;
    if (status == 401) code = base::ErrorCode::kUnauthenticated;
    if (status == 403) code = base::ErrorCode::kForbidden;
    if (status == 404) code = base::ErrorCode::kNotFound;
    return base::fail(code, error.message());
  }

  Stream* stream_;
  std::shared_ptr<void> owner_;
  ws::stream<Layer, false> ws_;
  beast::flat_buffer buffer_;
  std::string subprotocol_;
  error_code error_;
};

// The first of ours that the client offers.
std::string choose(const std::vector<std::string>& ours, std::string_view offered) {
  for (const auto& name : ours) {
    for (auto theirs : base::split(offered, ',')) {
      if (base::trim(theirs) == name) return name;
    }
  }
  return {};
}

bool has_token(std::string_view list, std::string_view token) {
  for (auto part : base::split(list, ',')) {
    if (base::iequals(base::trim(part), token)) return true;
  }
  return false;
}

}  // namespace

std::string websocket_fault(const Request& request, const WebSocketBody& body) {
  const Headers& headers = request.headers;
  if (request.method != "GET" || !has_token(headers.get("Upgrade"), "websocket") ||
      !has_token(headers.get("Connection"), "upgrade")) {
    return "this path speaks WebSocket only";
  }
  if (headers.get("Sec-WebSocket-Version") != "13") return "only WebSocket version 13 is supported";
  if (headers.get("Sec-WebSocket-Key").empty()) return "Sec-WebSocket-Key is missing";
  const auto offered = headers.get("Sec-WebSocket-Protocol");
  if (!offered.empty() && !body.subprotocols.empty() && choose(body.subprotocols, offered).empty()) {
    return fmt::format("none of the subprotocols offered is supported; these are: {}",
                       base::join(body.subprotocols, ", "));
  }
  return {};
}

async::Task<> serve_websocket(WebSocketLink link, const Request& request, Headers headers, WebSocketBody body) {
  link.stream->no_deadline();
  Socket socket(link);
  const bool open = co_await socket.accept(request, std::move(headers),
                                           choose(body.subprotocols, request.headers.get("Sec-WebSocket-Protocol")));
  if (!open) co_return;
  std::uint16_t code = 1000;
  std::string reason;
  try {
    co_await body.serve(socket);
  } catch (const async::Cancelled&) {
    throw;
  } catch (const base::StatusError& e) {
    code = 1011;
    reason = e.message();
  } catch (const std::exception& e) {
    base::log::error("net", "WebSocket {} failed: {}", request.path, e.what());
    code = 1011;
    reason = "internal error";
  }
  co_await socket.close(code, reason);
}

async::Task<base::Result<std::unique_ptr<WebSocket>>> connect_websocket(WebSocketLink link, std::string host,
                                                                        ClientRequest request,
                                                                        std::vector<std::string> subprotocols) {
  auto socket = std::make_unique<Socket>(std::move(link));
  MAINSTAY_CO_TRY_VOID(co_await socket->connect(std::move(host), std::move(request), std::move(subprotocols)));
  co_return std::unique_ptr<WebSocket>(std::move(socket));
}

}  // namespace mainstay::net
