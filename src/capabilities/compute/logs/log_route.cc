#include "capabilities/compute/logs/log_route.h"

#include <charconv>

#include "async/file_watch.h"
#include "base/status.h"

namespace mainstay::compute {
namespace {

std::optional<std::int64_t> number(const net::Query& query, std::string_view name) {
  if (!query.has(name)) return std::nullopt;
  const std::string_view text = query.get(name);
  std::int64_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size() || out < 0)
    throw base::bad_request(fmt::format("{}: \"{}\" is not a number of zero or more", name, text.substr(0, 40)));
  return out;
}

bool flag(const net::Query& query, std::string_view name) {
  return query.get(name) == "true" || query.get(name) == "1";
}

// The container asked for, else the only one, else the one marked as default.
std::string choose_container(const PodSpec& spec, const net::Query& query) {
  std::string name(query.get("container"));
  if (name.empty()) name = base::annotation(*spec.object, "kubectl.kubernetes.io/default-container");
  if (name.empty() && spec.containers.size() == 1) name = spec.containers.front().name;
  std::string all;
  bool known = false;
  for (const auto* list : {&spec.containers, &spec.init}) {
    for (const ContainerSpec& c : *list) {
      all += (all.empty() ? "" : " ") + c.name;
      known = known || c.name == name;
    }
  }
  if (name.empty())
    throw base::bad_request(
        fmt::format("a container name must be specified for pod {}, choose one of: [{}]", spec.name, all));
  if (!known)
    throw base::bad_request(
        fmt::format("container {} is not valid for pod {}; choose one of: [{}]", name, spec.name, all));
  return name;
}

struct Stream {
  std::shared_ptr<Agent> agent;
  std::shared_ptr<PodWorker> worker;
  std::string container, id;
  std::filesystem::path file;
  std::shared_ptr<CriLogReader> reader;
  bool follow = false;
  bool running() const {
    const auto ref = worker->find(container);
    if (!ref) return false;
    const ContainerState& c = at(worker->state(), *ref);
    return c.running() && c.id == id;
  }
};

async::Task<std::string> read_some(std::shared_ptr<Stream> s) {
  co_return co_await s->worker->node().host.runtime().blocking([reader = s->reader] { return reader->next(); });
}

async::Task<> write_log(std::shared_ptr<Stream> s, net::BodyWriter& out) {
  std::unique_ptr<async::FileWatch> watch;
  const std::uint32_t kinds = async::FileChange::kModified | async::FileChange::kClosed | async::FileChange::kRemoved;
  for (;;) {
    const bool running = s->running();  // before reading: what comes after its end is nothing
    const std::string text = co_await read_some(s);
    if (!text.empty()) {
      co_await out.write(text);
      continue;
    }
    if (!s->follow || !running || s->reader->limit_reached()) co_return;
    if (!watch) {
      auto opened = async::FileWatch::open(s->worker->node().host.runtime().executor());
      if (!opened) co_return;
      watch = *std::move(opened);
      static_cast<void>(watch->add(s->file, kinds));
      continue;  // what was written before the watch was there
    }
    // The time limit notices the end of a container that closed its log before we watched, and a file that was rotated
    // away.
    const auto changes = co_await async::with_timeout(watch->next(), std::chrono::seconds(2));
    if (!changes) {
      static_cast<void>(watch->add(s->file, kinds));
      continue;
    }
    for (const async::FileChange& change : *changes) {
      if ((change.kind & async::FileChange::kRemoved) != 0) static_cast<void>(watch->add(s->file, kinds));
    }
  }
}

}  // namespace

LogQuery read_log_query(const net::Query& query, base::SystemTime now) {
  LogQuery out;
  out.tail_lines = number(query, "tailLines");
  out.limit_bytes = number(query, "limitBytes");
  out.timestamps = flag(query, "timestamps");
  if (const auto seconds = number(query, "sinceSeconds"))
    out.since = now - std::chrono::seconds(std::min<std::int64_t>(*seconds, 1'000'000'000));
  if (query.has("sinceTime")) {
    const auto time = base::parse_rfc3339(query.get("sinceTime"));
    if (!time) throw base::bad_request(fmt::format("sinceTime: {}", time.error().message));
    out.since = *time;
  }
  return out;
}

async::Task<net::Response> serve_log(std::shared_ptr<Agent> agent, std::shared_ptr<api::RequestContext> context) {
  const std::string ns = context->params.at("namespace"), name = context->params.at("name");
  if (agent->node() == nullptr)
    throw base::unavailable("the node agent is not running, so there are no logs; use `mainstay logs`");
  const client::ObjectPtr pod = agent->node()->pods->get(ns, name);
  if (!pod) throw base::not_found("pods", name);
  auto worker = agent->worker(ns, name);
  if (!worker) throw base::bad_request(fmt::format("pod {} does not have a host assigned", name));
  auto stream = std::make_shared<Stream>();
  const net::Query& query = context->http->query;
  stream->container = choose_container(worker->spec(), query);
  const bool previous = flag(query, "previous");
  const auto file = worker->log_file(stream->container, previous);
  const ContainerState& state = at(worker->state(), *worker->find(stream->container));
  if (!file && previous)
    throw base::bad_request(
        fmt::format("previous terminated container \"{}\" in pod \"{}\" not found", stream->container, name));
  if (!file)
    throw base::bad_request(fmt::format("container \"{}\" in pod \"{}\" is waiting to start: {}", stream->container,
                                        name,
                                        state.waiting_message.empty() ? state.waiting_reason : state.waiting_message));
  LogQuery what = read_log_query(query, agent->node()->now());
  stream->agent = agent;
  stream->id = state.id;
  stream->file = *file;
  stream->follow = flag(query, "follow") && !previous;
  stream->worker = std::move(worker);
  stream->reader = co_await agent->node()->host.runtime().blocking(
      [path = *file, what] { return std::make_shared<CriLogReader>(path, what); });
  net::Response response;
  response.headers.set("Content-Type", "text/plain; charset=utf-8");
  response.body = net::StreamBody{[stream](net::BodyWriter& out) { return write_log(stream, out); }, std::nullopt};
  co_return response;
}

}  // namespace mainstay::compute
