#include "capabilities/compute/forward/port_forward.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <system_error>
#include <thread>

#include "async/sync.h"
#include "base/status.h"
#include "capabilities/compute/admission.h"
#include "capabilities/compute/forward/spdy.h"
#include "net/tcp.h"

namespace mainstay::compute {
namespace {

constexpr const char* kProtocol = "SPDY/3.1+portforward.k8s.io";
constexpr std::size_t kMaxConnections = 200;  // at a time, of one client
constexpr std::size_t kQueue = 16;            // frames on their way into the pod, a connection
constexpr std::size_t kChunk = 32 * 1024;
constexpr std::chrono::seconds kConnectWithin{10};

// One half of a connection's pair.
struct Stream {
  bool error = false;  // carries what went wrong, and nothing from the client
  std::string request;
  std::uint16_t port = 0;
  std::shared_ptr<async::Channel<std::string>> input;
  std::shared_ptr<net::TcpConnection> connection;  // of the data's half, once there is one
  bool paired = false, reset = false;              // the client wants no more of it
};

struct Session {
  Session(async::Executor executor, std::string n) : netns(std::move(n)), turn(executor), tasks(executor, "forward") {}
  std::string netns;  // path; "" is the node's own
  net::WebSocket* socket = nullptr;
  SpdyReader reader;
  SpdyWriter writer;
  std::map<std::uint32_t, Stream> streams;
  async::Event turn;
  bool writing = false;
  async::TaskGroup tasks;
};
using SessionPtr = std::shared_ptr<Session>;

// One writer at a time, as the WebSocket wants it.
async::Task<> send(SessionPtr s, std::string frame) {
  while (s->writing) co_await s->turn.wait();
  struct Turn {
    explicit Turn(Session& session) : s(session) { s.writing = true; }
    ~Turn() {
      s.writing = false;
      s.turn.notify_all();
    }
    Session& s;
  } mine(*s);
  co_await s->socket->write({true, std::move(frame)});
}

// A socket within the network namespace. A thread of its own enters it and ends there: none of ours has to come back.
base::Result<int> socket_in(const std::string& netns) {
  int fd = -1, error = 0;
  std::thread([&] {
    const int ns = netns.empty() ? -1 : ::open(netns.c_str(), O_RDONLY | O_CLOEXEC);
    const bool there = netns.empty() || (ns >= 0 && ::setns(ns, CLONE_NEWNET) == 0);
    if (there) fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    error = errno;
    if (ns >= 0) ::close(ns);
  }).join();
  if (fd >= 0) return fd;
  return base::fail(base::ErrorCode::kUnavailable,
                    "the pod's network cannot be entered: " + std::generic_category().message(error));
}

async::Task<base::Result<std::shared_ptr<net::TcpConnection>>> connect(SessionPtr s, async::Runtime* runtime,
                                                                       std::uint16_t port) {
  const auto fd = co_await runtime->blocking([netns = s->netns] { return socket_in(netns); });
  if (!fd) co_return std::unexpected(fd.error());
  auto connection = std::make_shared<net::TcpConnection>(runtime->executor(), *fd);
  const auto connected = co_await net::connect_socket(*fd, "127.0.0.1", port, kConnectWithin);
  if (!connected) co_return std::unexpected(connected.error());
  co_return connection;
}

async::Task<> pump_in(std::shared_ptr<async::Channel<std::string>> input,
                      std::shared_ptr<net::TcpConnection> connection) {
  while (auto data = co_await input->pop()) {
    if (!co_await connection->write(*std::move(data))) break;
  }
  input->close();
  connection->shutdown_write();
}

async::Task<> carry(SessionPtr s, async::Runtime* runtime, std::uint32_t data_id, std::uint32_t error_id) {
  const auto input = s->streams.at(data_id).input;
  const std::uint16_t port = s->streams.at(data_id).port;
  auto connection = co_await connect(s, runtime, port);
  std::string trouble;
  if (!connection) {
    trouble = fmt::format("port {} of the pod: {}", port, connection.error().message);
  } else if (Stream& data = s->streams.at(data_id); !data.reset) {
    data.connection = *connection;
    s->tasks.spawn("forward in", pump_in(input, *connection));
    std::vector<char> buffer(kChunk);
    while (const std::size_t n = co_await (*connection)->read(buffer))
      co_await send(s, SpdyWriter::data(data_id, {buffer.data(), n}, false));
    (*connection)->close();
  }
  input->close();
  co_await send(s, SpdyWriter::data(error_id, trouble, true));
  co_await send(s, SpdyWriter::data(data_id, "", true));
  s->streams.erase(data_id);
  s->streams.erase(error_id);
}

std::optional<Stream> stream_of(const std::map<std::string, std::string>& headers, async::Executor executor) {
  const auto get = [&](const char* name) {
    const auto at = headers.find(name);
    return at == headers.end() ? std::string() : at->second;
  };
  Stream out;
  const std::string type = get("streamtype"), port = get("port");
  const auto [end, bad] = std::from_chars(port.data(), port.data() + port.size(), out.port);
  if ((type != "data" && type != "error") || bad != std::errc() || end != port.data() + port.size() || out.port == 0)
    return std::nullopt;
  out.error = type == "error";
  out.request = get("requestid");
  out.input = std::make_shared<async::Channel<std::string>>(executor, kQueue);
  return out;
}

async::Task<> open_stream(SessionPtr s, async::Runtime* runtime, SpdyFrame frame) {
  auto stream = stream_of(frame.headers, s->tasks.executor());
  if (!stream || s->streams.size() >= 2 * kMaxConnections || s->streams.contains(frame.id)) {
    co_await send(s, SpdyWriter::refuse(frame.id));
    co_return;
  }
  const auto other = std::ranges::find_if(s->streams, [&](const auto& entry) {
    return entry.second.request == stream->request && entry.second.error != stream->error && !entry.second.paired;
  });
  const std::optional<std::uint32_t> partner = other == s->streams.end() ? std::nullopt : std::optional(other->first);
  const bool is_error = stream->error;
  if (partner) other->second.paired = stream->paired = true;
  s->streams.emplace(frame.id, *std::move(stream));
  co_await send(s, s->writer.accept(frame.id));
  if (!partner) co_return;
  s->tasks.spawn("forward", carry(s, runtime, is_error ? *partner : frame.id, is_error ? frame.id : *partner));
}

// The client has done with the connection, whatever the pod still has to say: many servers do not end because nothing
// comes in any more.
void reset(Stream& stream) {
  stream.reset = true;
  stream.input->close();
  if (stream.connection) stream.connection->close();
}

async::Task<> take(SessionPtr s, async::Runtime* runtime, SpdyFrame frame) {
  if (frame.kind == SpdyFrame::Kind::kPing) co_return co_await send(s, SpdyWriter::ping(frame.id));
  if (frame.kind == SpdyFrame::Kind::kOpen) co_return co_await open_stream(s, runtime, std::move(frame));
  const auto at = s->streams.find(frame.id);
  if (at == s->streams.end()) co_return;  // of a connection that has ended
  if (frame.kind == SpdyFrame::Kind::kReset) co_return reset(at->second);
  if (at->second.error) co_return;
  const auto input = at->second.input;
  // Waits while the pod is slow to read, and with it the client's other connections: it has been told nothing of
  // windows.
  if (!frame.data.empty()) (void)co_await input->push(std::move(frame.data));
  if (frame.last) input->close();
}

async::Task<> read_frames(SessionPtr s, async::Runtime* runtime) {
  while (auto message = co_await s->socket->read()) {
    // By pieces: a message of nothing but empty frames is a dozen times as large once it is taken apart.
    for (std::size_t at = 0; at < message->data.size(); at += kChunk) {
      auto frames = s->reader.feed(std::string_view(message->data).substr(at, kChunk));
      if (!frames) {
        co_await s->socket->close(1002, frames.error().message);
        co_return;
      }
      for (SpdyFrame& frame : *frames) {
        if (frame.kind == SpdyFrame::Kind::kGoAway) co_return;
        co_await take(s, runtime, std::move(frame));
      }
    }
  }
}

async::Task<> serve(SessionPtr s, async::Runtime* runtime, net::WebSocket& socket) {
  s->socket = &socket;
  std::exception_ptr fault;
  try {
    co_await read_frames(s, runtime);
  } catch (...) {
    fault = std::current_exception();
  }
  s->tasks.cancel();
  co_await s->tasks.join();
  if (fault) std::rethrow_exception(fault);
}

}  // namespace

net::WebSocketBody forwarded_ports(async::Runtime& runtime, std::string netns) {
  auto session = std::make_shared<Session>(runtime.executor(), std::move(netns));
  return {{kProtocol}, [session, run = &runtime](net::WebSocket& socket) { return serve(session, run, socket); }};
}

async::Task<net::Response> serve_port_forward(std::shared_ptr<Agent> agent,
                                              std::shared_ptr<api::RequestContext> context) {
  const std::string ns = context->params.at("namespace"), name = context->params.at("name");
  if (agent->node() == nullptr) throw base::unavailable("the node agent is not running");
  const client::ObjectPtr pod = agent->node()->pods->get(ns, name);
  auto worker = agent->worker(ns, name);
  if (!pod || !worker) throw base::not_found("pods", name);
  check_enterable(*pod, context->user);
  if (base::get_string(*pod, "status.phase") != "Running")
    throw base::bad_request(fmt::format("pod {} is not running: there is nothing to forward to", name));
  async::Runtime& runtime = agent->node()->host.runtime();
  net::Response response;
  response.status = 101;
  response.body = forwarded_ports(runtime, worker->spec().host_network ? "" : worker->net().path());
  co_return response;
}

}  // namespace mainstay::compute
