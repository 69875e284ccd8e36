#include "capabilities/observe/write_relay.h"

#include "base/encoding.h"
#include "base/strings.h"

namespace mainstay::observe {
namespace {

constexpr std::size_t kMaxBody = 32u << 20;  // the engine sends at most 8 MB at once
constexpr std::string_view kPath = "/api/v1/write";

}  // namespace

WriteRelay::WriteRelay(platform::Host& host, std::shared_ptr<MetricsEngine> metrics, std::string password)
    : state_(std::make_shared<State>(State{
          std::move(metrics), "Basic " + base::base64(fmt::format("{}:{}", MetricsEngine::kUser, password)), {}})),
      server_(
          host.runtime(),
          [state = state_](std::shared_ptr<net::Request> request) { return serve(state, std::move(request)); },
          net::ServerLimits{.max_connections = 16}) {}

base::Result<> WriteRelay::open(std::uint16_t port) {
  MAINSTAY_TRY(const base::HostPort address, server_.listen({"127.0.0.1", port}, std::nullopt));
  origin_ = "http://" + address.to_string();
  return {};
}

async::Task<> WriteRelay::stop() { co_await server_.stop(std::chrono::seconds(1)); }

void WriteRelay::on_write(std::function<void()> hook) { state_->hook = std::move(hook); }

async::Task<net::Response> WriteRelay::serve(std::shared_ptr<State> state, std::shared_ptr<net::Request> request) {
  if (!base::constant_time_equal(request->headers.get("Authorization"), state->authorization))
    co_return net::Response::text(401, "a password is needed\n");
  if (request->method != "POST" || request->path != kPath) co_return net::Response::text(404, "not found\n");
  net::ClientRequest forward;
  forward.method = "POST";
  forward.target = kPath;
  for (const char* name : {"Content-Type", "Content-Encoding", "X-Prometheus-Remote-Write-Version"})
    forward.headers.set(name, std::string(request->headers.get(name)));
  forward.body = co_await request->body->read_all(kMaxBody);
  auto response = co_await state->metrics->send(std::move(forward));
  // What the engine holds of its alerts has changed, whether or not it could be kept as series.
  if (state->hook) state->hook();
  if (!response) co_return net::Response::text(503, response.error().message + "\n");
  std::string said = co_await response->body->read_all(64 * 1024);
  co_return said.empty() ? net::Response::empty(response->status)
                         : net::Response::text(response->status, std::move(said));
}

}  // namespace mainstay::observe
