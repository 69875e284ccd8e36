#include "capabilities/source/git.h"

#include <sys/stat.h>

#include <algorithm>
#include <system_error>

#include "base/files.h"
#include "base/ids.h"
#include "base/strings.h"

namespace mainstay::source {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kTrash = ".trash";

// Settings every git process gets. Hooks inherit them through GIT_CONFIG_PARAMETERS.
const std::vector<std::string>& settings() {
  static const std::vector<std::string> all = {
      "safe.directory=*",
      // A push is acknowledged when it is on disk; `batch` makes that one flush for many loose objects.
      "core.fsync=committed,loose-object,pack,pack-metadata,reference",
      "core.fsyncMethod=batch",
      "receive.fsckObjects=true",
      "receive.unpackLimit=100",
      "receive.autogc=false",
      "gc.auto=0",
      "receive.denyDeleteCurrent=refuse",
      "transfer.hideRefs=refs/mainstay",
      "uploadpack.allowFilter=true",
      // A job fetches the exact commit it was made for, also after the branch moved on.
      "uploadpack.allowReachableSHA1InWant=true",
      "protocol.version=2",
  };
  return all;
}

bool only(std::string_view text, std::string_view allowed) {
  return std::ranges::all_of(
      text, [&](char c) { return std::isalnum(static_cast<unsigned char>(c)) || allowed.contains(c); });
}

}  // namespace

base::Result<> check_repository_name(std::string_view name) {
  MAINSTAY_TRY_VOID(base::check_dns_label(name));
  if (name.size() > kMaxRepositoryName)
    return base::fail(base::ErrorCode::kInvalid, fmt::format("must be at most {} characters", kMaxRepositoryName));
  return {};
}

bool is_object_id(std::string_view text) {
  return (text.size() == 40 || text.size() == 64) &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool is_branch_name(std::string_view name) {
  if (name.empty() || name.size() > 200 || name == "@" || name.front() == '-' || name.front() == '/' ||
      name.back() == '/' || name.back() == '.')
    return false;
  if (name.contains("..") || name.contains("@{") || name.contains("//") || name.contains("/.") || name.front() == '.')
    return false;
  for (std::string_view part : base::split(name, '/'))
    if (part.ends_with(".lock")) return false;
  return std::ranges::none_of(
      name, [](unsigned char c) { return c <= ' ' || c == 0x7f || std::string_view("~^:?*[\\").contains(c); });
}

std::string safe_protocol(std::string_view header) {
  if (header.empty() || header.size() > 256 || !only(header, "=:-_./")) return "";
  return std::string(header);
}

base::Result<fs::path> Git::path(std::string_view ns, std::string_view name) const {
  if (auto ok = base::check_dns_label(ns); !ok)
    return base::fail(base::ErrorCode::kInvalid,
                      fmt::format("\"{}\" is not a team's name: {}", ns, ok.error().message));
  if (auto ok = check_repository_name(name); !ok)
    return base::fail(base::ErrorCode::kInvalid,
                      fmt::format("\"{}\" is not a repository's name: {}", name, ok.error().message));
  return root_ / ns / fmt::format("{}.git", name);
}

base::Result<fs::path> Git::existing(std::string_view ns, std::string_view name) const {
  MAINSTAY_TRY(fs::path where, path(ns, name));
  struct stat found{};
  if (::stat((where / "HEAD").c_str(), &found) != 0)
    return base::fail(base::ErrorCode::kNotFound, fmt::format("the repository {}/{} does not exist", ns, name));
  return where;
}

async::ProcessOptions Git::command(std::vector<std::string> arguments, std::string_view protocol,
                                   const std::vector<std::string>& protected_branches) const {
  async::ProcessOptions options;
  options.argv = {"git"};
  for (const std::string& setting : settings()) {
    options.argv.push_back("-c");
    options.argv.push_back(setting);
  }
  const bool guarded = !protected_branches.empty();
  options.argv.push_back("-c");
  options.argv.push_back("core.hooksPath=" + (guarded ? hooks().string() : std::string("/dev/null")));
  options.argv.push_back("-c");
  options.argv.push_back(fmt::format("receive.maxInputSize={}", kMaxPush));
  std::ranges::move(arguments, std::back_inserter(options.argv));
  options.env = {{"PATH", "/usr/local/bin:/usr/bin:/bin"},
                 {"HOME", "/nonexistent"},
                 {"GIT_CONFIG_NOSYSTEM", "1"},
                 {"GIT_CONFIG_GLOBAL", "/dev/null"},
                 {"GIT_TERMINAL_PROMPT", "0"},
                 {"LC_ALL", "C"},
                 // Anybody who pushes may push refs/replace/: a commit must read as what its id says.
                 {"GIT_NO_REPLACE_OBJECTS", "1"}};
  if (std::string safe = safe_protocol(protocol); !safe.empty()) options.env["GIT_PROTOCOL"] = std::move(safe);
  if (guarded) {
    options.env["MAINSTAY_PROTECTED"] = base::join(protected_branches, "\n");
    options.env["MAINSTAY_BINARY"] = binary_.string();
  }
  return options;
}

namespace {

// A killed receive-pack leaves its lock files, which refuse every later push to that ref, and its quarantine. No git of
// ours runs at start (they die with the program), so whatever is there is left over.
void remove_leftovers(const fs::path& repository) {
  std::error_code ignored;
  for (const char* file : {"HEAD.lock", "packed-refs.lock", "packed-refs.new", "config.lock", "shallow.lock"})
    fs::remove(repository / file, ignored);
  for (fs::recursive_directory_iterator it(repository / "refs", ignored), end; !ignored && it != end;
       it.increment(ignored)) {
    std::error_code gone;
    if (it->path().extension() == ".lock") fs::remove(it->path(), gone);
  }
  for (const auto& entry : fs::directory_iterator(repository / "objects", ignored)) {
    const std::string name = entry.path().filename();
    std::error_code gone;
    if (name.starts_with("incoming-") || name.starts_with("tmp_objdir-")) fs::remove_all(entry.path(), gone);
  }
}

}  // namespace

base::Result<> Git::prepare() const {
  MAINSTAY_TRY_VOID(base::make_directories(hooks(), 0755));
  MAINSTAY_TRY_VOID(
      base::write_file(hooks() / "pre-receive", "#!/bin/sh\nexec \"$MAINSTAY_BINARY\" hook pre-receive\n", 0755));
  // What a crash left of a deletion or a creation.
  std::error_code ignored;
  fs::remove_all(root_ / kTrash, ignored);
  for (const auto& team : fs::directory_iterator(root_, ignored)) {
    std::error_code inner;
    if (!team.is_directory(inner)) continue;
    for (const auto& entry : fs::directory_iterator(team.path(), inner)) {
      std::error_code gone;
      if (entry.path().filename().string().starts_with(".new-")) {
        fs::remove_all(entry.path(), gone);
      } else if (entry.path().extension() == ".git") {
        remove_leftovers(entry.path());
      }
    }
  }
  return {};
}

async::Task<base::Result<>> Git::create(std::string ns, std::string name, std::string default_branch) const {
  MAINSTAY_CO_TRY(const fs::path where, path(ns, name));
  const fs::path fresh = where.parent_path() / (".new-" + base::random_hex(8));
  MAINSTAY_CO_TRY_VOID(base::make_directories(where.parent_path(), 0755));
  auto made = co_await async::run_process(
      command({"init", "--bare", "--quiet", "--template=", "--initial-branch=" + default_branch, fresh.string()}));
  if (!made) co_return std::unexpected(made.error());
  if (!made->status.ok())
    co_return base::fail(base::ErrorCode::kInternal, fmt::format("git init failed: {}", base::trim(made->err)));
  std::error_code error;
  fs::rename(fresh, where, error);
  if (error) {
    std::error_code ignored;
    fs::remove_all(fresh, ignored);
    co_return base::fail(base::ErrorCode::kInternal,
                         fmt::format("cannot create {}: {}", where.string(), error.message()));
  }
  co_return base::Result<>();
}

base::Result<> Git::remove(std::string_view ns, std::string_view name) const {
  MAINSTAY_TRY(const fs::path where, path(ns, name));
  std::error_code error;
  if (!fs::exists(where, error)) return {};
  const fs::path aside = root_ / kTrash / base::random_hex(8);
  MAINSTAY_TRY_VOID(base::make_directories(aside.parent_path(), 0700));
  fs::rename(where, aside, error);
  if (error)
    return base::fail(base::ErrorCode::kInternal, fmt::format("cannot remove {}: {}", where.string(), error.message()));
  fs::remove_all(aside, error);  // What stays behind goes at the next start.
  return {};
}

base::Result<> Git::set_head(const fs::path& repository, std::string_view branch) const {
  const std::string wanted = fmt::format("ref: refs/heads/{}\n", branch);
  if (auto now = base::read_file(repository / "HEAD", 4096); now && *now == wanted) return {};
  return base::write_file(repository / "HEAD", wanted, 0644);
}

}  // namespace mainstay::source
