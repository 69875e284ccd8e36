// Fetches: the client's wants in, a pack out, as fast as the client reads it.
#include <csignal>

#include "base/log.h"
#include "base/status.h"
#include "base/strings.h"
#include "capabilities/source/gunzip.h"
#include "capabilities/source/smart_http.h"

namespace mainstay::source {
namespace {

constexpr std::uint64_t kMaxWants = 64u << 20;
constexpr std::size_t kMaxErrors = 4096;
// git takes nothing for so long: in versions 0 and 1 it answers each `have` as it reads it, and the answer, which
// nobody takes before the request is read, has filled all there is between.
constexpr std::chrono::minutes kStalled{2};

}  // namespace

async::Task<std::shared_ptr<Slots::Held>> Slots::take(std::shared_ptr<Slots> slots) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (slots->free_ == 0) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (slots->waiting_ >= slots->queue_ || left.count() <= 0)
      throw base::unavailable("too many git operations at once; try again in a moment");
    ++slots->waiting_;
    struct Leave {
      Slots& slots;
      ~Leave() { --slots.waiting_; }
    } leave{*slots};
    co_await slots->changed_.wait_for(left);
  }
  --slots->free_;
  co_return std::make_shared<Held>(slots);
}

void GitStream::abandon() {
  output.close();
  if (kill_when_abandoned && process) process->kill(SIGKILL);
}

async::Task<> SmartHttp::read_output(std::shared_ptr<GitStream> stream) {
  std::vector<char> buffer(65536);
  for (;;) {
    const std::size_t got = co_await stream->process->read_stdout(buffer);
    if (got == 0) break;
    // After abandon() nothing is taken any more, but the process is read to its end all the same.
    co_await stream->output.push(std::string(buffer.data(), got));
  }
  stream->exit = co_await stream->process->wait();
  stream->slot.reset();
  if (stream->at_end) std::exchange(stream->at_end, nullptr)(*stream);
  stream->output.close();
}

async::Task<> SmartHttp::read_errors(std::shared_ptr<GitStream> stream) {
  std::vector<char> buffer(4096);
  for (;;) {
    const std::size_t got = co_await stream->process->read_stderr(buffer);
    if (got == 0) break;
    if (stream->errors.size() < kMaxErrors)
      stream->errors.append(buffer.data(), std::min(got, kMaxErrors - stream->errors.size()));
  }
}

async::Task<std::shared_ptr<GitStream>> SmartHttp::start(async::ProcessOptions options, std::shared_ptr<Slots> slots,
                                                         bool kill_when_abandoned,
                                                         std::function<void(GitStream&)> at_end) {
  auto stream = std::make_shared<GitStream>(host_.runtime().executor());
  stream->slot = co_await Slots::take(std::move(slots));
  options.pipe_stdin = true;
  auto started = async::Process::start(host_.runtime().executor(), std::move(options));
  if (!started) throw base::unavailable("git cannot be started: " + started.error().message);
  stream->process = *std::move(started);
  stream->kill_when_abandoned = kill_when_abandoned;
  stream->at_end = std::move(at_end);
  host_.tasks().spawn("git output", read_output(stream));
  host_.tasks().spawn("git errors", read_errors(stream));
  co_return stream;
}

async::Task<net::Response> SmartHttp::upload(Context context) {
  auto where = place(*context);
  if (!where) {
    net::Response refused = net::Response::text(base::from_error(where.error()).code(), where.error().message + "\n");
    co_return refused;
  }
  auto body = context->http->body;
  if (base::iequals(context->http->headers.get("Content-Encoding"), "gzip")) body = gunzip(body, kMaxWants);
  auto stream = co_await start(git_->command({"upload-pack", "--stateless-rpc", where->path.string()},
                                             context->http->headers.get("Git-Protocol")),
                               fetches_, true, nullptr);
  struct Guard {
    std::shared_ptr<GitStream> stream;
    ~Guard() {
      if (stream) stream->abandon();
    }
  } guard{stream};
  std::vector<char> buffer(65536);
  std::uint64_t total = 0;
  while (const std::size_t got = co_await body->read(buffer)) {
    total += got;
    if (total > kMaxWants) throw base::too_large("the fetch request is too large");
    const auto taken = co_await async::with_timeout(stream->process->write_stdin({buffer.data(), got}), kStalled);
    if (!taken)
      throw base::too_large(
          "the fetch request names too many commits at once: use git with protocol.version=2, or clone");
    if (!*taken) break;
  }
  stream->process->close_stdin();
  guard.stream.reset();
  net::Response response{
      200,
      {},
      net::StreamBody{[stream](net::BodyWriter& writer) { return stream_upload(stream, writer); }, std::nullopt}};
  response.headers.set("Content-Type", "application/x-git-upload-pack-result");
  response.headers.set("Cache-Control", "no-cache");
  co_return response;
}

async::Task<> SmartHttp::stream_upload(std::shared_ptr<GitStream> stream, net::BodyWriter& writer) {
  struct Guard {
    GitStream& stream;
    ~Guard() { stream.abandon(); }
  } guard{*stream};
  while (auto chunk = co_await stream->output.pop()) co_await writer.write(*chunk);
  if (!stream->exit.ok() && !stream->errors.empty())
    base::log::debug("source", "git upload-pack: {}", base::trim(stream->errors));
}

}  // namespace mainstay::source
