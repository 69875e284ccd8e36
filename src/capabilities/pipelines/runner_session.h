// How a job's runner reaches the platform: the API and the registry behind it, with the job's own token. A platform
// that is restarting is waited for; a job does not fail because of it.
#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "async/sync.h"
#include "base/json.h"
#include "base/result.h"
#include "net/client.h"

namespace mainstay::pipelines {
namespace json = boost::json;

struct Answer {
  int status = 0;
  net::Headers headers;
  std::string body;
};

class Session {
 public:
  // `server`: "https://10.244.0.1:6443". `account`: the folder with token and ca.crt.
  static base::Result<std::shared_ptr<Session>> create(async::Executor executor, std::string server,
                                                       std::filesystem::path account);

  // Sends; tried again while the platform does not answer, for at most three minutes. An answer of 4xx is an answer.
  async::Task<base::Result<Answer>> send(net::ClientRequest request, std::size_t max_body = 16u << 20);
  // The answer's body as it comes, in lines; ends with the answer. The same retries before the first byte.
  async::Task<base::Result<int>> stream_lines(net::ClientRequest request,
                                              std::function<void(std::string_view line)> line);
  // A blob into a file.
  async::Task<base::Result<Answer>> download(net::ClientRequest request,
                                             std::function<base::Result<>(std::string_view)> sink);
  // Waits until the platform answers at all.
  async::Task<base::Result<>> wait_until_up();

  const std::string& server() const { return server_; }
  std::string host() const { return server_.substr(server_.find("://") + 3); }  // "10.244.0.1:6443"
  std::string token() const;
  std::filesystem::path ca_file() const { return account_ / "ca.crt"; }

 private:
  Session(std::string server, std::filesystem::path account)
      : server_(std::move(server)), account_(std::move(account)) {}
  async::Task<base::Result<net::ClientResponse>> begin(net::ClientRequest request);
  std::string server_;
  std::filesystem::path account_;
  std::shared_ptr<net::Client> client_;
};

// Sends a job's reports one after the other, joining what piles up meanwhile.
class Reporter {
 public:
  Reporter(async::Executor executor, std::shared_ptr<Session> session, std::string ns, std::string run,
           std::string job);
  // {phase, message, outputs, steps: [{index, …}], images: […]}: merged into what is still to be sent.
  void report(const json::object& part);
  void on_stop(std::function<void()> hook) { stop_ = std::move(hook); }  // the platform says: no more of this
  async::Task<> run();
  async::Task<> flush();  // everything reported so far has been taken

 private:
  std::shared_ptr<Session> session_;
  std::string target_, job_;
  json::object pending_;
  bool sending_ = false, refused_ = false;
  async::Event changed_;
  std::function<void()> stop_;
};

// Adds `part` to `pending`: steps by index, images at the end, anything else replaced.
void merge_report(json::object& pending, const json::object& part);

}  // namespace mainstay::pipelines
