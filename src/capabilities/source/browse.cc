#include "capabilities/source/browse.h"

#include <charconv>

#include "async/process.h"
#include "base/status.h"
#include "base/strings.h"
#include "base/utf8.h"
#include "capabilities/source/smart_http.h"

namespace mainstay::source {
namespace json = base::json;
namespace {

using ContextPtr = std::shared_ptr<api::RequestContext>;

constexpr std::size_t kMaxListing = 2u << 20;  // of ls-tree's text
constexpr std::size_t kMaxEntries = 10'000;
constexpr std::size_t kMaxFile = 1u << 20;
constexpr std::size_t kMaxPatch = 512u << 10;
constexpr int kMaxCommits = 100;
constexpr int kMaxSkip = 100'000;
constexpr std::chrono::seconds kLimit{20};

int number(const net::Query& query, std::string_view name, int fallback, int most) {
  const std::string_view text = query.get(name);
  if (text.empty()) return fallback;
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0 || value > most)
    throw base::bad_request(fmt::format("{}: \"{}\" is not a number from 0 to {}", name, text, most));
  return value;
}

struct Browser {
  platform::Host& host;
  std::shared_ptr<Git> git;
  std::shared_ptr<platform::GitReader> reader;
  std::shared_ptr<Slots> slots;

  struct Place {
    std::string ns, name, sha, path;
    std::filesystem::path folder;
  };

  // The repository, the commit that `revision` (or the default branch) names, and the path asked for.
  async::Task<Place> place(ContextPtr context) {
    Place place{context->params.at("namespace"), context->params.at("name"), "", "", {}};
    const auto object = host.caches().of(client::resources::kRepositories)->get(place.ns, place.name);
    auto folder = git->existing(place.ns, place.name);
    if (!object || !folder) throw base::not_found("repositories.mainstay.dev", place.name);
    place.folder = *std::move(folder);
    place.path = std::string(context->http->query.get("path"));
    while (place.path.ends_with('/')) place.path.pop_back();
    if (!is_tree_path(place.path)) throw base::bad_request("path: must be relative, without .. and control characters");
    std::string revision(context->http->query.get("revision"));
    if (const auto sha = context->params.find("sha"); sha != context->params.end()) revision = sha->second;
    if (revision.empty()) revision = base::get_string(*object, "spec.defaultBranch", "main");
    auto commit = co_await reader->commit(place.ns, place.name, revision);
    if (!commit) throw base::from_error(commit.error());
    place.sha = commit->sha;
    co_return place;
  }

  // What git prints, at most `max` bytes of it; `cut` (where given) allows more and is told.
  async::Task<std::string> output(Place place, std::vector<std::string> arguments, std::size_t max,
                                  bool* cut = nullptr) {
    auto slot = co_await Slots::take(slots);
    std::vector<std::string> all{"--git-dir", place.folder.string(), "--literal-pathspecs"};
    std::ranges::move(arguments, std::back_inserter(all));
    auto done = co_await async::run_process(git->command(std::move(all)), "", kLimit, max);
    if (!done) throw base::from_error(done.error());
    const bool full = done->out.size() >= max;
    if (cut != nullptr) *cut = full;
    if (full && cut == nullptr) throw base::bad_request("there is too much of it to show; clone the repository");
    if (!done->status.ok() && !full) {
      const std::string what = place.path.empty() ? "that" : place.path;
      throw base::StatusError(404, "NotFound", fmt::format("there is no {} at {}", what, place.sha.substr(0, 7)));
    }
    co_return std::move(done->out);
  }

  async::Task<net::Response> tree(ContextPtr context) {
    const Place at = co_await place(context);
    const std::string text = co_await output(at, {"ls-tree", "-l", "-z", at.sha + ":" + at.path}, kMaxListing);
    auto entries = parse_listing(text);
    if (!entries) throw base::from_error(entries.error());
    const bool more = entries->size() > kMaxEntries;
    if (more) entries->resize(kMaxEntries);
    co_return net::Response::json(
        200, json::object{{"commit", at.sha}, {"path", at.path}, {"truncated", more}, {"items", *std::move(entries)}});
  }

  async::Task<net::Response> blob(ContextPtr context) {
    const Place at = co_await place(context);
    if (at.path.empty()) throw base::bad_request("path: name a file");
    auto text = co_await reader->read_file(at.ns, at.name, at.sha, at.path, kMaxFile);
    json::object answer{{"commit", at.sha}, {"path", at.path}};
    if (!text && text.error().code == base::ErrorCode::kTooLarge) {
      answer["tooLarge"] = true;
      answer["message"] = fmt::format("{} has more than {} KiB; clone the repository", at.path, kMaxFile >> 10);
      co_return net::Response::json(200, answer);
    }
    if (!text) throw base::from_error(text.error());
    answer["size"] = text->size();
    const bool binary = text->contains('\0') || !base::is_utf8(*text);
    answer["binary"] = binary;
    if (!binary) answer["content"] = *std::move(text);
    co_return net::Response::json(200, answer);
  }

  async::Task<net::Response> commits(ContextPtr context) {
    const int limit = std::max(1, number(context->http->query, "limit", 30, kMaxCommits));
    const int skip = number(context->http->query, "skip", 0, kMaxSkip);
    const Place at = co_await place(context);
    std::vector<std::string> arguments{"log",
                                       "-z",
                                       "--no-color",
                                       fmt::format("--max-count={}", limit + 1),
                                       fmt::format("--skip={}", skip),
                                       fmt::format("--format={}", kLogFormat),
                                       at.sha,
                                       "--"};
    if (!at.path.empty()) arguments.push_back(at.path);
    json::array items = parse_log(co_await output(at, std::move(arguments), kMaxListing));
    const bool more = items.size() > static_cast<std::size_t>(limit);
    if (more) items.resize(limit);
    co_return net::Response::json(200, json::object{{"commit", at.sha}, {"more", more}, {"items", std::move(items)}});
  }

  async::Task<net::Response> commit(ContextPtr context) {
    if (!is_object_id(context->params.at("sha"))) throw base::bad_request("give the commit's whole id");
    const Place at = co_await place(context);
    json::array found = parse_log(co_await output(
        at, {"log", "-z", "--no-color", "--max-count=1", fmt::format("--format={}", kLogFormat), at.sha, "--"},
        kMaxListing));
    if (found.empty()) throw base::internal_error("git told nothing about the commit");
    json::object answer = std::move(found.front().as_object());
    bool cut = false;
    std::string patch = co_await output(at,
                                        {"diff-tree", "-p", "--root", "-M", "--no-commit-id", "--no-color",
                                         "--no-ext-diff", "--no-textconv", "--first-parent", "-m", at.sha},
                                        kMaxPatch, &cut);
    answer["patchTruncated"] = cut;
    answer["patch"] = base::is_utf8(patch) ? std::move(patch) : std::string("(the change is not text in UTF-8)");
    co_return net::Response::json(200, answer);
  }
};

}  // namespace

const std::string_view kLogFormat = "%H%x1f%P%x1f%an%x1f%ae%x1f%aI%x1f%s%x1f%b";

bool is_tree_path(std::string_view path) {
  if (path.size() > 4096 || path.starts_with('/')) return false;
  if (std::ranges::any_of(path, [](unsigned char c) { return c < 0x20 || c == 0x7f; })) return false;
  return std::ranges::none_of(base::split(path, '/'), [](std::string_view part) { return part == ".."; });
}

base::Result<json::array> parse_listing(std::string_view records) {
  // "<mode> <type> <id> <size, padded, or ->\t<name>"
  std::vector<json::object> folders, files;
  for (const std::string_view record : base::split(records, '\0')) {
    if (record.empty()) continue;
    const auto tab = record.find('\t');
    if (tab == std::string_view::npos) return base::fail(base::ErrorCode::kInvalid, "not a listing of git's");
    auto words = base::split(record.substr(0, tab), ' ');
    std::erase(words, std::string_view());
    if (words.size() != 4) return base::fail(base::ErrorCode::kInvalid, "not a listing of git's");
    std::string name(record.substr(tab + 1));
    if (!base::is_utf8(name)) continue;  // JSON could not name it
    json::object entry{{"name", std::move(name)}, {"type", words[0] == "120000" ? "link" : words[1]}};
    std::uint64_t size = 0;
    if (std::from_chars(words[3].data(), words[3].data() + words[3].size(), size).ec == std::errc())
      entry["size"] = size;
    (words[1] == "tree" ? folders : files).push_back(std::move(entry));
  }
  json::array all;
  for (auto* list : {&folders, &files})
    for (json::object& entry : *list) all.emplace_back(std::move(entry));
  return all;
}

json::array parse_log(std::string_view records) {
  json::array commits;
  for (const std::string_view record : base::split(records, '\0')) {
    const auto fields = base::split(record, '\x1f');
    if (fields.size() < 7) continue;
    const auto text = [&](std::size_t i) {
      return base::is_utf8(fields[i]) ? std::string(base::trim(fields[i])) : std::string("(not UTF-8)");
    };
    json::array parents;
    for (const std::string_view parent : base::split(fields[1], ' '))
      if (!parent.empty()) parents.emplace_back(parent);
    commits.push_back(json::object{{"sha", text(0)},
                                   {"parents", std::move(parents)},
                                   {"author", json::object{{"name", text(2)}, {"email", text(3)}}},
                                   {"authoredAt", text(4)},
                                   {"subject", text(5)},
                                   {"body", text(6)}});
  }
  return commits;
}

void add_browse_routes(platform::Host& host, std::shared_ptr<Git> git, std::shared_ptr<platform::GitReader> reader) {
  auto browser = std::make_shared<Browser>(
      Browser{host, std::move(git), std::move(reader), std::make_shared<Slots>(host.runtime().executor(), 4, 64)});
  const auto add = [&](std::string tail, std::string summary,
                       async::Task<net::Response> (Browser::*handler)(ContextPtr)) {
    api::Route route;
    route.method = "GET";
    route.pattern = "/apis/mainstay.dev/v1/namespaces/{namespace}/repositories/{name}/git/" + tail;
    route.permission = api::Require([](const api::RequestContext& c) {
      return api::Attributes{
          "get", "mainstay.dev", "repositories", "git", c.params.at("namespace"), c.params.at("name"), ""};
    });
    route.summary = std::move(summary);
    route.handler = [browser, handler](ContextPtr context) { return (browser.get()->*handler)(std::move(context)); };
    host.api().add_route(std::move(route));
  };
  add("tree", "What a folder of a repository holds: revision, path", &Browser::tree);
  add("blob", "A file of a repository: revision, path", &Browser::blob);
  add("commits", "The commits that lead to a revision: revision, path, limit, skip", &Browser::commits);
  add("commits/{sha}", "A commit and what it changed", &Browser::commit);
}

}  // namespace mainstay::source
