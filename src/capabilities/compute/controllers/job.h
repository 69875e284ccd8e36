// Job (batch/v1): runs pods until enough of them have ended well, or too many have not.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "platform/host.h"

namespace mainstay::compute {
namespace json = boost::json;

// What a Job's pods come to, and what is to be done about it. Pure.
struct JobDecision {
  std::int64_t active = 0, ready = 0, succeeded = 0, failed = 0;
  std::int64_t create = 0;                     // pods to make now
  bool stop = false;                           // delete what is active: it has ended, or is suspended
  std::string ended;                           // "Complete" or "Failed"; "" while it goes on
  std::string reason, message;                 // of that condition
  std::optional<base::SystemTime> look_again;  // a deadline, or the end of a pause after a failure
};
// `pods` are the Job's own. Counts never fall below those in status: pods may have been deleted since.
JobDecision decide_job(const json::value& job, const std::vector<client::ObjectPtr>& pods, base::SystemTime now);

class JobController : public std::enable_shared_from_this<JobController> {
 public:
  explicit JobController(platform::Host& host);
  static void add_to(platform::Host& host);
  async::Task<reconcile::Outcome> reconcile(reconcile::Name name);

 private:
  async::Task<reconcile::Outcome> clean_up(client::ObjectPtr job);
  async::Task<bool> label(client::ObjectPtr job);
  async::Task<std::string> change_pods(client::ObjectPtr job, std::vector<client::ObjectPtr> pods,
                                       JobDecision decision);
  async::Task<> write_status(client::ObjectPtr job, JobDecision decision);
  std::vector<client::ObjectPtr> pods_of(const json::value& job) const;

  platform::Host& host_;
  client::ApiClient client_;
  std::shared_ptr<client::Cache> jobs_, pods_;
};

}  // namespace mainstay::compute
