// Takes what vmalert writes, the recorded series and the states of its alerts, gives it to the metrics engine, and
// tells that it did: so Mainstay knows that an alert began, went on or ended without asking. On loopback, behind a
// password.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "capabilities/observe/metrics_engine.h"
#include "net/server.h"

namespace mainstay::observe {

class WriteRelay {
 public:
  WriteRelay(platform::Host& host, std::shared_ptr<MetricsEngine> metrics, std::string password);
  base::Result<> open(std::uint16_t port);
  async::Task<> stop();
  void on_write(std::function<void()> hook);
  std::string origin() const { return origin_; }

 private:
  struct State {
    std::shared_ptr<MetricsEngine> metrics;
    std::string authorization;
    std::function<void()> hook;
  };
  static async::Task<net::Response> serve(std::shared_ptr<State> state, std::shared_ptr<net::Request> request);

  std::shared_ptr<State> state_;
  net::Server server_;
  std::string origin_;
};

}  // namespace mainstay::observe
