// The one door to a run's status: several writers (the reconciler, a job's reports, attesting, deploying) change it,
// one after the other.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "async/sync.h"
#include "base/clock.h"
#include "client/client.h"
#include "reconcile/controller.h"

namespace mainstay::pipelines {
namespace json = boost::json;

class RunStore {
 public:
  RunStore(async::Executor executor, client::ApiClient client, base::Clock& clock)
      : executor_(executor), client_(std::move(client)), clock_(clock) {}

  // Reads the run, applies `change` and writes the status where it differs; tried again where somebody wrote in
  // between, so `change` may be called more than once. Gives the run as it is then; throws StatusError (404: it has
  // gone).
  async::Task<json::value> change(reconcile::Name name, std::function<void(json::value& run)> change);
  std::string now() const { return base::rfc3339_micro(clock_.now()); }
  base::Clock& clock() const { return clock_; }

 private:
  struct Lock {
    explicit Lock(async::Executor executor) : freed(executor) {}
    bool held = false;
    int waiting = 0;
    async::Event freed;
  };
  async::Executor executor_;
  client::ApiClient client_;
  base::Clock& clock_;
  std::map<reconcile::Name, std::shared_ptr<Lock>> locks_;
};

// Reading and changing the parts of a run.
bool is_final(std::string_view phase);                                  // Succeeded, Failed, Cancelled, Skipped
json::array& jobs_of(json::value& run);                                 // made where missing
std::string text_in(const json::object& object, std::string_view key);  // "" where it is no text
json::object* find_entry(json::array& items, std::string_view key, std::string_view value);
// Ends an unfinished job: running steps end like it, pending ones are skipped.
void finish_job(json::object& job, std::string_view phase, std::string_view message, std::string_view now);
// Ends the run.
void finish_run(json::value& run, std::string_view phase, std::string message, base::SystemTime now);

}  // namespace mainstay::pipelines
