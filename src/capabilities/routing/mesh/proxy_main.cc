// The node proxy as a process: one JSON object a line over a Unix socket that only root may open.
//
//   {"id":1,"op":"pod",…MeshPod…}      → {"id":1,"port":15001} or {"id":1,"error":"…"}
//   {"id":2,"op":"drop","uid":"…"}     → {"id":2}
//   {"id":3,"op":"keep","uids":[…]}    → {"id":3}
//   {"id":4,"op":"services","map":{…}} → {"id":4}
//   {"id":5,"op":"pid"}                → {"id":5,"pid":123}
//   {"id":6,"op":"complete"}           → {"id":6}: it was told all there is
//   {"id":7,"op":"retire"}             → {"id":7}: take no more connections, end with the last one
// A proxy that finds another at its socket is its successor: it takes the socket's name, is told all, and once that is
// complete has the other retire. Both listen in the meantime, so that no connection is refused.
//   on its own: {"counts":[{"source","destination","allowed","count"}]} to whoever asked last for {"op":"counts"}
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "base/log.h"
#include "capabilities/routing/mesh/proxy.h"

namespace mainstay::mesh {
namespace {

constexpr std::size_t kMaxLine = 4u << 20;
constexpr std::chrono::minutes kDrainLimit{30};

MeshPod pod_from(const json::value& message) {
  MeshPod out;
  out.uid = base::get_string(message, "uid");
  out.ip = base::get_string(message, "ip");
  out.network_namespace = base::get_string(message, "networkNamespace");
  out.identity = base::get_string(message, "identity");
  out.certificate_pem = base::get_string(message, "certificate");
  out.private_key_pem = base::get_string(message, "key");
  out.authority_pem = base::get_string(message, "authority");
  if (const json::value* rules = base::find(message, "rules")) out.rules = rules_from_json(*rules);
  return out;
}

std::vector<std::string> texts(const json::value& object, std::string_view path) {
  std::vector<std::string> out;
  for (const json::value& entry : base::get_array(object, path)) {
    if (entry.is_string()) out.emplace_back(entry.as_string());
  }
  return out;
}

std::map<std::string, std::vector<std::string>> services_from(const json::value& message) {
  std::map<std::string, std::vector<std::string>> out;
  for (const auto& [service, endpoints] : base::get_object(message, "map")) {
    if (!endpoints.is_array()) continue;
    std::vector<std::string>& list = out[std::string(service)];
    for (const json::value& endpoint : endpoints.as_array()) {
      if (endpoint.is_string()) list.emplace_back(endpoint.as_string());
    }
  }
  return out;
}

class Process {
 public:
  // `predecessor` is a connection to the proxy that served before, -1 where there was none.
  Process(async::Runtime& runtime, int listener, int predecessor)
      : runtime_(runtime),
        tasks_(runtime.executor(), "control"),
        listener_(runtime.executor(), listener),
        proxy_(std::make_shared<Proxy>(runtime)),
        ended_(runtime.executor()) {
    if (predecessor >= 0) predecessor_ = std::make_shared<net::TcpConnection>(runtime.executor(), predecessor);
  }

  async::Task<> run() {
    runtime_.on_signal([this](int) {
      ending_ = true;
      ended_.notify_all();
    });
    tasks_.spawn("accept", accept(this));
    tasks_.spawn("counts", report(this));
    while (!ending_ && !retired_) co_await ended_.wait();
    listener_.close();
    if (retired_ && !ending_) {
      tasks_.spawn("drain", drain(this));
      while (!ending_) {
        if (!co_await ended_.wait_for(kDrainLimit)) break;
      }
    }
    tasks_.cancel();
    co_await tasks_.join();
    co_await proxy_->stop();
  }

 private:
  using Connection = std::shared_ptr<net::TcpConnection>;
  static async::Task<> accept(Process* self) {
    for (;;) {
      const int fd = co_await self->listener_.accept();
      if (fd < 0) co_return;
      self->tasks_.spawn("control", serve(self, std::make_shared<net::TcpConnection>(self->runtime_.executor(), fd)));
    }
  }

  static async::Task<> drain(Process* self) {
    co_await self->proxy_->drain();
    self->ending_ = true;
    self->ended_.notify_all();
  }

  void retire_predecessor() {
    if (const Connection other = std::exchange(predecessor_, nullptr)) tasks_.spawn("predecessor", take_over(other));
  }
  static async::Task<> take_over(Connection other) {
    if (!co_await other->write("{\"op\":\"retire\"}\n")) co_return;
    const auto line = co_await other->read_line(kMaxLine);
    const auto answer = line ? base::parse_json(*line) : base::parse_json("{}");
    if (!answer || base::get_string(*answer, "error").empty()) co_return;
    // A version that cannot retire: its connections end with it.
    if (!co_await other->write("{\"op\":\"pid\"}\n")) co_return;
    const auto said = co_await other->read_line(kMaxLine);
    const auto who = said ? base::parse_json(*said) : base::parse_json("{}");
    if (const auto pid = who ? base::get_int(*who, "pid") : 0; pid > 1) ::kill(static_cast<pid_t>(pid), SIGTERM);
  }

  static async::Task<> serve(Process* self, Connection connection) {
    while (const auto line = co_await connection->read_line(kMaxLine)) {
      const auto message = base::parse_json(*line);
      if (!message || !message->is_object()) co_return;
      json::object answer = self->obey(*message, connection);
      answer["id"] = base::get_int(*message, "id");
      if (!co_await connection->write(json::serialize(answer) + "\n")) break;
    }
    if (self->reader_ == connection) self->reader_.reset();
  }

  json::object obey(const json::value& message, const Connection& connection) {
    const std::string op = base::get_string(message, "op");
    if (op == "pod") {
      if (retired_) return {{"error", "this proxy has a successor"}};
      const auto port = proxy_->put(pod_from(message));
      // It may hold its ports for itself: one without SO_REUSEPORT. Mainstay asks again.
      if (!port) retire_predecessor();
      if (!port) return {{"error", port.error().message}};
      return {{"port", *port}};
    }
    if (op == "drop") {
      proxy_->drop(base::get_string(message, "uid"));
    } else if (op == "keep") {
      proxy_->keep_only(texts(message, "uids"));
    } else if (op == "services") {
      proxy_->set_services(services_from(message));
    } else if (op == "counts") {
      reader_ = connection;
      proxy_->counted().notify_all();
    } else if (op == "complete") {
      retire_predecessor();
    } else if (op == "retire") {
      retired_ = true;
      ended_.notify_all();
    } else if (op == "pid") {
      return {{"pid", ::getpid()}};
    } else {
      return {{"error", "no such operation"}};
    }
    return {};
  }

  static async::Task<> report(Process* self) {
    for (;;) {
      co_await self->proxy_->counted().wait();
      co_await async::sleep_for(std::chrono::milliseconds(100));  // many together
      if (!self->reader_) continue;
      json::array counts;
      for (const auto& [flow, count] : self->proxy_->take_counts())
        counts.push_back(json::object{
            {"source", flow.source}, {"destination", flow.destination}, {"allowed", flow.allowed}, {"count", count}});
      const Connection reader = self->reader_;
      if (!counts.empty()) co_await reader->write(json::serialize(json::object{{"counts", std::move(counts)}}) + "\n");
    }
  }

  async::Runtime& runtime_;
  async::TaskGroup tasks_;
  net::TcpListener listener_;
  std::shared_ptr<Proxy> proxy_;
  async::Event ended_;
  Connection reader_, predecessor_;
  bool ending_ = false, retired_ = false;
};

async::Task<> run_process(Process* process) { co_await process->run(); }

std::optional<sockaddr_un> address_of(const char* path) {
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  if (std::strlen(path) >= sizeof at.sun_path) return std::nullopt;
  std::strcpy(at.sun_path, path);
  return at;
}

// A connection to the proxy that listens there, -1 where none does.
int connect_to(const sockaddr_un& at) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd >= 0 && ::connect(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0) return fd;
  if (fd >= 0) ::close(fd);
  return -1;
}

int listen_on(const char* path, const sockaddr_un& at) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  ::unlink(path);
  const mode_t before = ::umask(0177);
  const bool bound = ::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0 && ::listen(fd, 16) == 0;
  ::umask(before);
  return bound ? fd : -1;
}

}  // namespace

int proxy_main(int argc, char** argv) {
  if (argc != 3 || std::string_view(argv[1]) != "--socket") {
    std::fprintf(stderr, "mesh-proxy is run by mainstay up: mainstay mesh-proxy --socket PATH\n");
    return 2;
  }
  ::signal(SIGPIPE, SIG_IGN);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  const auto at = address_of(argv[2]);
  errno = ENAMETOOLONG;
  const int predecessor = at ? connect_to(*at) : -1, listener = at ? listen_on(argv[2], *at) : -1;
  if (listener < 0) {
    std::fprintf(stderr, "mesh-proxy cannot listen on %s: %s\n", argv[2], std::strerror(errno));
    return 1;
  }
  async::Runtime runtime(1);
  Process process(runtime, listener, predecessor);
  runtime.run(run_process(&process));
  return 0;
}

}  // namespace mainstay::mesh
