// Answers that go on: watches, followed logs, exec, git fetches; files are not among them. Each was allowed when it
// began, and ends when its caller's credential or right does: a user is disabled, a sign-in ended, a RoleBinding
// deleted. Events tell of it, nothing polls.
#include "api/server_impl.h"
#include "base/log.h"
#include "base/status.h"

namespace mainstay::api {
namespace {

constexpr std::string_view kRbac = "rbac.authorization.k8s.io";
constexpr std::size_t kBeforeOthers = 16;  // streams looked at in a row: a token's signature takes 60 us
constexpr std::uint16_t kPolicyViolation = 1008;
constexpr std::chrono::seconds kFarewell{1};

using LivePtr = std::shared_ptr<Server::Impl::Live>;

async::Task<> run_to_its_end(LivePtr live, async::Task<> task) {
  try {
    co_await std::move(task);
  } catch (...) {
    live->error = std::current_exception();
  }
  live->done = true;
  live->changed.notify_all();
}

async::Task<> until_done_or_revoked(LivePtr live) {
  while (!live->done && !live->revoked) co_await live->changed.wait();
}

// True: the task has ended by itself, and false that it was cancelled since the right to it is gone, after `farewell`
// where there is one. Throws what it throws, and Cancelled where the caller is cancelled, in each case after its end.
async::Task<bool> run_while_allowed(Server::Impl* impl, ExchangePtr x, async::Task<> task,
                                    std::function<async::Task<>()> farewell) {
  // What was taken away between the chain's look and now was not seen by recheck_live().
  if (x->rights != impl->rights && !co_await impl->still_allowed(x)) co_return false;
  const async::Executor executor = impl->d.runtime.executor();
  const LivePtr live(new Server::Impl::Live{x, false, false, nullptr, async::Event(executor)});
  const auto at = impl->live.insert(impl->live.end(), live);
  async::TaskGroup group(executor, "stream");
  group.spawn("stream", run_to_its_end(live, std::move(task)));
  bool ended = false;
  std::exception_ptr cancelled;
  try {
    co_await until_done_or_revoked(live);
    ended = live->done;
    if (!ended && farewell) co_await farewell();
  } catch (const async::Cancelled&) {
    cancelled = std::current_exception();
  }
  if (!live->done) group.cancel();
  co_await group.join();
  impl->live.erase(at);
  if (cancelled) std::rethrow_exception(cancelled);
  if (ended && live->error) std::rethrow_exception(live->error);
  co_return ended;
}

async::Task<> write_guarded(Server::Impl* impl, ExchangePtr x, std::function<async::Task<>(net::BodyWriter&)> write,
                            net::BodyWriter& writer) {
  if (co_await run_while_allowed(impl, x, write(writer), nullptr)) co_return;
  // A watch may end at any time: its client asks again, and is told. Anything else would look whole.
  if (x->verb != "watch") throw std::runtime_error("the caller's right to it has ended");
}

async::Task<> say_why(net::WebSocket* socket) {
  (void)co_await async::with_timeout(socket->close(kPolicyViolation, "your right to this has ended"), kFarewell);
}

// Said before the cancellation: where that meets a read, as of exec, it takes the connection with it.
async::Task<> serve_guarded(Server::Impl* impl, ExchangePtr x, std::function<async::Task<>(net::WebSocket&)> serve,
                            net::WebSocket& socket) {
  const std::function<async::Task<>()> farewell = [&socket] { return say_why(&socket); };
  if (!co_await run_while_allowed(impl, x, serve(socket), farewell)) co_await say_why(&socket);
}

}  // namespace

void Server::Impl::guard(const ExchangePtr& x, net::Response& response) {
  // The platform's own services keep their rights; a public route asks for none, or judges credentials itself.
  if (x->in_process || (x->route && std::holds_alternative<Public>(x->route->permission))) return;
  if (auto* stream = std::get_if<net::StreamBody>(&response.body)) {
    stream->write = [this, x, write = std::move(stream->write)](net::BodyWriter& writer) {
      return write_guarded(this, x, write, writer);
    };
  } else if (auto* socket = std::get_if<net::WebSocketBody>(&response.body)) {
    socket->serve = [this, x, serve = std::move(socket->serve)](net::WebSocket& peer) {
      return serve_guarded(this, x, serve, peer);
    };
  } else {
    return;
  }
  if (!following_rights) x->rights = 0;  // nobody has followed them since the chain looked
  follow_rights();
}

// The chain's own steps once more. A credential that has merely grown old since does not count: kubectl's are renewed
// while its watch goes on.
async::Task<bool> Server::Impl::still_allowed(ExchangePtr x) const {
  Exchange again = *x;
  try {
    auto user = co_await authenticator.authenticate(*x->http, x->received);
    if (!user) co_return false;
    again.user = std::move(*user);
    again.impersonator.clear();
    impersonate(again);
    authorize(again);
    // A handler that judged by itself what it gives out knows alone by which right: it is to look again.
    const bool judged_itself = x->route && std::holds_alternative<Authenticated>(x->route->permission);
    co_return !judged_itself || (again.user.groups == x->user.groups && x->roles == roles);
  } catch (const base::StatusError&) {
    co_return false;
  } catch (const async::Cancelled&) {
    throw;
  } catch (const std::exception& e) {
    base::log::error(kComponent, "whether {} may go on: {}", x->http->path, e.what());
    co_return false;
  }
}

void Server::Impl::follow_rights() {
  if (std::exchange(following_rights, true)) return;
  for (const char* resource : {"clusterroles", "roles", "clusterrolebindings", "rolebindings"})
    streams.spawn("follow RBAC", follow_rbac(resource));
  streams.spawn("recheck streams", recheck_live());
}

async::Task<> Server::Impl::follow_rbac(std::string resource) {
  for (;;) {
    auto changes = d.store.watch(kRbac, resource, d.store.revision());
    while (changes) {
      auto change = co_await (*changes)->next(std::chrono::hours(24));
      if (!change && change.error().code != base::ErrorCode::kExhausted) co_return;
      // What is new takes nothing from anybody.
      if (!change || (*change && (*change)->previous)) {
        ++rights;
        ++roles;
        rights_changed.notify_all();
      }
      if (!change) break;  // too many at once: begin anew
    }
    if (!changes) co_return;  // the store has stopped
  }
}

async::Task<> Server::Impl::recheck_live() {
  for (std::uint64_t seen = rights;;) {
    while (seen == rights) co_await rights_changed.wait();
    seen = rights;
    const std::vector<std::shared_ptr<Live>> all(live.begin(), live.end());
    for (std::size_t i = 0; i < all.size(); ++i) {
      const ExchangePtr x = all[i]->x;
      if (!co_await still_allowed(x)) {
        base::log::info(kComponent, "{} {} of {} ends: the right to it has", x->http->method, x->http->path,
                        x->user.name);
        all[i]->revoked = true;
        all[i]->changed.notify_all();
      }
      if (i % kBeforeOthers == kBeforeOthers - 1) co_await async::yield();
    }
  }
}

void Server::recheck_streams() {
  ++impl_->rights;
  impl_->rights_changed.notify_all();
}

}  // namespace mainstay::api
