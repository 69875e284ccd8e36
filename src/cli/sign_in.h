// Signing in from the command line: by a browser on this machine (RFC 8252) or on another one (RFC 8628), and what is
// kept of it beside the kubeconfig.
#pragma once
#include <filesystem>
#include <optional>
#include <string>

#include "async/runtime.h"
#include "base/clock.h"

namespace mainstay::cli {

// FILE.session, 0600: what a sign-in gave. The kubeconfig asks `mainstay credential` for the access token.
struct SignIn {
  std::string server, access_token, refresh_token;
  base::SystemTime expires;
};
std::filesystem::path sign_in_path(const std::filesystem::path& kubeconfig);
std::optional<SignIn> read_sign_in(const std::filesystem::path& kubeconfig);
void write_sign_in(const std::filesystem::path& kubeconfig, const SignIn& kept);  // throws Failure

// Throw Failure with what the server said. They wait for a person, at most ten minutes.
async::Task<SignIn> sign_in_by_browser(async::Runtime& runtime, std::string server, std::string ca_pem, bool open);
async::Task<SignIn> sign_in_by_device(async::Runtime& runtime, std::string server, std::string ca_pem);
// An access token good for another minute: the kept one, or a new one. Two commands at once refresh once: the second
// waits and reads what the first has kept. nullopt where there is no sign-in, or it has ended.
async::Task<std::optional<SignIn>> current_sign_in(async::Runtime& runtime, std::filesystem::path kubeconfig,
                                                   std::string ca_pem);
// Ends it at the server and forgets it. Unreachable servers are no failure: what is here is removed.
async::Task<> sign_out(async::Runtime& runtime, std::filesystem::path kubeconfig, std::string ca_pem);

}  // namespace mainstay::cli
