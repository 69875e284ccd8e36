// Workspaces with a source: runs made by themselves (a change, a drift check, the deletion), and what the last ones and
// the state say, in the workspace's status. And the class driver `terraform`, whose claims are workspaces.
#pragma once
#include <memory>

#include "capabilities/cloud/terraform/module.h"
#include "platform/host.h"
#include "platform/interfaces/git.h"
#include "platform/interfaces/resources.h"

namespace mainstay::cloud {

inline constexpr std::string_view kWorkspaceFinalizer = "mainstay.dev/terraform";
// Who changed what is to be run last: the author of the runs that follow.
inline constexpr std::string_view kAuthorAnnotation = "mainstay.dev/terraform-author";

class WorkspaceReconciler : public std::enable_shared_from_this<WorkspaceReconciler> {
 public:
  explicit WorkspaceReconciler(platform::Host& host) : host_(host), client_(host.client("terraform")) {}
  async::Task<reconcile::Outcome> reconcile(reconcile::Name name);

 private:
  async::Task<> show(reconcile::Pass& pass);
  void show_runs(reconcile::Pass& pass, const std::vector<client::ObjectPtr>& runs);
  async::Task<> begin_run(const json::value& workspace, std::string name, std::string operation);
  async::Task<reconcile::Outcome> release(reconcile::Pass& pass);
  async::Task<std::string> commit_of(const json::value& workspace);
  async::Task<reconcile::Outcome> check_drift(reconcile::Pass& pass);
  std::vector<client::ObjectPtr> runs_of(const json::value& workspace) const;  // oldest first

  platform::Host& host_;
  client::ApiClient client_;
};

class TerraformDriver final : public platform::ResourceDriver {
 public:
  explicit TerraformDriver(platform::Host& host) : host_(host), client_(host.client("terraform")) {}
  async::Task<base::Result<platform::Provisioned>> provision(platform::ClaimRequest claim) override;
  async::Task<base::Result<>> release(platform::ClaimRequest claim, bool keep) override;

 private:
  platform::Host& host_;
  client::ApiClient client_;
};

// The spec of a claim's workspace: the class's source, its inputs over the claim's; kInvalid names the field.
base::Result<json::object> workspace_spec(const platform::ClaimRequest& claim, const std::string& environment);

}  // namespace mainstay::cloud
