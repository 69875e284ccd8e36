#include <gtest/gtest.h>

#include <set>

#include "api/test_server.h"
#include "async/sync.h"

namespace mainstay::api {
namespace {
namespace json = base::json;
using namespace std::chrono_literals;

constexpr const char* kRbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/shop";

struct World {
  std::vector<std::string> groups;
  std::set<std::string> gone;                  // users whose credential has ended
  std::optional<base::SystemTime> too_old_at;  // as of when a token counts as expired
  async::Task<std::optional<base::Result<UserInfo>>> verify(std::string secret, std::optional<base::SystemTime> as_of) {
    const bool expired = too_old_at && as_of.value_or(base::real_clock().now()) >= *too_old_at;
    if (gone.contains(secret) || expired)
      co_return base::Result<UserInfo>(base::fail(base::ErrorCode::kUnauthenticated, "gone"));
    co_return base::Result<UserInfo>(TestServer::user(secret, groups));
  }
};

async::Task<net::Response> endless(std::shared_ptr<RequestContext>) {
  struct Write {
    static async::Task<> go(net::BodyWriter* writer) {
      co_await writer->write("begun");
      for (;;) co_await async::sleep_for(1h);
    }
  };
  net::Response response;
  response.body = net::StreamBody{[](net::BodyWriter& writer) { return Write::go(&writer); }, std::nullopt};
  co_return response;
}

// A WebSocket whose reader waits for ever.
class Socket final : public net::WebSocket {
 public:
  explicit Socket(async::Executor executor) : never_(executor) {}
  const std::string& subprotocol() const override { return none_; }
  async::Task<std::optional<Message>> read() override {
    reading = true;
    struct Ended {
      bool& reading;
      ~Ended() { reading = false; }
    } ended{reading};
    co_await never_.wait();
    co_return std::nullopt;
  }
  async::Task<> write(Message) override { co_return; }
  async::Task<> close(std::uint16_t code, std::string reason) override {
    if (said.empty()) said = fmt::format("{} {}{}", code, reason, reading ? "" : ", to nobody");
    co_return;
  }
  bool reading = false;
  std::string said;

 private:
  async::Event never_;
  std::string none_;
};

async::Task<net::Response> converse(std::shared_ptr<RequestContext>) {
  struct Serve {
    static async::Task<> go(net::WebSocket* socket) { (void)co_await socket->read(); }
  };
  net::Response response;
  response.status = 101;
  response.body = net::WebSocketBody{{}, [](net::WebSocket& socket) { return Serve::go(&socket); }};
  co_return response;
}

TestServer make(World& world) {
  return TestServer([&world](Server& server) {
    server.authenticator().add("test",
                               [&world](std::string secret, std::string, std::optional<base::SystemTime> as_of) {
                                 return world.verify(std::move(secret), as_of);
                               });
    server.add_route({"GET", "/endless/{namespace}", Require([](const RequestContext& c) {
                        return Attributes{"get", "", "configmaps", "", c.params.at("namespace"), "", ""};
                      }),
                      "goes on", endless, nullptr});
    server.add_route({"GET", "/socket", Authenticated{"for the test"}, "goes on", converse, nullptr});
    server.add_route({"GET", "/judges-itself", Authenticated{"for the test"}, "goes on", endless, nullptr});
  });
}

class Client final : public net::BodyWriter {
 public:
  explicit Client(TestServer& t) : changed_(t.runtime.executor()), group_(t.runtime.executor(), "client"), t_(t) {}

  async::Task<> write(std::string_view data) override {
    text += data;
    changed_.notify_all();
    co_return;
  }
  async::Task<> begin(std::string user, std::string target) {
    auto request = TestServer::request("GET", std::move(target));
    request->headers.set("Authorization", "Bearer " + user);
    response_ = co_await t_.server->handle(request);
    status = response_.status;
    if (std::holds_alternative<net::StreamBody>(response_.body)) group_.spawn("read", read(this));
  }
  async::Task<> wait_for(std::string what) {
    while (!text.contains(what) && !ended) {
      if (!co_await changed_.wait_for(5s)) {
        ADD_FAILURE() << what << " did not come: " << text;
        co_return;
      }
    }
  }
  async::Task<> wait_for_end() {
    while (!ended) {
      if (!co_await changed_.wait_for(5s)) {
        ADD_FAILURE() << "it goes on";
        break;
      }
    }
    group_.cancel();
    co_await group_.join();
  }

  std::string text;
  int status = 0;
  bool ended = false, cut = false;

 private:
  static async::Task<> read(Client* self) {
    try {
      co_await std::get<net::StreamBody>(self->response_.body).write(*self);
    } catch (const std::runtime_error&) {
      self->cut = true;
    }
    self->ended = true;
    self->changed_.notify_all();
  }
  net::Response response_;
  async::Event changed_;
  async::TaskGroup group_;
  TestServer& t_;
};

async::Task<> let_in(TestServer* t, std::string user) {
  co_await t->must("POST", std::string(kRbac) + "/roles",
                   R"({"metadata":{"name":"reader-of-)" + user +
                       R"("},"rules":[{"apiGroups":[""],"resources":["configmaps"],"verbs":["get","list","watch"]}]})");
  co_await t->must("POST", std::string(kRbac) + "/rolebindings",
                   R"({"metadata":{"name":")" + user + R"("},"subjects":[{"kind":"User","name":")" + user +
                       R"("}],"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"reader-of-)" +
                       user + R"("}})");
}

async::Task<> make_config_map(TestServer* t, std::string name) {
  co_await t->must("POST", "/api/v1/namespaces/shop/configmaps", R"({"metadata":{"name":")" + name + R"("}})");
}

constexpr const char* kWatch = "/api/v1/namespaces/shop/configmaps?watch=true";

TEST(StreamsTest, EndWithTheRoleBinding) {
  World world;
  TestServer t = make(world);
  t.run([&]() -> async::Task<> {
    co_await let_in(&t, "ann");
    co_await let_in(&t, "ben");
    Client watch(t), other(t), endless(t);
    co_await watch.begin("ann", kWatch);
    co_await other.begin("ben", kWatch);
    co_await endless.begin("ann", "/endless/shop");
    co_await make_config_map(&t, "before");
    co_await watch.wait_for("before");
    co_await endless.wait_for("begun");
    co_await t.must("DELETE", std::string(kRbac) + "/rolebindings/ann");
    co_await watch.wait_for_end();
    co_await endless.wait_for_end();
    EXPECT_FALSE(watch.cut) << "a watch ends as one that was long enough";
    EXPECT_TRUE(endless.cut) << "what is not whole must not look so";
    co_await make_config_map(&t, "after");
    co_await other.wait_for("after");
    EXPECT_FALSE(other.ended);
    EXPECT_FALSE(watch.text.contains("after"));
    Client again(t);
    co_await again.begin("ann", kWatch);
    EXPECT_EQ(again.status, 403);
    // A role that shrinks counts as well.
    co_await t.must("PATCH", std::string(kRbac) + "/roles/reader-of-ben",
                    R"({"rules":[{"apiGroups":[""],"resources":["configmaps"],"verbs":["get"]}]})",
                    "application/merge-patch+json");
    co_await other.wait_for_end();
  });
}

TEST(StreamsTest, WhatAHandlerJudgedItselfIsJudgedAgain) {
  World world;
  TestServer t = make(world);
  t.run([&]() -> async::Task<> {
    co_await let_in(&t, "ben");
    for (const bool by_group : {true, false}) {
      Client tail(t);
      co_await tail.begin("ann", "/judges-itself");
      co_await tail.wait_for("begun");
      t.server->recheck_streams();
      co_await async::sleep_for(20ms);
      EXPECT_FALSE(tail.ended) << "nothing has changed for this user";
      if (by_group) {
        world.groups = {"team:bank"};
        t.server->recheck_streams();
      } else {
        co_await t.must("DELETE", std::string(kRbac) + "/rolebindings/ben");
      }
      co_await tail.wait_for_end();
      EXPECT_TRUE(tail.cut);
    }
  });
}

TEST(StreamsTest, AWebSocketIsToldBeforeItsReaderIsCancelled) {
  World world;
  TestServer t = make(world);
  t.run([&]() -> async::Task<> {
    auto request = TestServer::request("GET", "/socket");
    request->headers.set("Authorization", "Bearer ann");
    net::Response response = co_await t.server->handle(request);
    Socket socket(t.runtime.executor());
    async::TaskGroup group(t.runtime.executor(), "client");
    group.spawn("serve", std::get<net::WebSocketBody>(response.body).serve(socket));
    while (!socket.reading) co_await async::yield();
    world.gone.insert("ann");
    t.server->recheck_streams();
    co_await group.join();
    EXPECT_FALSE(socket.reading);
    EXPECT_EQ(socket.said, "1008 your right to this has ended");
  });
}

TEST(StreamsTest, EndWithTheCredentialButNotWithItsAge) {
  World world;
  TestServer t = make(world);
  t.run([&]() -> async::Task<> {
    co_await let_in(&t, "ann");
    Client watch(t);
    co_await watch.begin("ann", kWatch);
    co_await make_config_map(&t, "one");
    co_await watch.wait_for("one");
    world.too_old_at = base::real_clock().now();
    t.server->recheck_streams();
    co_await async::sleep_for(20ms);
    co_await make_config_map(&t, "two");
    co_await watch.wait_for("two");
    EXPECT_FALSE(watch.ended);
    Client late(t);
    co_await late.begin("ann", kWatch);
    EXPECT_EQ(late.status, 401) << "a new request is another matter";
    world.gone.insert("ann");
    t.server->recheck_streams();
    co_await watch.wait_for_end();
  });
}

}  // namespace
}  // namespace mainstay::api
