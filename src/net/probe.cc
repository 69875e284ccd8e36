#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/this_coro.hpp>

#include "net/buffer.h"
#include "net/client.h"
#include "net/connect.h"
#include "net/stream.h"

namespace mainstay::net {
namespace {

constexpr std::size_t kMaxAnswer = 16u << 20;

base::Error io_error(Io state, const std::string& path) {
  if (state == Io::kTimeout) return {base::ErrorCode::kTimeout, "no answer from " + path + " in time"};
  return {base::ErrorCode::kUnavailable, "the connection to " + path + " broke off"};
}

}  // namespace

async::Task<base::Result<std::string>> unix_exchange(std::string path, std::string data,
                                                     std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  const async::Executor executor = co_await boost::asio::this_coro::executor;
  MAINSTAY_CO_TRY(const int fd, co_await connect_unix(path, limit));
  Stream stream(executor, fd, std::make_shared<Deadlines>(executor));
  stream.deadline(deadline);
  if (const Io state = co_await stream.write(data); state != Io::kOk) co_return std::unexpected(io_error(state, path));
  ::shutdown(stream.fd(), SHUT_WR);
  std::string answer;
  Buffer buffer;
  for (;;) {
    const IoResult result = co_await stream.read_some(buffer.room(16 * 1024));
    if (result.state == Io::kEnd) co_return answer;
    if (result.state != Io::kOk) co_return std::unexpected(io_error(result.state, path));
    buffer.commit(result.n);
    answer += buffer.view();
    buffer.consume(result.n);
    if (answer.size() > kMaxAnswer)
      co_return base::fail(base::ErrorCode::kTooLarge, "the answer of " + path + " is too large");
  }
}

async::Task<bool> tcp_probe(std::string host, std::uint16_t port, std::chrono::milliseconds limit) {
  const auto fd = co_await connect_tcp(std::move(host), port, limit);
  if (fd) ::close(*fd);
  co_return fd.has_value();
}

}  // namespace mainstay::net
