// Bytes read from a connection and not yet used.
#pragma once
#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>

namespace mainstay::net {

class Buffer {
 public:
  std::string_view view() const { return {data_.get() + begin_, end_ - begin_}; }
  bool empty() const { return begin_ == end_; }
  void consume(std::size_t n) {
    begin_ += n;
    if (begin_ == end_) begin_ = end_ = 0;
  }
  // Room for at least `least` bytes after what is there.
  std::span<char> room(std::size_t least) {
    if (capacity_ - end_ < least) {
      const std::size_t size = end_ - begin_;
      const std::size_t capacity = std::max(capacity_, size + least);
      auto grown = capacity == capacity_ ? nullptr : std::make_unique_for_overwrite<char[]>(capacity);
      char* to = grown ? grown.get() : data_.get();
      if (size > 0) std::memmove(to, data_.get() + begin_, size);
      if (grown) data_ = std::move(grown);
      capacity_ = capacity;
      begin_ = 0;
      end_ = size;
    }
    return {data_.get() + end_, capacity_ - end_};
  }
  void commit(std::size_t n) { end_ += n; }
  // Gives the memory of a large body back while a connection is idle.
  void release() {
    if (!empty() || capacity_ <= kKept) return;
    data_.reset();
    capacity_ = begin_ = end_ = 0;
  }

 private:
  static constexpr std::size_t kKept = 16 * 1024;
  std::unique_ptr<char[]> data_;
  std::size_t capacity_ = 0, begin_ = 0, end_ = 0;
};

}  // namespace mainstay::net
