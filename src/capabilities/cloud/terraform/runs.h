// Carries a TerraformRun to its end: reads the module, plans in a pod, waits for the approval that the policy asks for,
// applies that very plan in a second pod, and clears away. Each phase is in the run's status before its pod is made,
// and a pod is made under a fixed name, so that a restart goes on where it was.
#pragma once
#include <memory>

#include "capabilities/cloud/terraform/module.h"
#include "capabilities/cloud/terraform/run_files.h"
#include "platform/host.h"
#include "platform/interfaces/git.h"

namespace mainstay::cloud {

inline constexpr std::string_view kRunFinalizer = "mainstay.dev/terraform-run";

class RunReconciler : public std::enable_shared_from_this<RunReconciler> {
 public:
  explicit RunReconciler(platform::Host& host) : host_(host), client_(host.client("terraform")) {}
  async::Task<> start();  // the runs' namespace may reach the outside and the platform, nothing of ours besides
  async::Task<reconcile::Outcome> reconcile(reconcile::Name name);

 private:
  async::Task<reconcile::Outcome> advance(reconcile::Pass& pass, const json::value& workspace);
  async::Task<base::Result<>> prepare(reconcile::Pass& pass, const json::value& workspace);
  async::Task<base::Result<ModuleFiles>> module_files(reconcile::Pass& pass, const json::value& workspace);
  async::Task<base::Result<ModuleFiles>> from_repository(reconcile::Pass& pass, const json::value& workspace);
  async::Task<base::Result<std::map<std::string, std::string>>> inputs(const json::value& workspace,
                                                                       std::vector<std::string>* secrets);
  async::Task<> make_account(std::string id, const json::value& workspace);
  async::Task<base::Result<>> make_pod(reconcile::Pass& pass, const json::value& workspace, bool apply);
  // Done with the pod: how it ended. nullopt: it is still at it.
  async::Task<std::optional<RunResult>> ended(reconcile::Pass& pass, std::string* why);
  async::Task<> planned(reconcile::Pass& pass, const json::value& workspace, RunResult result, std::string why);
  async::Task<> applied(reconcile::Pass& pass, const json::value& workspace, RunResult result, std::string why);
  std::string needed_approval(const json::value& workspace) const;
  bool first_in_line(const json::value& run) const;
  async::Task<> clear(const json::value& run);
  // The lock that this run's account holds, if it does: the pod is gone and cannot give it back.
  async::Task<bool> release_lock(const json::value& run);
  void finish(reconcile::Pass& pass, std::string_view phase, std::string message);
  std::filesystem::path folder(const std::string& id) const { return host_.config().dir("terraform") / id; }

  platform::Host& host_;
  client::ApiClient client_;
};

// "tf-" and 16 hex digits: of the run's pods, Secret and account.
std::string run_id(const json::value& run);
// The user that the run's pods are.
std::string run_user(const json::value& run);

}  // namespace mainstay::cloud
