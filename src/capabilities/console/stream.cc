#include "capabilities/console/stream.h"

#include <map>

#include "async/sync.h"
#include "base/encoding.h"
#include "base/status.h"

namespace mainstay::console {
namespace {

constexpr std::size_t kMaxMessage = 16 * 1024;
constexpr std::size_t kMaxRequests = 128;     // at a time, of one connection
constexpr std::size_t kMaxConnections = 512;  // at a time, of all
constexpr std::size_t kChunk = 64 * 1024;
constexpr std::chrono::seconds kTokenWithin{15};
constexpr std::chrono::seconds kCheckEvery{30};
constexpr std::string_view kTail = "/loki/api/v1/tail";  // the one WebSocket that may be listened to
constexpr std::uint16_t kNormal = 1000, kUnauthenticated = 4401, kProtocol = 4400;

struct Frame {
  std::string bytes;
  std::uint16_t close = 0;  // not 0: ends the connection, with the bytes as the reason
};

struct Session {
  Session(platform::Host& h, std::string p) : host(h), peer(std::move(p)), out(h.runtime().executor(), 64) {}
  platform::Host& host;
  std::string peer, token;
  async::Channel<Frame> out;
  std::map<std::uint32_t, std::unique_ptr<async::TaskGroup>> requests;
};
using SessionPtr = std::shared_ptr<Session>;

std::string head_of(std::uint32_t id, std::string_view kind) { return fmt::format("{} {}\n", id, kind); }

class Writer final : public net::BodyWriter {
 public:
  Writer(SessionPtr session, std::uint32_t id) : session_(std::move(session)), id_(id) {}
  bool begun() const { return begun_; }
  async::Task<> begin(int status) {
    begun_ = true;
    co_await session_->out.push({head_of(id_, fmt::format("h {}", status)), 0});
  }
  async::Task<> write(std::string_view data) override {
    for (; !data.empty(); data.remove_prefix(std::min(data.size(), kChunk))) {
      const bool open = co_await session_->out.push({head_of(id_, "d").append(data.substr(0, kChunk)), 0});
      if (!open) throw async::Cancelled();
    }
  }

 private:
  SessionPtr session_;
  std::uint32_t id_;
  bool begun_ = false;
};

// Gives the body of the answer, or why it cannot be given here.
async::Task<> write_body(net::Response& response, Writer& writer) {
  if (auto* text = std::get_if<std::string>(&response.body)) {
    co_await writer.write(*text);
  } else if (auto* shared = std::get_if<std::shared_ptr<const std::string>>(&response.body)) {
    co_await writer.write(**shared);
  } else if (auto* stream = std::get_if<net::StreamBody>(&response.body)) {
    co_await stream->write(writer);
  }
}

// A WebSocket inside the stream, for what is only listened to: each message becomes a line of the answer.
class ListeningSocket final : public net::WebSocket {
 public:
  ListeningSocket(Writer& writer, async::Executor executor) : writer_(writer), never_(executor) {}
  const std::string& subprotocol() const override { return subprotocol_; }
  async::Task<std::optional<Message>> read() override {
    co_await never_.wait();  // until the request is cancelled
    co_return std::nullopt;
  }
  async::Task<> write(Message message) override {
    if (!writer_.begun()) co_await writer_.begin(200);
    co_await writer_.write(message.data + "\n");
  }
  async::Task<> close(std::uint16_t code, std::string) override {
    broken_ = code != kNormal;
    co_return;
  }
  bool broken() const { return broken_; }

 private:
  Writer& writer_;
  bool broken_ = false;
  async::Event never_;
  std::string subprotocol_;
};

async::Task<> refuse(SessionPtr session, std::uint32_t id, int status, std::string message) {
  co_await session->out.push({head_of(id, fmt::format("h {}", status)), 0});
  co_await session->out.push({head_of(id, "d") + message, 0});
  co_await session->out.push({head_of(id, "e"), 0});
}

async::Task<> answer(SessionPtr session, std::uint32_t id, std::shared_ptr<net::Request> request) {
  const bool listens = request->path == kTail;
  net::Response response = co_await session->host.api().handle(std::move(request));
  Writer writer(session, id);
  auto* upgrade = std::get_if<net::WebSocketBody>(&response.body);
  if ((upgrade != nullptr && !listens) || std::holds_alternative<net::FileBody>(response.body)) {
    response = net::Response::text(400, "this path cannot be read over the console's stream");
    upgrade = nullptr;
  }
  ListeningSocket socket(writer, session->host.runtime().executor());
  std::optional<base::StatusError> refused;
  std::exception_ptr fault;
  try {
    if (upgrade != nullptr) {
      co_await upgrade->serve(socket);
    } else {
      co_await writer.begin(response.status);
      co_await write_body(response, writer);
    }
  } catch (const async::Cancelled&) {
    throw;
  } catch (const base::StatusError& e) {
    refused = e;
  } catch (...) {
    fault = std::current_exception();
  }
  // What is only listened to may be refused as late as when it is begun.
  if (refused && !writer.begun())
    co_return co_await refuse(session, id, refused->code(), base::json::serialize(refused->to_json()));
  if (!writer.begun()) co_await writer.begin(200);
  co_await session->out.push({head_of(id, refused || fault || socket.broken() ? "b" : "e"), 0});
  if (fault) std::rethrow_exception(fault);
}

// The one writer of the WebSocket. Once it has ended nobody waits for room in the queue.
async::Task<> send_frames(SessionPtr session, net::WebSocket* socket) {
  struct Closer {
    Session& session;
    ~Closer() { session.out.close(); }
  } closer{*session};
  while (auto frame = co_await session->out.pop()) {
    if (frame->close != 0) {
      co_await socket->close(frame->close, std::move(frame->bytes));
      co_return;
    }
    co_await socket->write({true, std::move(frame->bytes)});
  }
}

async::Task<bool> token_is_good(SessionPtr session) {
  const auto user = co_await session->host.api().authenticator().authenticate_token(session->token);
  co_return user && !user->anonymous();
}

// A stream must not outlive its token, and nothing tells when a token ends: it is looked at again.
async::Task<> check_token(SessionPtr session) {
  for (;;) {
    co_await async::sleep_for(kCheckEvery);
    if (co_await token_is_good(session)) continue;
    co_await session->out.push({"the token is not valid any more", kUnauthenticated});
    co_return;
  }
}

void sweep(Session& session) {
  std::erase_if(session.requests, [](const auto& entry) { return entry.second->size() == 0; });
}

async::Task<> begin(SessionPtr session, std::uint32_t id, std::string target) {
  sweep(*session);
  if (session->requests.contains(id)) co_return co_await refuse(session, id, 409, "this id is in use");
  if (session->requests.size() >= kMaxRequests)
    co_return co_await refuse(session, id, 429, fmt::format("at most {} requests at a time", kMaxRequests));
  auto request = stream_request(target, session->token, session->peer);
  if (!request) co_return co_await refuse(session, id, 400, request.error().message);
  auto group = std::make_unique<async::TaskGroup>(session->host.runtime().executor(), "console request");
  group->spawn("console request", answer(session, id, *std::move(request)));
  session->requests.emplace(id, std::move(group));
}

// False: the client broke the rules, which it has been told.
async::Task<bool> take(SessionPtr session, std::string text) {
  auto message = parse_stream_message(text);
  if (!message) {
    co_await session->out.push({message.error().message, kProtocol});
    co_return false;
  }
  if (message->token) {
    session->token = std::move(*message->token);
    if (co_await token_is_good(session)) co_return true;
    co_await session->out.push({"the token is not valid", kUnauthenticated});
    co_return false;
  }
  if (session->token.empty()) {
    co_await session->out.push({"the first message must hold a token", kUnauthenticated});
    co_return false;
  }
  if (message->cancel) {
    if (auto found = session->requests.find(*message->cancel); found != session->requests.end())
      found->second->cancel();
    co_return true;
  }
  co_await begin(session, *message->id, std::move(message->target));
  co_return true;
}

async::Task<> read_messages(SessionPtr session, net::WebSocket* socket) {
  auto first = co_await async::with_timeout(socket->read(), kTokenWithin);
  std::optional<net::WebSocket::Message> message;
  if (first) message = std::move(*first);
  while (message) {
    if (!co_await take(session, std::move(message->data))) break;
    message = co_await socket->read();
  }
}

async::Task<> serve(SessionPtr session, net::WebSocket& socket) {
  const async::Executor executor = session->host.runtime().executor();
  async::TaskGroup sender(executor, "console sender"), checks(executor, "console token");
  sender.spawn("send", send_frames(session, &socket));
  checks.spawn("check", check_token(session));
  std::exception_ptr fault;
  try {
    co_await read_messages(session, &socket);
  } catch (...) {
    fault = std::current_exception();
  }
  checks.cancel();
  co_await checks.join();
  for (auto& [id, group] : session->requests) group->cancel();
  for (auto& [id, group] : session->requests) co_await group->join();
  session->requests.clear();
  session->out.close();  // what is queued is sent first, a close among it
  if (fault) sender.cancel();
  co_await sender.join();
  if (fault) std::rethrow_exception(fault);
}

// Counts the connections that are open.
struct Open {
  explicit Open(std::shared_ptr<std::size_t> c) : count(std::move(c)) { ++*count; }
  Open(const Open&) = delete;
  Open& operator=(const Open&) = delete;
  ~Open() { --*count; }
  std::shared_ptr<std::size_t> count;
};

}  // namespace

base::Result<StreamMessage> parse_stream_message(std::string_view text) {
  if (text.size() > kMaxMessage) return base::fail(base::ErrorCode::kTooLarge, "a message has at most 16 KiB");
  auto parsed = base::parse_json(text, 4);
  if (!parsed || !parsed->is_object()) return base::fail(base::ErrorCode::kInvalid, "a message is a JSON object");
  const auto number = [&](std::string_view key) -> std::optional<std::uint32_t> {
    const std::int64_t value = base::get_int(*parsed, key, -1);
    if (value < 0 || value > UINT32_MAX) return std::nullopt;
    return static_cast<std::uint32_t>(value);
  };
  StreamMessage message;
  if (const std::string token = base::get_string(*parsed, "token"); !token.empty()) {
    message.token = token;
  } else if (message.cancel = number("cancel"); !message.cancel) {
    message.id = number("id");
    message.target = base::get_string(*parsed, "get");
    if (!message.id || !message.target.starts_with('/'))
      return base::fail(base::ErrorCode::kInvalid, "a message holds token, cancel, or id and get");
  }
  return message;
}

base::Result<std::shared_ptr<net::Request>> stream_request(const std::string& target, const std::string& token,
                                                           std::string peer) {
  auto request = std::make_shared<net::Request>();
  request->raw_target = target;
  const auto mark = target.find('?');
  MAINSTAY_TRY(request->path, base::percent_decode(std::string_view(target).substr(0, mark)));
  // Paths of objects hold no dots between slashes; a path that needed normalising is not one of ours.
  const bool odd = request->path.contains("/../") || request->path.contains("//") || request->path.ends_with("/..") ||
                   request->path.contains('\0');
  if (odd || !(request->path.starts_with("/api/") || request->path.starts_with("/apis/") || request->path == kTail))
    return base::fail(base::ErrorCode::kInvalid,
                      fmt::format("only paths below /api/ and /apis/, and {}, can be read over the stream", kTail));
  if (mark != std::string::npos) {
    MAINSTAY_TRY(request->query, net::Query::parse(std::string_view(target).substr(mark + 1)));
  }
  request->headers.set("Accept", "application/json");
  request->headers.set("Authorization", "Bearer " + token);
  request->body = net::body_from_string("");
  request->peer = std::move(peer);
  return request;
}

void add_stream_route(platform::Host& host) {
  auto open = std::make_shared<std::size_t>(0);
  static constexpr auto connect = [](platform::Host& host, std::shared_ptr<std::size_t> open,
                                     std::shared_ptr<api::RequestContext> context) -> async::Task<net::Response> {
    if (*open >= kMaxConnections) throw base::unavailable("too many consoles are connected; try again in a minute");
    auto session = std::make_shared<Session>(host, context->http->peer);
    auto counted = std::make_shared<Open>(open);
    net::Response response;
    response.status = 101;
    response.body =
        net::WebSocketBody{{}, [session, counted](net::WebSocket& socket) { return serve(session, socket); }};
    co_return response;
  };
  host.api().add_route(
      {"GET", "/console/stream",
       api::Public{"a browser cannot send a token with a WebSocket's handshake: the first message "
                   "holds it, and each request inside is authorized by itself"},
       "Many GET requests over one WebSocket, for the console",
       [&host, open](std::shared_ptr<api::RequestContext> c) { return connect(host, open, std::move(c)); }, nullptr});
}

}  // namespace mainstay::console
