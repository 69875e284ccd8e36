#include "cli/file_body.h"

#include <fstream>

#include "cli/session.h"

namespace mainstay::cli {
namespace {

class FileReader final : public net::BodyReader {
 public:
  FileReader(const std::filesystem::path& path, std::uint64_t size) : in_(path, std::ios::binary), size_(size) {}
  bool good() const { return in_.good(); }
  async::Task<std::size_t> read(std::span<char> buffer) override {
    in_.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    co_return static_cast<std::size_t>(in_.gcount());
  }
  std::optional<std::uint64_t> length() const override { return size_; }

 private:
  std::ifstream in_;
  std::uint64_t size_;
};

}  // namespace

std::shared_ptr<net::BodyReader> file_body(const std::filesystem::path& file) {
  std::error_code error;
  const auto size = std::filesystem::file_size(file, error);
  auto reader = error ? nullptr : std::make_shared<FileReader>(file, size);
  if (!reader || !reader->good())
    throw Failure{kFailed, fmt::format("cannot read {}{}", file.string(), error ? ": " + error.message() : "")};
  return reader;
}

}  // namespace mainstay::cli
