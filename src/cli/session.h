// What every verb works with: the loop, the kubeconfig in use, a client, and the exit code a failure becomes.
#pragma once
#include <filesystem>
#include <functional>
#include <string>

#include "async/runtime.h"
#include "base/json.h"
#include "client/client.h"

namespace mainstay::cli {
namespace json = boost::json;

enum ExitCode { kDone = 0, kFailed = 1, kUsage = 2, kUnreachable = 3, kNotFound = 4, kForbidden = 5 };

// Thrown by a verb: printed as it is, with its exit code.
struct Failure {
  int code = kFailed;
  std::string message;
};

class Session {
 public:
  // The kubeconfig: --kubeconfig, else $MAINSTAY_CONFIG, else ~/.config/mainstay/kubeconfig, else $KUBECONFIG.
  explicit Session(std::string kubeconfig_flag) : flag_(std::move(kubeconfig_flag)) {}

  async::Runtime& runtime() { return runtime_; }
  // Where `login` writes.
  static std::filesystem::path login_path();
  // Of the kubeconfig in use.
  std::filesystem::path kubeconfig_path();
  // Throws Failure(kUnreachable) that says how to log in where there is none.
  const json::value& kubeconfig();
  client::ApiClient client();
  std::string server();  // "https://127.0.0.1:6443"
  std::string ca_pem();
  // The user's name as the server sees it.
  async::Task<std::string> whoami();
  // A bearer token for git and OCI: the kubeconfig's own, or a personal access token made for an hour and kept beside
  // it.
  async::Task<std::string> bearer_token();
  // The access token of a sign-in (cli/sign_in.h), renewed where its time is over; "" where the kubeconfig is not of
  // one.
  async::Task<std::string> access_token();

  // Runs a verb on the loop; StatusError and Failure become a message and an exit code.
  int run(std::function<async::Task<int>()> verb);

 private:
  // Puts the sign-in's access token in the place of the kubeconfig's exec plug-in.
  async::Task<> use_sign_in();
  std::string flag_;
  async::Runtime runtime_{2};
  std::optional<json::value> kubeconfig_;
  std::filesystem::path kubeconfig_path_;
};

}  // namespace mainstay::cli
