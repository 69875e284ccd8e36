#include "capabilities/source/git_reader.h"

#include <charconv>

#include "async/runtime.h"
#include "base/strings.h"

namespace mainstay::source {
namespace {

constexpr std::size_t kMaxKept = 8;
constexpr std::chrono::seconds kIdle{20};
constexpr std::chrono::seconds kAnswerLimit{20};
constexpr std::size_t kMaxTree = 4u << 20;
constexpr std::size_t kMaxAuthorLines = 1u << 20;  // bytes
constexpr std::size_t kMaxMessage = 64u << 10;

base::Result<> check_expression(std::string_view text) {
  for (const char c : text)
    if (c == '\n' || c == '\0' || c == '\r')
      return base::fail(base::ErrorCode::kInvalid, "a name in git cannot hold a newline here");
  return {};
}

bool is_revision(std::string_view text) {
  return !text.empty() && text.size() <= 256 && text.front() != '-' && !text.contains("..") &&
         std::ranges::all_of(
             text, [](unsigned char c) { return std::isalnum(c) || c == '/' || c == '_' || c == '.' || c == '-'; });
}

}  // namespace

base::Result<std::vector<std::string>> parse_tree(std::string_view raw) {
  std::vector<std::string> names;
  while (!raw.empty()) {
    const auto space = raw.find(' ');
    const auto nul = raw.find('\0');
    // As git does, without a name too.
    if (space == std::string_view::npos || nul == std::string_view::npos || space + 1 >= nul || raw.size() < nul + 21)
      return base::fail(base::ErrorCode::kInvalid, "not a tree object");
    std::string name(raw.substr(space + 1, nul - space - 1));
    if (raw.starts_with("40000 ")) name += '/';
    names.push_back(std::move(name));
    raw.remove_prefix(nul + 21);
  }
  return names;
}

platform::GitReader::Commit parse_commit(std::string sha, std::string_view raw) {
  platform::GitReader::Commit commit;
  commit.sha = std::move(sha);
  while (!raw.empty()) {
    const auto end = raw.find('\n');
    std::string_view line = raw.substr(0, end);
    raw.remove_prefix(end == std::string_view::npos ? raw.size() : end + 1);
    if (line.empty()) break;
    if (line.starts_with("tree ")) commit.tree = line.substr(5);
    if (line.starts_with("author ")) {
      line.remove_prefix(7);
      const auto open = line.find('<');
      const auto close = line.find('>');
      if (open == std::string_view::npos || close == std::string_view::npos || close < open) continue;
      commit.author_name = base::trim(line.substr(0, open));
      commit.author_email = line.substr(open + 1, close - open - 1);
    }
  }
  commit.message = raw.substr(0, kMaxMessage);
  commit.subject = raw.substr(0, raw.find('\n'));
  return commit;
}

std::vector<std::string> parse_addresses(std::string_view lines) {
  std::vector<std::string> out;
  std::set<std::string> seen;
  for (std::string_view line : base::split(lines, '\n')) {
    if (const auto open = line.rfind('<'); open != std::string_view::npos) {
      line.remove_prefix(open + 1);
      line = line.substr(0, line.find('>'));
    }
    std::string address = base::lower(base::trim(line));
    if (!address.empty() && seen.insert(address).second) out.push_back(std::move(address));
  }
  return out;
}

// One process; one question at a time.
class CatFile {
 public:
  explicit CatFile(std::unique_ptr<async::Process> process) : process_(std::move(process)) {}
  // False once an answer was left half read: the process is of no more use.
  bool usable() const { return usable_; }

  async::Task<base::Result<BatchReader::Object>> ask(std::string expression, std::size_t max_bytes) {
    usable_ = false;
    if (!co_await process_->write_stdin(expression + "\n")) co_return broken();
    MAINSTAY_CO_TRY(const std::string head, co_await line());
    if (head.ends_with(" missing") || head.ends_with(" ambiguous")) {
      usable_ = true;
      co_return base::fail(base::ErrorCode::kNotFound, fmt::format("{} is not in the repository", expression));
    }
    const auto words = base::split(head, ' ');
    std::size_t size = 0;
    if (words.size() != 3 ||
        std::from_chars(words[2].data(), words[2].data() + words[2].size(), size).ec != std::errc())
      co_return broken();
    if (size > max_bytes) {
      co_return base::fail(base::ErrorCode::kTooLarge,
                           fmt::format("{} has {} bytes, more than the {} allowed here", expression, size, max_bytes));
    }
    BatchReader::Object object{std::string(words[0]), std::string(words[1]), {}};
    while (buffer_.size() < size + 1)
      if (!co_await fill()) co_return broken();
    object.content = buffer_.substr(0, size);
    buffer_.erase(0, size + 1);
    usable_ = true;
    co_return object;
  }

 private:
  static std::unexpected<base::Error> broken() {
    return base::fail(base::ErrorCode::kUnavailable, "git cat-file ended unexpectedly");
  }
  async::Task<bool> fill() {
    std::array<char, 16384> chunk;
    const std::size_t got = co_await process_->read_stdout(chunk);
    buffer_.append(chunk.data(), got);
    co_return got > 0;
  }
  async::Task<base::Result<std::string>> line() {
    for (;;) {
      if (const auto end = buffer_.find('\n'); end != std::string::npos) {
        std::string text = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        co_return text;
      }
      if (buffer_.size() > 65536 || !co_await fill()) co_return broken();
    }
  }

  std::unique_ptr<async::Process> process_;
  std::string buffer_;
  bool usable_ = true;
};

BatchReader::BatchReader(async::TaskGroup& group, std::shared_ptr<Git> git) : group_(group), git_(std::move(git)) {}
BatchReader::~BatchReader() = default;

void BatchReader::forget(const reconcile::Name& name) {
  kept_.remove_if([&](const Kept& kept) { return kept.name == name; });
}

async::Task<base::Result<BatchReader::Object>> BatchReader::object(reconcile::Name name, std::string expression,
                                                                   std::size_t max_bytes) {
  MAINSTAY_CO_TRY_VOID(check_expression(expression));
  MAINSTAY_CO_TRY(const std::filesystem::path where, git_->existing(name.ns, name.name));
  std::unique_ptr<CatFile> process;
  for (auto at = kept_.begin(); at != kept_.end(); ++at) {
    if (at->name != name) continue;
    process = std::move(at->process);
    kept_.erase(at);
    break;
  }
  // A kept process may have died in the meantime: the second try is with a new one.
  for (int attempt = process ? 0 : 1; attempt < 2; ++attempt) {
    if (!process) {
      auto options = git_->command({"--git-dir", where.string(), "cat-file", "--batch"});
      options.pipe_stdin = true;
      options.pipe_stderr = false;
      MAINSTAY_CO_TRY(auto started, async::Process::start(group_.executor(), std::move(options)));
      process = std::make_unique<CatFile>(std::move(started));
    }
    auto answer = co_await async::with_timeout(process->ask(expression, max_bytes), kAnswerLimit);
    if (process->usable()) {
      kept_.push_front({name, std::move(process), std::chrono::steady_clock::now()});
      if (kept_.size() > kMaxKept) kept_.pop_back();
      if (!sweeping_) {
        sweeping_ = true;
        group_.spawn("git cat-file idle", sweep());
      }
    }
    process.reset();
    if (!answer) co_return base::fail(base::ErrorCode::kTimeout, "git cat-file does not answer");
    if (*answer || answer->error().code != base::ErrorCode::kUnavailable || attempt == 1) co_return *std::move(answer);
  }
  co_return base::fail(base::ErrorCode::kInternal, "git cat-file");
}

// Ends processes that were idle for a while; runs only while there are some.
async::Task<> BatchReader::sweep() {
  while (!kept_.empty()) {
    co_await async::sleep_for(kIdle / 2);
    const auto limit = std::chrono::steady_clock::now() - kIdle;
    kept_.remove_if([&](const Kept& kept) { return kept.used < limit; });
  }
  sweeping_ = false;
}

async::Task<base::Result<std::string>> BatchReader::read_file(std::string ns, std::string repository,
                                                              std::string commit, std::string path,
                                                              std::size_t max_bytes) {
  if (!is_object_id(commit)) co_return base::fail(base::ErrorCode::kInvalid, "not a commit id");
  auto found = co_await object({std::move(ns), std::move(repository)}, commit + ":" + path, max_bytes);
  if (!found) {
    if (found.error().code == base::ErrorCode::kNotFound)
      co_return base::fail(base::ErrorCode::kNotFound, fmt::format("there is no {} at {}", path, commit.substr(0, 7)));
    co_return std::unexpected(found.error());
  }
  if (found->type != "blob") co_return base::fail(base::ErrorCode::kNotFound, fmt::format("{} is not a file", path));
  co_return std::move(found->content);
}

async::Task<base::Result<std::vector<std::string>>> BatchReader::list(std::string ns, std::string repository,
                                                                      std::string commit, std::string folder) {
  if (!is_object_id(commit)) co_return base::fail(base::ErrorCode::kInvalid, "not a commit id");
  while (folder.ends_with('/')) folder.pop_back();
  auto found = co_await object({std::move(ns), std::move(repository)},
                               folder.empty() ? commit + "^{tree}" : commit + ":" + folder, kMaxTree);
  if (!found) {
    if (found.error().code == base::ErrorCode::kNotFound)
      co_return base::fail(base::ErrorCode::kNotFound,
                           fmt::format("there is no folder {} at {}", folder, commit.substr(0, 7)));
    co_return std::unexpected(found.error());
  }
  if (found->type != "tree")
    co_return base::fail(base::ErrorCode::kNotFound, fmt::format("{} is not a folder", folder));
  co_return parse_tree(found->content);
}

async::Task<base::Result<std::vector<std::string>>> BatchReader::changed_paths(std::string ns, std::string repository,
                                                                               std::string before, std::string after) {
  if (!is_object_id(before) || is_zero_id(before) || !is_object_id(after))
    co_return base::fail(base::ErrorCode::kNotFound, "there is no earlier commit to compare with");
  MAINSTAY_CO_TRY(const std::filesystem::path where, git_->existing(ns, repository));
  auto done = co_await async::run_process(git_->command({"--git-dir", where.string(), "diff-tree", "-r", "-z",
                                                         "--name-only", "--no-renames", before, after}),
                                          "", std::chrono::seconds(30), kMaxTree);
  if (!done) co_return std::unexpected(done.error());
  if (!done->status.ok()) co_return base::fail(base::ErrorCode::kNotFound, std::string(base::trim(done->err)));
  if (done->out.size() >= kMaxTree) co_return base::fail(base::ErrorCode::kTooLarge, "too many paths differ");
  std::vector<std::string> paths;
  for (std::string_view path : base::split(done->out, '\0'))
    if (!path.empty()) paths.emplace_back(path);
  co_return paths;
}

async::Task<base::Result<std::vector<std::string>>> BatchReader::authors(std::string ns, std::string repository,
                                                                         std::string before, std::string after) {
  if (!is_object_id(after)) co_return base::fail(base::ErrorCode::kInvalid, "not a commit id");
  MAINSTAY_CO_TRY(const std::filesystem::path where, git_->existing(ns, repository));
  const bool since = is_object_id(before) && !is_zero_id(before) && co_await commit(ns, repository, before);
  std::vector<std::string> words{"--git-dir", where.string(),
                                 "log",       "--format=%ae%n%(trailers:key=Co-authored-by,valueonly)",
                                 after,       since ? "^" + before : "--max-count=1"};
  auto done =
      co_await async::run_process(git_->command(std::move(words)), "", std::chrono::seconds(30), kMaxAuthorLines);
  if (!done) co_return std::unexpected(done.error());
  if (!done->status.ok()) co_return base::fail(base::ErrorCode::kNotFound, std::string(base::trim(done->err)));
  // The oldest come last: whoever is cut off could approve what they wrote.
  if (done->out.size() >= kMaxAuthorLines)
    co_return base::fail(base::ErrorCode::kTooLarge,
                         "these commits name more authors than are read; push them in smaller parts, with fewer "
                         "Co-authored-by lines");
  co_return parse_addresses(done->out);
}

async::Task<base::Result<platform::GitReader::Commit>> BatchReader::commit(std::string ns, std::string repository,
                                                                           std::string revision) {
  if (!is_revision(revision))
    co_return base::fail(base::ErrorCode::kInvalid, fmt::format("\"{}\" is not a revision", revision));
  auto found = co_await object({std::move(ns), std::move(repository)}, revision + "^{commit}", kMaxTree);
  if (!found) {
    if (found.error().code == base::ErrorCode::kNotFound)
      co_return base::fail(base::ErrorCode::kNotFound, fmt::format("{} names no commit", revision));
    co_return std::unexpected(found.error());
  }
  co_return parse_commit(found->id, found->content);
}

}  // namespace mainstay::source
