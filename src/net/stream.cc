#include "net/stream.h"

#include <openssl/err.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>

#include "async/suspend.h"

namespace mainstay::net {
namespace asio = boost::asio;
namespace {

constexpr std::size_t kRecord = 16 * 1024;  // the most a TLS record carries (RFC 8446 section 5.1)
// How much a task may read without letting others run, however fast its peer is.
constexpr std::size_t kFairShare = 1 << 20;

std::string tls_errors() {
  std::string out;
  char text[256];
  while (const unsigned long code = ERR_get_error()) {
    ERR_error_string_n(code, text, sizeof text);
    if (const char* reason = ERR_reason_error_string(code)) {
      if (!out.empty()) out += "; ";
      out += reason;
    }
  }
  return out;
}

}  // namespace

Stream::Stream(const async::Executor& executor, int fd, std::shared_ptr<Deadlines> deadlines)
    : descriptor_(executor, fd), deadlines_(std::move(deadlines)), alive_(std::make_shared<Stream*>(this)) {
  deadlines_->add(*this);
}

Stream::~Stream() {
  *alive_ = nullptr;
  deadlines_->remove(*this);
}

void Stream::on_deadline() {
  expired_ = true;
  descriptor_.cancel();
}

void Stream::close() {
  closed_ = true;
  boost::system::error_code ignored;
  descriptor_.close(ignored);
}

void Stream::shutdown_write() {
  if (!descriptor_.is_open()) return;
  if (ssl_ && SSL_is_init_finished(ssl_.get())) {
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
  }
  ::shutdown(fd(), SHUT_WR);
}

async::Task<Io> Stream::wait(Want want) {
  using Descriptor = asio::posix::stream_descriptor;
  MAINSTAY_CHECK_CANCELLED();
  if (closed_) co_return Io::kBroken;
  if (expired_) {
    expired_ = false;
    co_return Io::kTimeout;
  }
  unbroken_ = 0;
  const bool limited = idle_limit_.count() > 0 && Deadlines::of(*this) == Deadlines::kNever;
  if (limited) deadlines_->set(*this, std::chrono::steady_clock::now() + idle_limit_);
  auto [error] = co_await descriptor_.async_wait(want == Want::kRead ? Descriptor::wait_read : Descriptor::wait_write,
                                                 asio::as_tuple(asio::use_awaitable));
  if (limited) deadlines_->set(*this, Deadlines::kNever);
  if (expired_) {
    expired_ = false;
    co_return Io::kTimeout;
  }
  if (!error) co_return Io::kOk;
  if (closed_ || error != asio::error::operation_aborted) co_return Io::kBroken;
  throw async::Cancelled();
}

Stream::Attempt Stream::failed_tls(int result) {
  const int saved = errno;
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return {Want::kRead, {}};
    case SSL_ERROR_WANT_WRITE:
      return {Want::kWrite, {}};
    case SSL_ERROR_ZERO_RETURN:
      return {Want::kNothing, {Io::kEnd, 0}};
    case SSL_ERROR_SSL:
      error_ = tls_errors();
      break;
    default:
      error_ = saved != 0 ? std::generic_category().message(saved) : "the connection broke off";
  }
  ERR_clear_error();
  return {Want::kNothing, {Io::kBroken, 0}};
}

async::Task<Io> Stream::handshake(SslPointer ssl) {
  ssl_ = std::move(ssl);
  SSL_set_fd(ssl_.get(), fd());
  for (;;) {
    ERR_clear_error();
    errno = 0;
    const int result = SSL_do_handshake(ssl_.get());
    if (result == 1) co_return Io::kOk;
    const Attempt attempt = failed_tls(result);
    if (attempt.want == Want::kNothing) co_return Io::kBroken;
    if (const Io state = co_await wait(attempt.want); state != Io::kOk) co_return state;
  }
}

Stream::Attempt Stream::try_read(std::span<char> into) {
  if (closed_) return {Want::kNothing, {Io::kBroken, 0}};
  if (!ssl_) {
    const ssize_t n = ::recv(fd(), into.data(), into.size(), 0);
    if (n > 0) return {Want::kNothing, {Io::kOk, static_cast<std::size_t>(n)}};
    if (n == 0) return {Want::kNothing, {Io::kEnd, 0}};
    if (errno == EAGAIN || errno == EINTR) return {Want::kRead, {}};
    error_ = std::generic_category().message(errno);
    return {Want::kNothing, {Io::kBroken, 0}};
  }
  // A call gives one record at most: several fill a large buffer.
  std::size_t total = 0;
  while (total < into.size()) {
    ERR_clear_error();
    errno = 0;
    std::size_t n = 0;
    const int result = SSL_read_ex(ssl_.get(), into.data() + total, into.size() - total, &n);
    if (result == 1) {
      total += n;
      continue;
    }
    if (total > 0) break;  // what went wrong comes again at the next call
    return failed_tls(result);
  }
  return {Want::kNothing, {Io::kOk, total}};
}

async::Task<IoResult> Stream::read_some(std::span<char> into) {
  for (;;) {
    const Attempt attempt = try_read(into);
    if (attempt.want == Want::kNothing) {
      unbroken_ += attempt.result.n;
      if (unbroken_ >= kFairShare) {
        unbroken_ = 0;
        co_await async::yield();
      }
      co_return attempt.result;
    }
    if (const Io state = co_await wait(attempt.want); state != Io::kOk) co_return IoResult{state, 0};
  }
}

Stream::Attempt Stream::try_write(std::string_view data) {
  if (closed_) return {Want::kNothing, {Io::kBroken, 0}};
  if (ssl_) {
    ERR_clear_error();
    errno = 0;
    std::size_t n = 0;
    const int result = SSL_write_ex(ssl_.get(), data.data(), data.size(), &n);
    if (result != 1) return failed_tls(result);
    return {Want::kNothing, {Io::kOk, n}};
  }
  const ssize_t n = ::send(fd(), data.data(), data.size(), MSG_NOSIGNAL);
  if (n >= 0) return {Want::kNothing, {Io::kOk, static_cast<std::size_t>(n)}};
  if (errno == EAGAIN || errno == EINTR) return {Want::kWrite, {}};
  error_ = std::generic_category().message(errno);
  return {Want::kNothing, {Io::kBroken, 0}};
}

async::Task<Io> Stream::write(std::string_view a, std::string_view b, std::string_view c) {
  if (ssl_) return write_tls({a, b, c});
  return write_plain({a, b, c});
}

async::Task<Io> Stream::write_plain(std::array<std::string_view, 3> parts) {
  for (;;) {
    std::array<iovec, 3> vectors;
    std::size_t count = 0;
    for (const auto& part : parts) {
      if (!part.empty()) vectors[count++] = {const_cast<char*>(part.data()), part.size()};
    }
    if (count == 0) co_return Io::kOk;
    if (closed_) co_return Io::kBroken;
    msghdr message{};
    message.msg_iov = vectors.data();
    message.msg_iovlen = count;
    const ssize_t sent = ::sendmsg(fd(), &message, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
      error_ = std::generic_category().message(errno);
      co_return Io::kBroken;
    }
    std::size_t left = sent > 0 ? static_cast<std::size_t>(sent) : 0;
    for (auto& part : parts) {
      const std::size_t n = std::min(left, part.size());
      part.remove_prefix(n);
      left -= n;
    }
    if (parts[0].empty() && parts[1].empty() && parts[2].empty()) co_return Io::kOk;
    if (const Io state = co_await wait(Want::kWrite); state != Io::kOk) co_return state;
  }
}

async::Task<Io> Stream::write_one(std::string_view data) {
  while (!data.empty()) {
    const Attempt attempt = try_write(data);
    if (attempt.want != Want::kNothing) {
      if (const Io state = co_await wait(attempt.want); state != Io::kOk) co_return state;
    } else if (attempt.result.state != Io::kOk) {
      co_return attempt.result.state;
    } else {
      data.remove_prefix(attempt.result.n);
    }
  }
  co_return Io::kOk;
}

async::Task<Io> Stream::write_tls(std::array<std::string_view, 3> parts) {
  // Small parts share a record: each costs a system call and some 22 bytes on the wire.
  if (parts[0].size() + parts[1].size() + parts[2].size() <= kRecord && !parts[1].empty()) {
    std::string record;
    record.reserve(parts[0].size() + parts[1].size() + parts[2].size());
    record.append(parts[0]).append(parts[1]).append(parts[2]);
    co_return co_await write_one(record);
  }
  std::string record;
  for (std::string_view part : parts) {
    if (!record.empty() || part.size() < kRecord) {
      const std::size_t n = std::min(part.size(), kRecord - record.size());
      record.append(part.substr(0, n));
      part.remove_prefix(n);
      if (record.size() < kRecord) continue;
      if (const Io state = co_await write_one(record); state != Io::kOk) co_return state;
      record.clear();
    }
    // Whole records straight from the caller's memory; the rest waits for company.
    const std::size_t whole = part.size() / kRecord * kRecord;
    if (const Io state = co_await write_one(part.substr(0, whole)); state != Io::kOk) co_return state;
    record.append(part.substr(whole));
  }
  co_return co_await write_one(record);
}

void Stream::watch_peer(std::function<void()> gone) {
  gone_ = std::move(gone);
  watch_again();
}

void Stream::stop_watching() {
  if (!gone_) return;
  gone_ = nullptr;
  if (descriptor_.is_open()) descriptor_.cancel();
}

void Stream::watch_again() {
  descriptor_.async_wait(asio::posix::stream_descriptor::wait_read,
                         [alive = alive_](const boost::system::error_code& error) {
                           Stream* self = *alive;
                           if (!self || !self->gone_ || error == asio::error::operation_aborted) return;
                           char byte;
                           bool ended = static_cast<bool>(error), nothing = false;
                           if (!ended && self->ssl_) {
                             ERR_clear_error();
                             errno = 0;
                             std::size_t n = 0;
                             const int result = SSL_peek_ex(self->ssl_.get(), &byte, 1, &n);
                             const Attempt attempt = result == 1 ? Attempt{} : self->failed_tls(result);
                             nothing = attempt.want != Want::kNothing;
                             ended = !nothing && result != 1;
                           } else if (!ended) {
                             const ssize_t n = ::recv(self->fd(), &byte, 1, MSG_PEEK);
                             nothing = n < 0 && (errno == EAGAIN || errno == EINTR);
                             ended = n == 0 || (n < 0 && !nothing);
                           }
                           if (nothing) return self->watch_again();
                           const auto gone = std::exchange(self->gone_, nullptr);
                           if (ended) gone();
                         });
}

bool Stream::is_quiet() {
  if (closed_ || !descriptor_.is_open() || (ssl_ && SSL_pending(ssl_.get()) > 0)) return false;
  char byte;
  if (!ssl_) return ::recv(fd(), &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN;
  // The bytes that wait may be TLS 1.3's session tickets rather than the end: TLS itself has to look.
  ERR_clear_error();
  errno = 0;
  std::size_t n = 0;
  const int result = SSL_peek_ex(ssl_.get(), &byte, 1, &n);
  return result != 1 && failed_tls(result).want == Want::kRead;
}

}  // namespace mainstay::net
