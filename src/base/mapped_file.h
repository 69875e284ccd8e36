// A file's content in place, for what is too large to be held.
#pragma once
#include <filesystem>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace mainstay::base {

// Pages come and go as they are looked at. Nobody may shorten the file meanwhile.
class MappedFile {
 public:
  static Result<MappedFile> open(const std::filesystem::path& path, std::size_t max_bytes);
  MappedFile(MappedFile&& other) noexcept : text_(std::exchange(other.text_, {})) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(text_, other.text_);
    return *this;
  }
  ~MappedFile();
  std::string_view text() const { return text_; }

 private:
  explicit MappedFile(std::string_view text) : text_(text) {}
  std::string_view text_;
};

}  // namespace mainstay::base
