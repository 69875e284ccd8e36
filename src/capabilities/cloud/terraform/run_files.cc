#include "capabilities/cloud/terraform/run_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>

#include "base/files.h"
#include "base/strings.h"
#include "capabilities/cloud/terraform/module.h"

namespace mainstay::cloud {
namespace fs = std::filesystem;
namespace {

// A plain file directly in the folder, at most `most` bytes of it from its end where `tail`; nullopt where there is
// none (a link, a pipe and a device are none).
std::optional<std::string> read_plain(const fs::path& folder, const char* name, std::size_t most, bool tail,
                                      bool* larger = nullptr) {
  const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (directory < 0) return std::nullopt;
  const int file = ::openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  ::close(directory);
  if (file < 0) return std::nullopt;
  struct stat info{};
  std::optional<std::string> out;
  if (::fstat(file, &info) == 0 && S_ISREG(info.st_mode)) {
    const auto size = static_cast<std::size_t>(info.st_size);
    if (larger != nullptr) *larger = size > most;
    off_t at = tail && size > most ? static_cast<off_t>(size - most) : 0;
    out.emplace();
    char buffer[16384];
    while (out->size() < most) {
      const ssize_t n = ::pread(file, buffer, std::min(sizeof buffer, most - out->size()), at);
      if (n <= 0) break;
      out->append(buffer, static_cast<std::size_t>(n));
      at += n;
    }
  }
  ::close(file);
  return out;
}

// JSON texts are UTF-8: what is not is shown as a question mark.
std::string printable(std::string text) {
  for (char& c : text)
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7f) c = '?';
  return text;
}

}  // namespace

base::Result<> empty_out(const fs::path& folder) {
  std::error_code ignored;
  fs::remove_all(folder / "out", ignored);
  return base::make_directories(folder / "out", 0700);
}

base::Result<> lay_out(const fs::path& folder, const ModuleFiles& files) {
  std::error_code ignored;
  fs::remove_all(folder, ignored);
  MAINSTAY_TRY_VOID(base::make_directories(folder / "in", 0700));
  for (const auto& [name, content] : files) {
    MAINSTAY_TRY_VOID(check_module_path(name));
    const fs::path path = folder / "in" / name;
    MAINSTAY_TRY_VOID(base::make_directories(path.parent_path(), 0700));
    MAINSTAY_TRY_VOID(base::write_file(path, content, 0600));
  }
  return empty_out(folder);
}

RunResult read_out(const fs::path& folder) {
  const fs::path out = folder / "out";
  RunResult result;
  if (const auto text = read_plain(out, "code", 16, false)) {
    int code = 0;
    const std::string_view digits = base::trim(*text);
    if (std::from_chars(digits.data(), digits.data() + digits.size(), code).ec == std::errc()) result.code = code;
  }
  result.log = printable(read_plain(out, "log", kMaxLogText * 2, true).value_or(""));
  result.plan_text = printable(read_plain(out, "plan.txt", kMaxPlanText * 16, false).value_or(""));
  result.plan = read_plain(out, "plan", kMaxPlan, false, &result.plan_too_large).value_or("");
  return result;
}

void clear_away(const fs::path& folder) {
  std::error_code ignored;
  fs::remove_all(folder, ignored);
}

std::string find_program() {
  const char* path = std::getenv("PATH");
  for (const char* name : {"terraform", "tofu"})
    for (const std::string_view folder : base::split(path == nullptr ? "/usr/bin" : path, ':')) {
      if (!folder.starts_with('/')) continue;
      std::error_code error;
      const fs::path found = fs::canonical(fs::path(folder) / name, error);
      if (!error && fs::is_regular_file(found, error) && ::access(found.c_str(), X_OK) == 0) return found.string();
    }
  return "";
}

}  // namespace mainstay::cloud
