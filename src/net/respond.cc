#include "net/respond.h"

#include "async/suspend.h"
#include "base/log.h"

namespace mainstay::net {
namespace {

class Writer final : public BodyWriter {
 public:
  Writer(Stream& stream, Framing framing) : stream_(stream), framing_(framing), left_(framing.length) {}

  async::Task<> write(std::string_view data) override {
    if (data.empty()) co_return;
    Io state = Io::kOk;
    between_ = false;
    if (framing_.kind == Framing::Kind::kChunked) {
      const std::string head = chunk_head(data.size());
      state = co_await stream_.write(head, data, "\r\n");
    } else {
      if (framing_.kind == Framing::Kind::kLength) {
        if (data.size() > left_) throw std::length_error("a streamed body is longer than its stated length");
        left_ -= data.size();
      }
      state = co_await stream_.write(data);
    }
    if (state != Io::kOk) throw async::Cancelled();
    between_ = true;
  }

  async::Task<bool> finish() {
    if (!between_) co_return false;
    if (framing_.kind == Framing::Kind::kLength) co_return left_ == 0;
    if (framing_.kind != Framing::Kind::kChunked) co_return true;
    co_return co_await stream_.write("0\r\n\r\n") == Io::kOk;
  }

 private:
  Stream& stream_;
  Framing framing_;
  std::uint64_t left_;
  bool between_ = true;  // not amid a write that was cancelled: an end put there would be taken for data
};

}  // namespace

async::Task<bool> write_stream(Stream& stream, StreamBody body, Framing framing, std::string peer) {
  Writer writer(stream, framing);
  auto stopper = std::make_shared<async::Stopper>();
  stream.watch_peer([stopper] { stopper->stop(); });
  struct StopWatching {
    Stream& stream;
    ~StopWatching() { stream.stop_watching(); }
  } stop_watching{stream};
  bool complete = false;
  try {
    complete = co_await async::until_stopped(body.write(writer), stopper);
  } catch (const async::Cancelled&) {
    throw;
  } catch (const std::exception& e) {
    // The head is out: all that can be said is that the body is not whole.
    base::log::warn("net", "the answer to {} was cut short: {}", peer, e.what());
  }
  stream.stop_watching();
  co_return complete&& co_await writer.finish();
}

}  // namespace mainstay::net
