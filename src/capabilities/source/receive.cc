// Pushes: the pack in, git's report out, and behind it in the same answer what the platform makes of the push.
#include <csignal>

#include "base/log.h"
#include "base/status.h"
#include "base/strings.h"
#include "capabilities/source/gunzip.h"
#include "capabilities/source/pkt_line.h"
#include "capabilities/source/push_report.h"
#include "capabilities/source/smart_http.h"
#include "platform/interfaces/push.h"

namespace mainstay::source {
namespace {

constexpr std::size_t kMaxHead = 256u << 10;
constexpr std::chrono::minutes kFollowLimit{10};
constexpr std::chrono::seconds kKeepAliveEvery{5};

}  // namespace

struct SmartHttp::Push {
  std::shared_ptr<SmartHttp> owner;
  reconcile::Name name;
  std::string user;
  std::shared_ptr<GitStream> stream;
  PushHead head;
  std::set<std::string> accepted;  // refs that moved
};

std::vector<std::string> SmartHttp::protected_branches(const reconcile::Name& name) const {
  std::vector<std::string> patterns;
  if (const auto object = host_.caches().of(client::resources::kRepositories)->get(name.ns, name.name))
    for (const auto& pattern : base::get_array(*object, "spec.protectedBranches"))
      if (pattern.is_string()) patterns.emplace_back(pattern.as_string());
  return patterns;
}

async::Task<net::Response> SmartHttp::receive(Context context) {
  auto where = place(*context);
  if (!where) {
    net::Response refused = net::Response::text(base::from_error(where.error()).code(), where.error().message + "\n");
    co_return refused;
  }
  auto push = std::make_shared<Push>(Push{shared_from_this(), where->name, context->user.name, nullptr, {}, {}});
  auto body = context->http->body;
  if (base::iequals(context->http->headers.get("Content-Encoding"), "gzip")) body = gunzip(body, kMaxPush);
  // From the moment git has read the commands, the push goes to its end whatever becomes of the client; and whatever
  // becomes of git, the refs are compared afterwards.
  push->stream = co_await start(
      git_->command({"receive-pack", "--stateless-rpc", where->path.string()}, "", protected_branches(where->name)),
      pushes_, false,
      [repositories = repositories_, name = where->name](GitStream&) { repositories->refs_moved(name); });
  struct Guard {
    std::shared_ptr<GitStream> stream;
    ~Guard() {
      if (!stream) return;
      stream->process->close_stdin();  // git sees a cut pack and leaves everything as it was
      stream->abandon();
    }
  } guard{push->stream};
  std::vector<char> buffer(65536);
  std::string start;
  std::uint64_t total = 0;
  bool noted = false;
  while (const std::size_t got = co_await body->read(buffer)) {
    total += got;
    if (total > kMaxPush) throw base::too_large(fmt::format("a push may have at most {} MB", kMaxPush >> 20));
    if (!noted) {
      start.append(buffer.data(), got);
      push->head = parse_push_head(start);
      noted = push->head.complete || start.size() > kMaxHead;
      if (noted)
        for (const RefCommand& command : push->head.commands)
          repositories_->note_pusher(push->name, command.ref, command.after, push->user);
    }
    if (!co_await push->stream->process->write_stdin({buffer.data(), got})) {
      // git said no (too large, say): read what the client still sends, so that it gets to read why.
      while (co_await body->read(buffer) > 0) {
      }
      break;
    }
  }
  push->stream->process->close_stdin();
  guard.stream.reset();
  net::Response response{
      200, {}, net::StreamBody{[push](net::BodyWriter& writer) { return stream_push(push, writer); }, std::nullopt}};
  response.headers.set("Content-Type", "application/x-git-receive-pack-result");
  response.headers.set("Cache-Control", "no-cache");
  co_return response;
}

async::Task<bool> SmartHttp::say(std::shared_ptr<PushProgress> progress, std::string line) {
  const bool heard = co_await progress->lines.push(std::move(line));
  co_return heard;
}

async::Task<> SmartHttp::follow_push(std::shared_ptr<Push> push, std::shared_ptr<PushProgress> progress) {
  struct Close {
    PushProgress& progress;
    ~Close() { progress.lines.close(); }
  } close{*progress};
  auto follower = push->owner->host_.find<platform::PushFollower>();
  if (!follower) co_return;
  std::vector<platform::PushedRef> refs;
  for (const RefCommand& command : push->head.commands)
    if (push->accepted.contains(command.ref))
      refs.push_back({command.ref, is_zero_id(command.after) ? "" : command.after});
  const bool ended = co_await async::with_timeout(
      follower->follow(push->name.ns, push->name.name, std::move(refs),
                       [progress](std::string line) { return say(progress, std::move(line)); }),
      kFollowLimit);
  if (!ended) co_await progress->lines.push("still running; follow it with: kubectl get workflowruns --watch");
}

async::Task<> SmartHttp::stream_push(std::shared_ptr<Push> push, net::BodyWriter& writer) {
  struct Guard {
    GitStream& stream;
    ~Guard() { stream.abandon(); }
  } guard{*push->stream};
  PushReport report;
  while (auto chunk = co_await push->stream->output.pop()) {
    const std::string ready = report.feed(*chunk);
    if (!ready.empty()) co_await writer.write(ready);
  }
  if (!push->stream->exit.ok() && !push->stream->errors.empty())
    base::log::info("source", "git receive-pack for {}/{}: {}", push->name.ns, push->name.name,
                    base::trim(push->stream->errors));
  push->accepted = report.accepted();
  SmartHttp& owner = *push->owner;
  if (push->stream->exit.ok() && report.takes_progress() && !push->accepted.empty() && !owner.stopping_) {
    auto progress = std::make_shared<PushProgress>(owner.host_.runtime().executor());
    struct Forget {
      std::set<std::shared_ptr<PushProgress>>& all;
      std::shared_ptr<PushProgress> mine;
      ~Forget() {
        mine->lines.close();
        all.erase(mine);
      }
    } forget{owner.progress_, progress};
    owner.progress_.insert(progress);
    owner.host_.tasks().spawn("push progress", follow_push(push, progress));
    for (;;) {
      auto line = co_await async::with_timeout(progress->lines.pop(), kKeepAliveEvery);
      if (!line) {
        co_await writer.write(kKeepAlive);
      } else if (!*line) {
        break;
      } else {
        co_await writer.write(progress_packets(**line + "\n"));
      }
    }
  }
  co_await writer.write(report.finish());
}

void SmartHttp::stop() {
  stopping_ = true;
  for (const auto& progress : progress_) {
    progress->lines.try_push("the platform is being restarted; what this push started goes on");
    progress->lines.close();
  }
}

}  // namespace mainstay::source
