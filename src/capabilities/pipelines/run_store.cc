#include "capabilities/pipelines/run_store.h"

#include "base/status.h"

namespace mainstay::pipelines {
namespace {

constexpr int kTries = 8;

}  // namespace

async::Task<json::value> RunStore::change(reconcile::Name name, std::function<void(json::value& run)> change) {
  auto& slot = locks_[name];
  if (!slot) slot = std::make_shared<Lock>(executor_);
  const std::shared_ptr<Lock> lock = slot;
  struct Held {
    RunStore& store;
    reconcile::Name name;
    Lock& lock;
    bool waiting = false, held = false;
    ~Held() {
      if (waiting) --lock.waiting;
      if (held) lock.held = false;
      if (held) lock.freed.notify_all();
      if (!lock.held && lock.waiting == 0) store.locks_.erase(name);
    }
  } held{*this, name, *lock};
  held.waiting = true;
  ++lock->waiting;
  while (lock->held) co_await lock->freed.wait();
  held.waiting = false;
  --lock->waiting;
  lock->held = held.held = true;
  for (int attempt = 1;; ++attempt) {
    const json::value before = co_await client_.get(client::resources::kWorkflowRuns, name.ns, name.name);
    json::value after = before;
    change(after);
    if (after == before) co_return after;
    try {
      json::value written = co_await client_.update_status(client::resources::kWorkflowRuns, std::move(after));
      co_return written;
    } catch (const base::StatusError& error) {
      if (!error.is_conflict() || attempt == kTries) throw;
    }
  }
}

bool is_final(std::string_view phase) {
  return phase == "Succeeded" || phase == "Failed" || phase == "Cancelled" || phase == "Skipped";
}

json::array& jobs_of(json::value& run) {
  json::value* jobs = base::find(run, "status.jobs");
  if (jobs == nullptr || !jobs->is_array()) {
    base::set(run, "status.jobs", json::array());
    jobs = base::find(run, "status.jobs");
  }
  return jobs->as_array();
}

std::string text_in(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : "";
}

json::object* find_entry(json::array& items, std::string_view key, std::string_view value) {
  for (json::value& item : items)
    if (item.is_object() && base::get_string(item, key) == value) return &item.as_object();
  return nullptr;
}

void finish_job(json::object& job, std::string_view phase, std::string_view message, std::string_view now) {
  job["phase"] = phase;
  job["finishedAt"] = now;
  if (!message.empty()) job["message"] = message;
  json::value* steps = job.if_contains("steps");
  if (steps == nullptr || !steps->is_array()) return;
  for (json::value& step : steps->as_array()) {
    if (!step.is_object() || is_final(base::get_string(step, "phase"))) continue;
    const bool running = base::get_string(step, "phase") == "Running";
    step.as_object()["phase"] = running && phase != "Succeeded" ? json::value(phase) : json::value("Skipped");
    if (running) step.as_object()["finishedAt"] = now;
  }
}

void finish_run(json::value& run, std::string_view phase, std::string message, base::SystemTime now) {
  base::set(run, "status.phase", json::value(phase));
  base::set(run, "status.finishedAt", json::value(base::rfc3339_micro(now)));
  if (base::get_string(run, "status.startedAt").empty())
    base::set(run, "status.startedAt", json::value(base::rfc3339_micro(now)));
  if (message.size() > 8192) message.resize(8192);
  if (!message.empty()) base::set(run, "status.message", json::value(message));
  reconcile::set_condition(run, "Succeeded", phase == "Succeeded" ? "True" : "False", phase, message, now);
}

}  // namespace mainstay::pipelines
