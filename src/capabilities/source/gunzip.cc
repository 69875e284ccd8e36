#include "capabilities/source/gunzip.h"

#include <zlib.h>

#include "base/status.h"

namespace mainstay::source {
namespace {

class Gunzip final : public net::BodyReader {
 public:
  Gunzip(std::shared_ptr<net::BodyReader> packed, std::uint64_t max) : packed_(std::move(packed)), left_(max) {
    if (inflateInit2(&stream_, 15 + 16) != Z_OK) throw base::internal_error("cannot unpack the request: out of memory");
  }
  Gunzip(const Gunzip&) = delete;
  Gunzip& operator=(const Gunzip&) = delete;
  ~Gunzip() override { inflateEnd(&stream_); }

  async::Task<std::size_t> read(std::span<char> buffer) override {
    while (!ended_) {
      if (stream_.avail_in == 0) {
        const std::size_t got = co_await packed_->read(in_);
        if (got == 0) throw base::bad_request("the gzip body ends too early");
        stream_.next_in = reinterpret_cast<Bytef*>(in_.data());
        stream_.avail_in = static_cast<uInt>(got);
      }
      stream_.next_out = reinterpret_cast<Bytef*>(buffer.data());
      stream_.avail_out = static_cast<uInt>(buffer.size());
      const int result = inflate(&stream_, Z_NO_FLUSH);
      if (result == Z_STREAM_END) {
        ended_ = true;
      } else if (result != Z_OK && result != Z_BUF_ERROR) {
        throw base::bad_request("the body is not gzip, though Content-Encoding says so");
      }
      const std::size_t made = buffer.size() - stream_.avail_out;
      if (made > left_) throw base::too_large("the unpacked request is too large");
      left_ -= made;
      if (made > 0) co_return made;
    }
    co_return 0;
  }

 private:
  std::shared_ptr<net::BodyReader> packed_;
  std::uint64_t left_;
  z_stream stream_{};
  std::array<char, 16384> in_{};
  bool ended_ = false;
};

}  // namespace

std::shared_ptr<net::BodyReader> gunzip(std::shared_ptr<net::BodyReader> packed, std::uint64_t max) {
  return std::make_shared<Gunzip>(std::move(packed), max);
}

}  // namespace mainstay::source
