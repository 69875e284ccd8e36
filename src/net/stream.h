// A byte stream over a socket, plain or TLS: one type for the server, the client, Unix sockets and WebSockets. It calls
// the socket itself and asks Asio only when to try again, so what is ready costs no suspension. On the loop only.
#pragma once
#include <openssl/ssl.h>

#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "async/task.h"
#include "net/deadlines.h"

namespace mainstay::net {

enum class Io {
  kOk,
  kEnd,      // the peer has ended its side
  kBroken,   // the connection failed; error() may say more
  kTimeout,  // the deadline passed
};
struct IoResult {
  Io state = Io::kOk;
  std::size_t n = 0;
};

struct SslDeleter {
  void operator()(SSL* ssl) const {
    // Without this OpenSSL forbids resuming the session of a connection that ended without a word, as most do.
    SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(ssl);
  }
};
using SslPointer = std::unique_ptr<SSL, SslDeleter>;

class Stream final : public Deadlines::Entry {
 public:
  enum class Want { kNothing, kRead, kWrite };
  struct Attempt {
    Want want = Want::kNothing;  // other than kNothing: try again when the socket is ready for that
    IoResult result;
  };

  // Takes the descriptor, which must not block.
  Stream(const async::Executor& executor, int fd, std::shared_ptr<Deadlines> deadlines);
  ~Stream();
  Stream(const Stream&) = delete;

  // TLS from here on; the handshake's role is the SSL object's.
  async::Task<Io> handshake(SslPointer ssl);
  // At least one byte. Cancellation throws Cancelled out of these, like out of every operation.
  async::Task<IoResult> read_some(std::span<char> into);
  // All of the parts, in few system calls; up to a TLS record of small parts is copied together.
  async::Task<Io> write(std::string_view a, std::string_view b = {}, std::string_view c = {});
  async::Task<Io> wait(Want want);

  // The same without waiting.
  Attempt try_read(std::span<char> into);
  Attempt try_write(std::string_view data);

  // Where the operation under way ends with kTimeout. Stays until it is set again.
  void deadline(Deadlines::Time at) {
    expired_ = false;
    deadlines_->set(*this, at);
  }
  void deadline_in(std::chrono::nanoseconds limit) { deadline(std::chrono::steady_clock::now() + limit); }
  void no_deadline() { deadline(Deadlines::kNever); }
  // While no deadline is set: how long a single wait for the peer may last. 0: for ever. Progress begins it anew.
  void idle_limit(std::chrono::nanoseconds limit) { idle_limit_ = limit; }

  // Calls `gone` (once) when the peer ends or breaks off while nobody reads. Bytes that arrive end the watch.
  void watch_peer(std::function<void()> gone);
  void stop_watching();

  // Whether TLS holds bytes that the socket no longer shows.
  bool has_buffered() const { return ssl_ && SSL_has_pending(ssl_.get()) == 1; }
  // Whether a kept connection is still of use: nothing to read and not ended.
  bool is_quiet();
  void shutdown_write();  // TLS's close_notify and the end of our side
  void close();           // operations under way end with kBroken
  bool is_open() const { return descriptor_.is_open(); }
  SSL* ssl() const { return ssl_.get(); }
  int fd() { return descriptor_.native_handle(); }
  boost::asio::posix::stream_descriptor& descriptor() { return descriptor_; }
  const std::string& error() const { return error_; }  // what TLS found wrong

 private:
  void on_deadline() override;
  Attempt failed_tls(int result);
  void watch_again();
  async::Task<Io> write_plain(std::array<std::string_view, 3> parts);
  async::Task<Io> write_tls(std::array<std::string_view, 3> parts);
  async::Task<Io> write_one(std::string_view data);

  boost::asio::posix::stream_descriptor descriptor_;
  std::shared_ptr<Deadlines> deadlines_;
  SslPointer ssl_;
  std::string error_;
  std::function<void()> gone_;
  std::chrono::nanoseconds idle_limit_{0};
  std::size_t unbroken_ = 0;  // bytes read since the last suspension
  bool expired_ = false, closed_ = false;
  // Callbacks under way hold this; its owner's end tells them that the stream has gone.
  std::shared_ptr<Stream*> alive_;
};

}  // namespace mainstay::net
