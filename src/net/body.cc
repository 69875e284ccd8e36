#include "net/body.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/log.h"
#include "base/status.h"

namespace mainstay::net {
namespace {

constexpr std::size_t kReadSize = 64 * 1024;
constexpr std::size_t kPiece = 512 * 1024;

}  // namespace

WireBody::WireBody(Source source, Framing framing, bool expects_continue)
    : source_(std::move(source)), framing_(framing), remaining_(framing.length), expects_continue_(expects_continue) {
  done_ = framing.kind == Framing::Kind::kNone || (framing.kind == Framing::Kind::kLength && remaining_ == 0);
  if (done_) expects_continue_ = false;
}

WireBody::~WireBody() { finish(false); }

std::optional<std::uint64_t> WireBody::length() const {
  if (framing_.kind == Framing::Kind::kNone) return 0;
  if (framing_.kind == Framing::Kind::kLength) return framing_.length;
  return std::nullopt;
}

void WireBody::detach() {
  source_.stream = nullptr;
  finish_ = nullptr;
  source_.owner.reset();
}

void WireBody::finish(bool complete) {
  if (auto call = std::exchange(finish_, nullptr)) call(complete);
  if (source_.side == Side::kClient) detach();
}

async::Task<std::size_t> WireBody::read(std::span<char> buffer) {
  if (done_ || buffer.empty()) {
    if (done_) finish(true);
    co_return 0;
  }
  if (!source_.stream) throw base::bad_request("the body is read after its exchange has ended");
  const auto keep = source_.owner;  // the connection stays until this read has ended
  if (expects_continue_) {
    expects_continue_ = false;
    const auto stream = source_.stream;
    if (co_await stream->write("HTTP/1.1 100 Continue\r\n\r\n") != Io::kOk)
      throw base::bad_request("the peer broke off");
  }
  const std::size_t n =
      framing_.kind == Framing::Kind::kChunked ? co_await read_chunked(buffer) : co_await read_plain(buffer);
  if (done_) finish(true);
  co_return n;
}

// From the socket, at least a byte; 0 at its end, which only a body that lasts until the end may meet.
async::Task<std::size_t> WireBody::receive(std::span<char> into) {
  Stream& stream = *source_.stream;
  const IoResult result = co_await stream.read_some(into);
  if (result.state == Io::kOk) co_return result.n;
  if (result.state == Io::kEnd && framing_.kind == Framing::Kind::kUntilClose) co_return 0;
  const bool late = result.state == Io::kTimeout;
  if (source_.side == Side::kClient) {
    finish(false);
    throw base::unavailable(late ? "the server stopped sending its answer" : "the server broke off its answer");
  }
  if (late) throw base::StatusError(408, "Timeout", "the request's body stopped arriving");
  throw base::bad_request("the peer broke off in the request's body");
}

async::Task<std::size_t> WireBody::read_plain(std::span<char> into) {
  const bool bounded = framing_.kind == Framing::Kind::kLength;
  if (bounded && into.size() > remaining_) into = into.first(static_cast<std::size_t>(remaining_));
  std::size_t n = 0;
  Buffer& buffer = *source_.buffer;
  if (!buffer.empty()) {
    n = std::min(into.size(), buffer.view().size());
    std::memcpy(into.data(), buffer.view().data(), n);
    buffer.consume(n);
  } else {
    n = co_await receive(into);  // into the caller's memory: no copy of large bodies
  }
  if (bounded) remaining_ -= n;
  done_ = bounded ? remaining_ == 0 : n == 0;
  co_return n;
}

async::Task<std::size_t> WireBody::read_chunked(std::span<char> into) {
  for (;;) {
    Buffer& buffer = *source_.buffer;
    if (!buffer.empty()) {
      std::size_t used = 0, written = 0;
      const auto state = source_.parser->decode(buffer.view(), into, used, written);
      buffer.consume(used);
      if (state == MessageParser::State::kBad) {
        finish(false);
        throw base::bad_request("the body's chunks are malformed: " + source_.parser->error());
      }
      done_ = state == MessageParser::State::kDone;
      if (written > 0 || done_) co_return written;
    }
    const std::size_t n = co_await receive(buffer.room(kReadSize));
    source_.buffer->commit(n);
  }
}

namespace {

class OpenFile {
 public:
  OpenFile() = default;
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  bool open(const char* path) {
    fd_ = ::open(path, O_RDONLY | O_CLOEXEC);
    return fd_ >= 0;
  }
  // Fills the span, less only at the file's end.
  std::size_t read(std::span<char> into, std::uint64_t offset) const {
    std::size_t done = 0;
    while (done < into.size()) {
      const ssize_t n = ::pread(fd_, into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      done += static_cast<std::size_t>(n);
    }
    return done;
  }

 private:
  int fd_ = -1;
};

struct FileTransfer {
  OpenFile file;
  std::array<std::unique_ptr<char[]>, 2> pieces;
  std::array<std::size_t, 2> sizes{};
  std::uint64_t offset = 0, unread = 0;

  // In the pool.
  void fill(std::size_t which) {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, unread));
    if (!pieces[which]) pieces[which] = std::make_unique_for_overwrite<char[]>(size);
    sizes[which] = file.read({pieces[which].get(), size}, offset);
    offset += sizes[which];
    unread -= sizes[which];
    if (sizes[which] < size) unread = 0;  // shorter than said
  }
};

async::Task<> fill_ahead(async::Runtime& runtime, std::shared_ptr<FileTransfer> transfer, std::size_t which) {
  co_await runtime.run_blocking([transfer, which] { transfer->fill(which); });
}

}  // namespace

async::Task<Io> send_file(async::Runtime& runtime, Stream& stream, std::string head, FileBody file) {
  auto transfer = std::make_shared<FileTransfer>();
  transfer->offset = file.offset;
  transfer->unread = file.length;
  const bool opened = co_await runtime.blocking([transfer, path = file.path] {
    if (!transfer->file.open(path.c_str())) return false;
    transfer->fill(0);
    return true;
  });
  if (!opened) {
    base::log::error("net", "cannot open {} to send it", file.path.string());
    throw base::internal_error("the content cannot be read");
  }
  async::TaskGroup ahead(runtime.executor(), "file");
  std::uint64_t left = file.length;
  Io state = Io::kOk;
  for (std::size_t which = 0;; which ^= 1) {
    const std::size_t size = transfer->sizes[which];
    const bool more = transfer->unread > 0;
    if (more) ahead.spawn("read", fill_ahead(runtime, transfer, which ^ 1));
    std::exception_ptr error;
    try {
      state = co_await stream.write(head, {transfer->pieces[which].get(), size});
    } catch (...) {
      error = std::current_exception();
    }
    co_await ahead.join();
    if (error) std::rethrow_exception(error);
    head.clear();
    left -= size;
    if (state != Io::kOk || left == 0) break;
    if (!more) {
      base::log::error("net", "{} ends {} bytes before its stated length", file.path.string(), left);
      state = Io::kBroken;
      break;
    }
  }
  co_return state;
}

}  // namespace mainstay::net
