#include "base/mapped_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace mainstay::base {

Result<MappedFile> MappedFile::open(const std::filesystem::path& path, std::size_t max_bytes) {
  const auto failed = [&](int error) {
    return fail(error == ENOENT ? ErrorCode::kNotFound : ErrorCode::kInternal,
                fmt::format("cannot read {}: {}", path.string(), std::generic_category().message(error)));
  };
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return failed(errno);
  struct Close {
    int fd;
    ~Close() { ::close(fd); }
  } close{fd};
  struct stat info{};
  if (::fstat(fd, &info) != 0) return failed(errno);
  const auto size = static_cast<std::size_t>(info.st_size);
  if (size > max_bytes)
    return fail(ErrorCode::kTooLarge, fmt::format("{} is larger than {} bytes", path.string(), max_bytes));
  if (size == 0) return MappedFile(std::string_view());
  void* at = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (at == MAP_FAILED) return failed(errno);
  ::madvise(at, size, MADV_SEQUENTIAL);
  return MappedFile(std::string_view(static_cast<const char*>(at), size));
}

MappedFile::~MappedFile() {
  if (!text_.empty()) ::munmap(const_cast<char*>(text_.data()), text_.size());
}

}  // namespace mainstay::base
