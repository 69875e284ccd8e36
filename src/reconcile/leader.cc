// Leader election by a coordination.k8s.io Lease, as client-go does it: 15 s to live, renewed every 5 s, given up when
// it could not be renewed for 10 s.
#include "base/log.h"
#include "base/status.h"
#include "reconcile/controller.h"

namespace mainstay::reconcile {
namespace {

constexpr std::chrono::seconds kLife{15};
constexpr std::chrono::seconds kGiveUp{10};
constexpr std::chrono::seconds kRenew{5};
constexpr std::chrono::seconds kRetry{2};

struct Candidate {
  client::ApiClient client;
  std::string ns, lease, identity;
  const base::Clock* clock;
  // When we last saw the lease change, by our own clock: another machine's clock is not to be trusted.
  std::string seen_version;
  base::SteadyTime seen_at;
};

json::object held_spec(const Candidate& me, const json::value* old) {
  const std::string now = base::rfc3339_micro(me.clock->now());
  const bool mine = old && base::get_string(*old, "spec.holderIdentity") == me.identity;
  const std::int64_t turns = old ? base::get_int(*old, "spec.leaseTransitions") + (mine ? 0 : 1) : 0;
  return json::object{{"holderIdentity", me.identity},
                      {"leaseDurationSeconds", static_cast<std::int64_t>(kLife.count())},
                      {"acquireTime", mine ? base::get_string(*old, "spec.acquireTime", now) : now},
                      {"renewTime", now},
                      {"leaseTransitions", turns}};
}

// True where the lease is ours for the next 15 s.
async::Task<bool> acquire(std::shared_ptr<Candidate> me) {
  try {
    auto old = co_await me->client.find(client::resources::kLeases, me->ns, me->lease);
    if (!old) {
      json::value made = json::object{{"metadata", json::object{{"name", me->lease}, {"namespace", me->ns}}},
                                      {"spec", held_spec(*me, nullptr)}};
      co_await me->client.create(client::resources::kLeases, me->ns, std::move(made));
      co_return true;
    }
    const std::string version = base::get_string(*old, "metadata.resourceVersion");
    if (version != me->seen_version) {
      me->seen_version = version;
      me->seen_at = me->clock->steady();
    }
    const std::string holder = base::get_string(*old, "spec.holderIdentity");
    const auto life = std::chrono::seconds(base::get_int(*old, "spec.leaseDurationSeconds", kLife.count()));
    if (!holder.empty() && holder != me->identity && me->clock->steady() < me->seen_at + life) co_return false;
    json::value patch =
        json::object{{"metadata", json::object{{"resourceVersion", version}}}, {"spec", held_spec(*me, &*old)}};
    co_await me->client.merge_patch(client::resources::kLeases, me->ns, me->lease, std::move(patch));
    co_return true;
  } catch (const base::StatusError& e) {
    base::log::debug("leader", "lease {}/{}: {}", me->ns, me->lease, e.message());
  }
  co_return false;
}

// Until the lease is lost or `lead` ends.
async::Task<> hold(std::shared_ptr<Candidate> me, std::shared_ptr<bool> ended) {
  auto renewed = me->clock->steady();
  while (!*ended) {
    co_await async::sleep_for(kRenew);
    if (co_await acquire(me)) {
      renewed = me->clock->steady();
    } else if (me->clock->steady() - renewed > kGiveUp) {
      base::log::warn("leader", "{} lost the lease {}/{}", me->identity, me->ns, me->lease);
      co_return;
    }
  }
}

async::Task<> run_lead(std::shared_ptr<std::function<async::Task<>()>> lead, std::shared_ptr<bool> ended) {
  struct Ended {
    std::shared_ptr<bool> flag;
    ~Ended() { *flag = true; }
  } at_end{ended};
  co_await (*lead)();
}

// Hands the lease back, so that the next leader need not wait for it to run out.
async::Task<> release(std::shared_ptr<Candidate> me) {
  try {
    json::value patch = json::object{{"spec", json::object{{"holderIdentity", ""}, {"leaseDurationSeconds", 1}}}};
    co_await me->client.merge_patch(client::resources::kLeases, me->ns, me->lease, std::move(patch));
  } catch (const base::StatusError&) {
  }
}

}  // namespace

async::Task<> run_as_leader(client::ApiClient client, std::string ns, std::string lease, std::string identity,
                            const base::Clock& clock, std::function<async::Task<>()> lead) {
  auto me = std::make_shared<Candidate>(
      Candidate{std::move(client), std::move(ns), std::move(lease), std::move(identity), &clock, "", {}});
  auto shared = std::make_shared<std::function<async::Task<>()>>(std::move(lead));
  const async::Executor executor = co_await boost::asio::this_coro::executor;
  while (true) {
    while (!co_await acquire(me)) co_await async::sleep_for(kRetry);
    auto ended = std::make_shared<bool>(false);
    async::TaskGroup term(executor, "leader of " + me->lease);
    term.spawn("lead", run_lead(shared, ended));
    std::exception_ptr cancelled;
    try {
      co_await hold(me, ended);
    } catch (...) {
      cancelled = std::current_exception();
    }
    term.cancel();
    co_await term.join();
    if (cancelled) std::rethrow_exception(cancelled);
    if (*ended) co_await release(me);
    co_await async::sleep_for(kRetry);
  }
}

}  // namespace mainstay::reconcile
