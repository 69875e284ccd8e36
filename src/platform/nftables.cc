#include "platform/nftables.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include "async/process.h"

namespace mainstay::platform {

async::Task<base::Result<>> load_nft_rules(std::string rules, std::string what, std::string network_namespace) {
  struct Fd {
    int value = -1;
    ~Fd() {
      if (value >= 0) ::close(value);
    }
  } there;
  async::ProcessOptions options;
  options.argv = {"nft", "-f", "-"};
  options.env["PATH"] = "/usr/sbin:/sbin:/usr/bin:/bin";
  if (!network_namespace.empty()) {
    there.value = ::open(network_namespace.c_str(), O_RDONLY | O_CLOEXEC);
    if (there.value < 0) co_return base::fail(base::ErrorCode::kNotFound, "the pod's network is gone");
    options.in_child = [fd = there.value] {
      if (::setns(fd, CLONE_NEWNET) != 0) ::_exit(126);
    };
  }
  const auto output =
      co_await async::run_process(std::move(options), std::move(rules), std::chrono::seconds(20), 64u << 10);
  if (!output) co_return std::unexpected(output.error());
  if (!output->status.ok())
    co_return base::fail(base::ErrorCode::kUnavailable,
                         fmt::format("nft refuses {}: {}", what, output->err.substr(0, 400)));
  co_return base::Result<>{};
}

}  // namespace mainstay::platform
