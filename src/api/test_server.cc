#include "api/test_server.h"

#include <stdexcept>

#include "base/encoding.h"
#include "base/ids.h"

namespace mainstay::api {
namespace {

class StringWriter final : public net::BodyWriter {
 public:
  async::Task<> write(std::string_view data) override {
    text += data;
    co_return;
  }
  std::string text;
};

async::Task<> run_body(TestServer* self, std::function<async::Task<>()>* body) {
  std::exception_ptr error;
  try {
    co_await self->must("POST", "/api/v1/namespaces", R"({"metadata":{"name":"default"}})");
    co_await self->must("POST", "/api/v1/namespaces", R"({"metadata":{"name":"shop"}})");
    co_await (*body)();
  } catch (...) {
    error = std::current_exception();
  }
  co_await self->server->stop();
  co_await self->audit->stop();
  co_await self->store->stop();
  if (error) std::rethrow_exception(error);
}

}  // namespace

TestServer::TestServer(std::function<void(Server&)> prepare)
    : directory(std::filesystem::temp_directory_path() / ("mainstay-api-test-" + base::random_hex(8))) {
  store = std::make_unique<store::Backend>(runtime, store::open_memory(), store::SealHook{}, metrics);
  audit = std::make_unique<AuditLog>(runtime, directory / "audit.log");
  audit->on_line([this](const std::string& line) { audit_lines.push_back(line); });
  server = std::make_unique<Server>(Server::Dependencies{runtime, config, base::real_clock(), metrics, *store, *audit});
  if (prepare) prepare(*server);
  if (auto started = server->start(); !started) throw std::runtime_error(started.error().message);
  if (auto loaded = store->load(); !loaded) throw std::runtime_error(loaded.error().message);
}

TestServer::~TestServer() {
  std::error_code ignored;
  std::filesystem::remove_all(directory, ignored);
}

void TestServer::run(std::function<async::Task<>()> body) { runtime.run(run_body(this, &body)); }

UserInfo TestServer::user(std::string name, std::vector<std::string> groups) {
  UserInfo user;
  user.name = std::move(name);
  user.groups = std::move(groups);
  return user;
}
UserInfo TestServer::master() { return user("root", {std::string(kMastersGroup)}); }

std::shared_ptr<net::Request> TestServer::request(std::string method, std::string target, std::string body) {
  auto request = std::make_shared<net::Request>();
  request->method = std::move(method);
  request->raw_target = target;
  const auto mark = target.find('?');
  request->path = base::percent_decode(target.substr(0, mark)).value();
  if (mark != std::string::npos) request->query = net::Query::parse(std::string_view(target).substr(mark + 1)).value();
  request->body = net::body_from_string(std::move(body));
  request->peer = "127.0.0.1:40000";
  return request;
}

async::Task<Answer> TestServer::send(UserInfo user, std::shared_ptr<net::Request> request) {
  net::Response response = co_await server->handle_as(std::move(user), std::move(request));
  Answer answer{response.status, response.headers, "", nullptr};
  if (auto* text = std::get_if<std::string>(&response.body)) answer.text = *text;
  if (auto* shared = std::get_if<std::shared_ptr<const std::string>>(&response.body)) answer.text = **shared;
  if (auto* stream = std::get_if<net::StreamBody>(&response.body)) {
    StringWriter writer;
    co_await stream->write(writer);
    answer.text = writer.text;
  }
  if (auto value = base::parse_json(answer.text)) answer.json = *value;
  co_return answer;
}

async::Task<Answer> TestServer::call(UserInfo user, std::string method, std::string target, std::string body,
                                     std::string content_type, std::string accept) {
  auto made = request(std::move(method), std::move(target), std::move(body));
  made->headers.set("Content-Type", std::move(content_type));
  if (!accept.empty()) made->headers.set("Accept", std::move(accept));
  co_return co_await send(std::move(user), std::move(made));
}

async::Task<base::json::value> TestServer::must(std::string method, std::string target, std::string body,
                                                std::string content_type) {
  Answer answer = co_await call(master(), method, target, std::move(body), std::move(content_type));
  if (answer.status >= 300) throw std::runtime_error(method + " " + target + ": " + answer.text);
  co_return answer.json;
}

}  // namespace mainstay::api
