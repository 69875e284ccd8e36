// Carries a workflow run to its end: reads the workflow at its commit, makes the pods of its jobs, sees what became of
// them.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "capabilities/pipelines/attestations.h"
#include "capabilities/pipelines/run_store.h"
#include "capabilities/pipelines/workflow.h"
#include "platform/host.h"
#include "platform/interfaces/git.h"

namespace mainstay::pipelines {

class RunReconciler {
 public:
  RunReconciler(platform::Host& host, std::shared_ptr<RunStore> store, std::shared_ptr<Attestations> attestations);
  void start();
  async::Task<reconcile::Outcome> reconcile(reconcile::Name name);

 private:
  struct Plan {
    Workflow workflow;
    json::object github;
  };
  // The workflow of a run; an error is for the user.
  async::Task<base::Result<std::shared_ptr<const Plan>>> plan(json::value run);
  async::Task<reconcile::Outcome> advance(reconcile::Name name, json::value run, std::shared_ptr<const Plan> plan);
  async::Task<> ensure_pods(reconcile::Name name, json::value run, std::shared_ptr<const Plan> plan);
  async::Task<reconcile::Outcome> clean_up(reconcile::Name name, client::ObjectPtr run);
  async::Task<> fail(reconcile::Name name, std::string message);
  async::Task<> prune(std::string ns, std::string repository);

  platform::Host& host_;
  client::ApiClient client_;
  std::shared_ptr<RunStore> store_;
  std::shared_ptr<Attestations> attestations_;
  std::shared_ptr<platform::GitReader> git_;
  struct Known {
    std::string uid;
    std::shared_ptr<const Plan> plan;
  };
  std::map<reconcile::Name, Known> plans_;  // of the runs that go on
};

}  // namespace mainstay::pipelines
