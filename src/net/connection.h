// One connection of the server.
#pragma once
#include <list>
#include <memory>
#include <string>

#include "async/runtime.h"
#include "async/sync.h"
#include "net/body.h"
#include "net/buffer.h"
#include "net/server.h"
#include "net/stream.h"
#include "net/target.h"
#include "net/tls_context.h"

namespace mainstay::net {

class Connection;

// What a server's connections share.
struct ServerShared {
  ServerShared(async::Runtime& r, Handler h, ServerLimits l)
      : runtime(r),
        handler(std::move(h)),
        limits(l),
        deadlines(std::make_shared<Deadlines>(r.executor())),
        ended(r.executor()),
        acceptors(r.executor(), "listeners"),
        group(r.executor(), "connections") {}

  async::Runtime& runtime;
  Handler handler;
  ServerLimits limits;
  std::shared_ptr<Deadlines> deadlines;
  TlsContext tls;
  bool stopping = false;
  std::list<Connection*> connections;
  async::Event ended;  // a connection has
  async::TaskGroup acceptors, group;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<ServerShared> server, int fd, std::string peer, TlsContext tls);
  ~Connection();
  Connection(const Connection&) = delete;

  static async::Task<> run(std::shared_ptr<Connection> self);
  bool is_idle() const { return idle_; }  // between two requests
  Deadlines::Time deadline() const { return Deadlines::of(stream_); }
  void close() { stream_.close(); }

 private:
  async::Task<bool> start_tls();
  async::Task<bool> read_head(MessageParser& parser);
  async::Task<bool> serve_one();
  // What is wrong with a head that parsed; "" where nothing is.
  static std::string head_fault(const Head& head);
  std::shared_ptr<Request> make_request(Head& head, Target target);
  async::Task<Response> call_handler(std::shared_ptr<Request> request);
  async::Task<bool> refuse(int status, std::string message);

  async::Task<bool> send(const Request& request, Response response, bool keep_alive);
  async::Task<bool> send_bytes(std::string_view head, std::string_view body);
  async::Task<bool> send_stream(std::string head, StreamBody body, Framing framing);
  async::Task<bool> settle_body(WireBody& body);
  async::Task<> linger();

  std::shared_ptr<ServerShared> server_;
  Stream stream_;
  Buffer buffer_;
  std::string peer_, client_certificate_;
  TlsContext tls_;
  bool idle_ = false;
  bool first_ = true, http_1_0_ = false;
  bool unread_input_ = false;  // closing now would make the kernel reset the connection under the answer
  std::list<Connection*>::iterator at_;
};

}  // namespace mainstay::net
