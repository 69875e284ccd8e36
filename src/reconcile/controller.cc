#include "reconcile/controller.h"

#include "base/log.h"
#include "base/status.h"
#include "reconcile/queue.h"

namespace mainstay::reconcile {
namespace {

Name name_of(const json::value& object) {
  return Name{base::get_string(object, "metadata.namespace"), base::get_string(object, "metadata.name")};
}

// An endless failure is told at 1, 2, 4, 8… in a row.
bool worth_telling(int failures) { return (failures & (failures - 1)) == 0; }

}  // namespace

struct Controller::Impl : std::enable_shared_from_this<Controller::Impl> {
  Impl(async::TaskGroup& g, client::Caches& c, ControllerOptions o, Reconcile r, base::Metrics& m)
      : group(g), caches(c), options(std::move(o)), reconcile(std::move(r)), metrics(m), queue(g.executor()) {
    const std::vector<std::pair<std::string, std::string>> label{{"controller", options.name}};
    seconds = &metrics.histogram("controller_runtime_reconcile_time_seconds", "Time of one reconcile pass.",
                                 {.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}, label);
    depth = &metrics.gauge("workqueue_depth", "Names that wait for a pass.", {{"name", options.name}});
    succeeded = count("success");
    again = count("requeue_after");
    failed = count("error");
  }

  base::Counter* count(std::string result) {
    return &metrics.counter("controller_runtime_reconcile_total", "Reconcile passes by their result.",
                            {{"controller", options.name}, {"result", std::move(result)}});
  }

  async::TaskGroup& group;
  client::Caches& caches;
  ControllerOptions options;
  Reconcile reconcile;
  base::Metrics& metrics;
  WorkQueue<Name> queue;
  base::Histogram* seconds;
  base::Gauge* depth;
  base::Counter *succeeded, *again, *failed;
  bool started = false;

  void enqueue(const Name& name) {
    queue.add(name);
    depth->set(static_cast<double>(queue.depth()));
  }

  std::vector<std::shared_ptr<client::Cache>> subscribe() {
    std::weak_ptr<Impl> weak = weak_from_this();
    std::vector<std::shared_ptr<client::Cache>> used;
    used.push_back(caches.of(options.primary));
    used.back()->on_change([weak](const client::ObjectPtr& before, const client::ObjectPtr& after) {
      if (auto self = weak.lock()) self->enqueue(name_of(after ? *after : *before));
    });
    for (const auto& watched : options.also) {
      used.push_back(caches.of(watched.resource));
      used.back()->on_change(
          [weak, map = watched.map](const client::ObjectPtr& before, const client::ObjectPtr& after) {
            auto self = weak.lock();
            if (!self) return;
            for (const auto& object : {before, after}) {
              if (!object) continue;
              for (const auto& name : map(*object)) self->enqueue(name);
            }
          });
    }
    return used;
  }

  static async::Task<> run(std::shared_ptr<Impl> self, std::vector<std::shared_ptr<client::Cache>> used) {
    for (const auto& cache : used) co_await cache->synced();
    for (int i = 0; i < self->options.workers; ++i) self->group.spawn(self->options.name + " worker", work(self));
  }

  static async::Task<> work(std::shared_ptr<Impl> self) {
    while (true) {
      const Name name = co_await self->queue.next();
      self->depth->set(static_cast<double>(self->queue.depth()));
      co_await pass(self, name);
      self->queue.done(name);
    }
  }

  static async::Task<> pass(std::shared_ptr<Impl> self, Name name) {
    const auto begun = std::chrono::steady_clock::now();
    Outcome outcome;
    std::string trouble;
    bool stale = false;
    try {
      outcome = co_await self->reconcile(name);
    } catch (const async::Cancelled&) {
      throw;
    } catch (const base::StatusError& e) {
      stale = e.is_conflict();
      trouble = e.message();
    } catch (const std::exception& e) {
      trouble = e.what();
    }
    self->seconds->observe(std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
    if (trouble.empty()) {
      self->queue.forget_failures(name);
      if (outcome.again_after) self->queue.add_after(name, *outcome.again_after);
      (outcome.again_after ? self->again : self->succeeded)->add();
      co_return;
    }
    const int failures = self->queue.add_failed(name);
    self->failed->add();
    if (stale && failures < 8) {  // our copy was old: ordinary, the next pass sees the new one
      base::log::debug(self->options.name, "{}/{}: {}", name.ns, name.name, trouble);
    } else if (worth_telling(failures)) {
      base::log::warn(self->options.name, "{}/{} failed {} times in a row, will be tried again: {}", name.ns, name.name,
                      failures, trouble);
    }
  }
};

Controller::Controller(async::TaskGroup& group, client::Caches& caches, ControllerOptions options, Reconcile reconcile,
                       base::Metrics& metrics)
    : impl_(std::make_shared<Impl>(group, caches, std::move(options), std::move(reconcile), metrics)) {}
Controller::~Controller() = default;

void Controller::start() {
  if (std::exchange(impl_->started, true)) return;
  impl_->group.spawn(impl_->options.name, Impl::run(impl_, impl_->subscribe()));
}

void Controller::enqueue(Name name) { impl_->enqueue(name); }

std::size_t Controller::depth() const { return impl_->queue.depth(); }

std::function<std::vector<Name>(const json::value&)> owner_of_kind(std::string kind) {
  return [kind = std::move(kind)](const json::value& object) {
    std::vector<Name> owners;
    for (const auto& reference : base::get_array(object, "metadata.ownerReferences")) {
      if (base::get_bool(reference, "controller") && base::get_string(reference, "kind") == kind) {
        owners.push_back(Name{base::get_string(object, "metadata.namespace"), base::get_string(reference, "name")});
      }
    }
    return owners;
  };
}

}  // namespace mainstay::reconcile
