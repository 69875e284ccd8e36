// A whole API server over a store in memory, for the tests of api/, client/ and reconcile/.
#pragma once
#include <filesystem>
#include <memory>
#include <string>

#include "api/audit.h"
#include "api/server.h"
#include "async/sync.h"
#include "base/clock.h"
#include "base/json.h"

namespace mainstay::api {

struct Answer {
  int status = 0;
  net::Headers headers;
  std::string text;
  base::json::value json;  // null where the text is none
};

class TestServer {
 public:
  // `prepare` registers what a test needs before the server starts.
  explicit TestServer(std::function<void(Server&)> prepare = {});
  ~TestServer();

  // Runs `body` on the loop (namespaces default and shop are there), then stops all.
  void run(std::function<async::Task<>()> body);

  // One request as `user` through the whole chain; a streamed body is read to its end.
  async::Task<Answer> call(UserInfo user, std::string method, std::string target, std::string body = "",
                           std::string content_type = "application/json", std::string accept = "");
  async::Task<Answer> send(UserInfo user, std::shared_ptr<net::Request> request);
  // The same as system:masters; throws std::runtime_error where the status is not below 300.
  async::Task<base::json::value> must(std::string method, std::string target, std::string body = "",
                                      std::string content_type = "application/json");

  static UserInfo user(std::string name, std::vector<std::string> groups = {});
  static UserInfo master();
  static std::shared_ptr<net::Request> request(std::string method, std::string target, std::string body = "");

  async::Runtime runtime{2};
  base::Config config;
  base::Metrics metrics;
  std::filesystem::path directory;
  std::unique_ptr<store::Backend> store;
  std::unique_ptr<AuditLog> audit;
  std::unique_ptr<Server> server;
  std::vector<std::string> audit_lines;
};

}  // namespace mainstay::api
