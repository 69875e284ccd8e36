#include "capabilities/compute/agent/probe.h"

#include "capabilities/compute/agent/pod_worker.h"
#include "net/client.h"

namespace mainstay::compute {
using base::ErrorCode;
using base::fail;

ProbeTracker::ProbeTracker(ProbeKind kind, const ProbeSpec& spec, base::SteadyTime started)
    : kind_(kind), spec_(spec), started_(started), up_(kind == ProbeKind::kLiveness) {}

ProbeTracker::Verdict ProbeTracker::on_result(bool ok, base::SteadyTime now) {
  if (ok) {
    failures_ = 0;
    last_counted_failure_.reset();
    if (++successes_ < spec_.success_threshold || (up_ && ever_up_)) return Verdict::kUnchanged;
    up_ = true;
    ever_up_ = true;
    return Verdict::kUp;
  }
  successes_ = 0;
  if (last_counted_failure_ && now - *last_counted_failure_ < spec_.period - std::chrono::milliseconds(10))
    return Verdict::kUnchanged;
  last_counted_failure_ = now;
  if (++failures_ < spec_.failure_threshold) return Verdict::kUnchanged;
  failures_ = 0;
  up_ = false;
  ever_up_ = true;  // the next success is news again
  return Verdict::kDown;
}

std::chrono::nanoseconds ProbeTracker::next_in(base::SteadyTime now) const {
  const bool eager = kind_ != ProbeKind::kLiveness && !up_ && now - started_ < kEagerTime + spec_.initial_delay;
  return eager ? std::chrono::nanoseconds(kEagerPeriod) : std::chrono::nanoseconds(spec_.period);
}

namespace {

async::Task<base::Result<>> ask_http(PodWorker& worker, const Handler& handler, std::chrono::milliseconds limit) {
  if (handler.port == 0)
    co_return fail(ErrorCode::kInvalid, "the probe's port is neither a number nor the name of a port of the container");
  net::ClientOptions options;
  // As Kubernetes has it: a probe asks whether somebody answers, not who.
  options.tls.insecure = true;
  options.connect_timeout = limit;
  options.response_timeout = limit;
  options.max_kept_connections = 0;
  const std::string origin = fmt::format("{}://{}:{}", handler.scheme, worker.address_for(handler), handler.port);
  auto client = net::Client::create(worker.node().host.runtime().executor(), origin, options);
  if (!client) co_return std::unexpected(client.error());
  net::ClientRequest request;
  request.target = handler.path;
  request.headers.set("User-Agent", "kube-probe/1.32");
  request.headers.set("Accept", "*/*");
  for (const auto& [name, value] : handler.headers) request.headers.set(name, value);
  auto response = co_await (*client)->send(std::move(request));
  if (!response) co_return std::unexpected(response.error());
  if (response->status < 200 || response->status >= 400)
    co_return fail(ErrorCode::kUnavailable, fmt::format("HTTP probe failed with statuscode: {}", response->status));
  co_return base::Result<>{};
}

async::Task<base::Result<>> ask_exec(std::shared_ptr<PodWorker> worker, ContainerRef ref,
                                     std::vector<std::string> command, std::chrono::milliseconds limit) {
  const auto output = co_await worker->exec(ref, std::move(command), limit);
  if (!output) co_return std::unexpected(output.error());
  if (output->status.ok()) co_return base::Result<>{};
  std::string said = output->out + output->err;
  if (said.size() > 512) said.resize(512);
  co_return fail(ErrorCode::kUnavailable, fmt::format("command exited with {}: {}", output->status.code, said));
}

}  // namespace

async::Task<base::Result<>> ask(std::shared_ptr<PodWorker> worker, ContainerRef ref, Handler handler,
                                std::chrono::milliseconds limit) {
  switch (handler.kind) {
    case Handler::Kind::kExec:
      co_return co_await ask_exec(worker, ref, handler.command, limit);
    case Handler::Kind::kHttp: {
      auto answer = co_await async::with_timeout(ask_http(*worker, handler, limit), limit);
      if (!answer) co_return fail(ErrorCode::kTimeout, fmt::format("no answer within {} ms", limit.count()));
      co_return *answer;
    }
    case Handler::Kind::kTcp:
      if (co_await net::tcp_probe(worker->address_for(handler), handler.port, limit)) co_return base::Result<>{};
      co_return fail(ErrorCode::kUnavailable, fmt::format("nothing accepts connections on port {}", handler.port));
    case Handler::Kind::kSleep:
      co_await async::sleep_for(std::min<std::chrono::nanoseconds>(handler.sleep, limit));
      co_return base::Result<>{};
    case Handler::Kind::kGrpc:
      co_return fail(ErrorCode::kInvalid, "gRPC probes are not supported here; use httpGet, tcpSocket or exec");
  }
  co_return base::Result<>{};
}

async::Task<> run_probe(std::shared_ptr<PodWorker> worker, ContainerRef ref, std::string id, ProbeKind kind,
                        ProbeSpec spec) {
  base::Clock& clock = worker->node().host.clock();
  const auto alive = [&] { return at(worker->state(), ref).running() && at(worker->state(), ref).id == id; };
  // Liveness and readiness wait for the startup probe.
  while (alive() && kind != ProbeKind::kStartup && !at(worker->state(), ref).started)
    co_await worker->wait_change(std::chrono::seconds(1));
  if (spec.initial_delay.count() > 0) co_await async::sleep_for(spec.initial_delay);
  ProbeTracker tracker(kind, spec, clock.steady());
  while (alive()) {
    const auto answer = co_await ask(worker, ref, spec.handler, spec.timeout);
    if (!alive()) co_return;
    const auto verdict = tracker.on_result(answer.has_value(), clock.steady());
    if (verdict != ProbeTracker::Verdict::kUnchanged)
      worker->probe_result(ref, id, kind, verdict == ProbeTracker::Verdict::kUp, answer ? "" : answer.error().message);
    if (kind == ProbeKind::kStartup && verdict == ProbeTracker::Verdict::kUp) co_return;
    const auto until = clock.steady() + tracker.next_in(clock.steady());
    // Woken early by other changes of the pod; only the end of this container matters.
    while (alive() && clock.steady() < until) co_await worker->wait_change(until - clock.steady());
  }
}

}  // namespace mainstay::compute
