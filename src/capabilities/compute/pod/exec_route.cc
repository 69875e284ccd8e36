#include "capabilities/compute/pod/exec_route.h"

#include "async/process.h"
#include "async/sync.h"
#include "base/status.h"
#include "capabilities/compute/admission.h"

namespace mainstay::compute {
namespace {

// The first byte of each message.
enum Channel : unsigned char { kStdin = 0, kStdout = 1, kStderr = 2, kError = 3, kResize = 4, kClose = 255 };

struct Session {
  std::shared_ptr<PodWorker> worker;
  std::unique_ptr<async::Process> process;
  std::filesystem::path process_file;
  std::unique_ptr<async::TaskGroup> tasks;
  std::unique_ptr<async::Event> turn;
  bool input = false, writing = false, terminal = false;
  bool gone = false;  // the client
  int outputs = 0;    // of the process, that are still read
  ~Session() {
    std::error_code ignored;
    if (!process_file.empty()) std::filesystem::remove(process_file, ignored);
  }
};

// One writer at a time, as the WebSocket wants it.
async::Task<> send(std::shared_ptr<Session> s, net::WebSocket* socket, Channel channel, std::string text) {
  while (s->writing) co_await s->turn->wait();
  s->writing = true;
  text.insert(text.begin(), static_cast<char>(channel));
  try {
    co_await socket->write({true, std::move(text)});
  } catch (...) {
    s->writing = false;
    s->turn->notify_all();
    throw;
  }
  s->writing = false;
  s->turn->notify_all();
}

async::Task<> pump(std::shared_ptr<Session> s, net::WebSocket* socket, Channel channel) {
  struct Ended {
    explicit Ended(Session& session) : s(session) {}
    ~Ended() {
      --s.outputs;
      s.turn->notify_all();
    }
    Session& s;
  } ended(*s);
  std::vector<char> buffer(16384);
  for (;;) {
    const std::size_t n =
        channel == kStdout ? co_await s->process->read_stdout(buffer) : co_await s->process->read_stderr(buffer);
    if (n == 0) co_return;
    co_await send(s, socket, channel, std::string(buffer.data(), n));
  }
}

// {"Width": 80, "Height": 24}; what is not that is left alone, as a window's size is no more than a wish.
void resize(async::Process& process, std::string_view message) {
  const auto size = base::parse_json(message, 4);
  if (!size) return;
  const std::int64_t columns = base::get_int(*size, "Width"), rows = base::get_int(*size, "Height");
  if (columns < 1 || columns > 10'000 || rows < 1 || rows > 10'000) return;
  process.resize(static_cast<std::uint16_t>(columns), static_cast<std::uint16_t>(rows));
}

async::Task<> feed(std::shared_ptr<Session> s, net::WebSocket* socket) {
  for (;;) {
    const auto message = co_await socket->read();
    if (!message) {
      s->gone = true;
      s->process->kill(9);
      s->turn->notify_all();
      co_return;
    }
    if (message->data.empty()) continue;
    const auto channel = static_cast<unsigned char>(message->data[0]);
    const std::string_view rest = std::string_view(message->data).substr(1);
    if (channel == kStdin && s->input) {
      if (!rest.empty() && !co_await s->process->write_stdin(rest)) s->input = false;
    } else if (channel == kResize && s->terminal) {
      resize(*s->process, rest);
    } else if (channel == kClose && rest.size() == 1 && rest[0] == kStdin) {
      s->process->close_stdin();
      s->input = false;
    }
  }
}

std::string outcome(const async::ExitStatus& status) {
  if (status.ok()) return base::to_json(json::object{{"metadata", json::object{}}, {"status", "Success"}});
  return base::to_json(json::object{
      {"metadata", json::object{}},
      {"status", "Failure"},
      {"message", fmt::format("command terminated with non-zero exit code: exit status {}", status.code)},
      {"reason", "NonZeroExitCode"},
      {"details", json::object{{"causes", json::array{json::object{{"reason", "ExitCode"},
                                                                   {"message", std::to_string(status.code)}}}}}}});
}

async::Task<> until_ended(std::shared_ptr<Session> s, net::WebSocket* socket) {
  // What runs in the container outlives the runtime's process that we can kill, and may hold its outputs for ever.
  while (s->outputs > 0 && !s->gone) co_await s->turn->wait();
  if (s->gone) co_return;
  const async::ExitStatus status = co_await s->process->wait();
  // Before the reader is cancelled: cancelling a read takes the connection with it.
  co_await send(s, socket, kError, outcome(status));
  co_await socket->close(1000, "");
}

async::Task<> serve(std::shared_ptr<Session> s, net::WebSocket& socket) {
  const async::Executor executor = s->worker->node().tasks.executor();
  s->turn = std::make_unique<async::Event>(executor);
  async::TaskGroup tasks(executor, "exec");
  s->outputs = s->terminal ? 1 : 2;
  tasks.spawn("stdout", pump(s, &socket, kStdout));
  if (!s->terminal) tasks.spawn("stderr", pump(s, &socket, kStderr));
  tasks.spawn("stdin", feed(s, &socket));
  std::exception_ptr fault;
  try {
    co_await until_ended(s, &socket);
  } catch (...) {
    // Joining alone would not end what has been cancelled: the right to it has gone, or this program ends.
    fault = std::current_exception();
    s->process->kill(9);
  }
  tasks.cancel();
  co_await tasks.join();
  if (fault) std::rethrow_exception(fault);
}

}  // namespace

async::Task<net::Response> serve_exec(std::shared_ptr<Agent> agent, std::shared_ptr<api::RequestContext> context) {
  const std::string ns = context->params.at("namespace"), name = context->params.at("name");
  const net::Query& query = context->http->query;
  if (agent->node() == nullptr) throw base::unavailable("the node agent is not running");
  auto worker = agent->worker(ns, name);
  const client::ObjectPtr pod = agent->node()->pods->get(ns, name);
  if (!worker || !pod) throw base::not_found("pods", name);
  check_enterable(*pod, context->user);
  const std::vector<std::string> command = query.all_of("command");
  if (command.empty()) throw base::bad_request("you must specify at least one command for the container");
  std::string container(query.get("container"));
  if (container.empty()) container = worker->spec().containers.front().name;
  const auto ref = worker->find(container);
  if (!ref) throw base::bad_request(fmt::format("container {} is not valid for pod {}", container, name));
  const bool terminal = query.get("tty") == "true";
  const auto call = worker->exec_command(*ref, command, terminal);
  if (!call) throw base::from_error(call.error());
  auto session = std::make_shared<Session>();
  session->worker = worker;
  session->process_file = call->process_file;
  session->input = query.get("stdin") == "true";
  session->terminal = terminal;
  async::ProcessOptions options;
  options.argv = call->argv;
  options.pipe_stdin = session->input;
  options.terminal = terminal;
  auto process = async::Process::start(agent->node()->tasks.executor(), std::move(options));
  if (!process) throw base::from_error(process.error());
  session->process = *std::move(process);
  net::Response response;
  response.status = 101;
  response.body = net::WebSocketBody{{"v5.channel.k8s.io", "v4.channel.k8s.io"},
                                     [session](net::WebSocket& socket) { return serve(session, socket); }};
  co_return response;
}

}  // namespace mainstay::compute
