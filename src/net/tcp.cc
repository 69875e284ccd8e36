#include "net/tcp.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>

#include "async/suspend.h"
#include "async/sync.h"
#include "net/buffer.h"
#include "net/stream.h"
#include "net/tls_context.h"

namespace mainstay::net {
namespace {

constexpr std::size_t kChunk = 32 * 1024;

void tune(int fd) {
  const int on = 1, idle = 60, interval = 15, count = 4;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

}  // namespace

struct MutualTls::Impl {
  TlsContext server, client;
};

base::Result<std::shared_ptr<MutualTls>> MutualTls::make(std::string certificate_pem, std::string private_key_pem,
                                                         std::string authority_pem) {
  auto out = std::make_shared<MutualTls>();
  out->impl_ = std::make_shared<Impl>();
  MAINSTAY_TRY(out->impl_->server, make_server_context({certificate_pem, private_key_pem, authority_pem}));
  MAINSTAY_TRY(out->impl_->client, make_client_context({authority_pem, certificate_pem, private_key_pem}));
  for (SSL_CTX* context : {out->impl_->server.get(), out->impl_->client.get()}) {
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    // A resumed session would carry on an identity whose certificate has ended.
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  }
  SSL_CTX_set_num_tickets(out->impl_->server.get(), 0);
  SSL_CTX_set_verify(out->impl_->server.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return out;
}

struct TcpConnection::Impl {
  Impl(const async::Executor& executor, int fd)
      : deadlines(std::make_shared<Deadlines>(executor)), stream(executor, fd, deadlines) {}
  std::shared_ptr<Deadlines> deadlines;
  Stream stream;
  Buffer buffer;
};

TcpConnection::TcpConnection(async::Executor executor, int fd) : impl_(std::make_shared<Impl>(executor, fd)) {
  tune(fd);
}
TcpConnection::~TcpConnection() { impl_->stream.close(); }
void TcpConnection::close() { impl_->stream.close(); }
int TcpConnection::fd() const { return impl_->stream.fd(); }

namespace {

async::Task<base::Result<TlsPeer>> shake_hands(Stream* stream, SslPointer ssl, std::chrono::nanoseconds limit) {
  stream->deadline_in(limit);
  const Io state = co_await stream->handshake(std::move(ssl));
  stream->no_deadline();
  if (state == Io::kTimeout) co_return base::fail(base::ErrorCode::kTimeout, "the peer did not finish the handshake");
  if (state != Io::kOk) {
    const std::string why = stream->ssl() ? verification_error(stream->ssl()) : "";
    co_return base::fail(base::ErrorCode::kUnauthenticated,
                         fmt::format("no TLS with this peer: {}{}{}", stream->error(), why.empty() ? "" : ": ", why));
  }
  TlsPeer peer{peer_certificate(stream->ssl()), ""};
  if (const char* name = SSL_get_servername(stream->ssl(), TLSEXT_NAMETYPE_host_name)) peer.server_name = name;
  if (peer.certificate_pem.empty())
    co_return base::fail(base::ErrorCode::kUnauthenticated, "the peer showed no certificate");
  co_return peer;
}

}  // namespace

async::Task<base::Result<TlsPeer>> TcpConnection::accept_tls(std::shared_ptr<MutualTls> tls,
                                                             std::chrono::nanoseconds limit) {
  const auto impl = impl_;
  MAINSTAY_CO_TRY(SslPointer ssl, server_ssl(tls->impl_->server));
  co_return co_await shake_hands(&impl->stream, std::move(ssl), limit);
}

async::Task<base::Result<TlsPeer>> TcpConnection::connect_tls(std::shared_ptr<MutualTls> tls, std::string server_name,
                                                              std::chrono::nanoseconds limit) {
  const auto impl = impl_;
  SslPointer ssl(SSL_new(tls->impl_->client.get()));
  if (!ssl || SSL_set_tlsext_host_name(ssl.get(), server_name.c_str()) != 1)
    co_return base::fail(base::ErrorCode::kInvalid, fmt::format("\"{}\" cannot be a server's name", server_name));
  SSL_set_connect_state(ssl.get());
  co_return co_await shake_hands(&impl->stream, std::move(ssl), limit);
}

async::Task<std::optional<std::string>> TcpConnection::read_line(std::size_t max_bytes) {
  const auto impl = impl_;
  for (;;) {
    const std::string_view view = impl->buffer.view();
    if (const auto end = view.find('\n'); end != std::string_view::npos) {
      std::string line(view.substr(0, end));
      impl->buffer.consume(end + 1);
      co_return line;
    }
    if (view.size() >= max_bytes) co_return std::nullopt;
    const IoResult got = co_await impl->stream.read_some(impl->buffer.room(kChunk));
    if (got.state != Io::kOk) co_return std::nullopt;
    impl->buffer.commit(got.n);
  }
}

async::Task<std::size_t> TcpConnection::read(std::span<char> into) {
  const auto impl = impl_;
  if (!impl->buffer.empty()) {
    const std::string_view view = impl->buffer.view().substr(0, into.size());
    const std::size_t n = view.copy(into.data(), view.size());
    impl->buffer.consume(n);
    co_return n;
  }
  if (!impl->stream.is_open()) co_return 0;
  const IoResult got = co_await impl->stream.read_some(into);
  co_return got.state == Io::kOk ? got.n : 0;
}

void TcpConnection::shutdown_write() {
  if (impl_->stream.is_open()) impl_->stream.shutdown_write();
}

async::Task<bool> TcpConnection::write(std::string text) {
  const auto impl = impl_;
  co_return co_await impl->stream.write(text) == Io::kOk;
}

struct Relay {
  explicit Relay(async::Executor executor) : ended(executor) {}
  std::shared_ptr<TcpConnection> a, b;
  async::Event ended;
  int running = 2;

  static async::Task<> pump(std::shared_ptr<Relay> self, bool forward) {
    Stream& from = (forward ? self->a : self->b)->impl_->stream;
    Stream& to = (forward ? self->b : self->a)->impl_->stream;
    const auto buffer = std::make_unique<std::array<char, kChunk>>();
    for (;;) {
      const IoResult got = co_await from.read_some(*buffer);
      if (got.state == Io::kEnd) {
        to.shutdown_write();
        break;
      }
      if (got.state != Io::kOk || co_await to.write({buffer->data(), got.n}) != Io::kOk) {
        from.close();
        to.close();
        break;
      }
    }
    --self->running;
    self->ended.notify_all();
  }
};

async::Task<> relay(async::TaskGroup& tasks, std::shared_ptr<TcpConnection> a, std::shared_ptr<TcpConnection> b) {
  auto state = std::make_shared<Relay>(tasks.executor());
  state->a = std::move(a);
  state->b = std::move(b);
  tasks.spawn("relay", Relay::pump(state, false));
  co_await Relay::pump(state, true);
  while (state->running > 0) co_await state->ended.wait();
}

async::Task<base::Result<>> connect_socket(int fd, std::string address, std::uint16_t port,
                                           std::chrono::nanoseconds limit) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  const auto failed = [&](int error) {
    return base::fail(base::ErrorCode::kUnavailable, fmt::format("cannot connect to {}:{}: {}", address, port,
                                                                 std::generic_category().message(error)));
  };
  if (::inet_pton(AF_INET, address.c_str(), &to.sin_addr) != 1) co_return failed(EINVAL);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0) co_return base::Result<>{};
  if (errno != EINPROGRESS) co_return failed(errno);
  const async::Executor executor = co_await boost::asio::this_coro::executor;
  // A descriptor of its own for the wait: the caller's is not closed with it.
  const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) co_return failed(errno);
  Stream waiting(executor, copy, std::make_shared<Deadlines>(executor));
  waiting.deadline_in(limit);
  const Io state = co_await waiting.wait(Stream::Want::kWrite);
  if (state == Io::kTimeout) co_return failed(ETIMEDOUT);
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) co_return failed(error);
  co_return base::Result<>{};
}

struct TcpListener::Impl {
  Impl(const async::Executor& executor, int fd) : stream(executor, fd, std::make_shared<Deadlines>(executor)) {}
  Stream stream;
};

TcpListener::TcpListener(async::Executor executor, int fd) : impl_(std::make_shared<Impl>(executor, fd)) {}
TcpListener::~TcpListener() { impl_->stream.close(); }
void TcpListener::close() { impl_->stream.close(); }

async::Task<int> TcpListener::accept() {
  const auto impl = impl_;
  for (;;) {
    if (!impl->stream.is_open()) co_return -1;
    const int fd = ::accept4(impl->stream.fd(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) co_return fd;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      co_await async::sleep_for(std::chrono::milliseconds(200));  // until some have ended
    } else if (errno == EAGAIN) {
      if (co_await impl->stream.wait(Stream::Want::kRead) == Io::kBroken) co_return -1;
    } else if (errno != ECONNABORTED && errno != EINTR) {
      co_return -1;
    }
  }
}

}  // namespace mainstay::net
