// What a run of a module is made of, without I/O: its files and inputs as the pod finds them, the script, the pod, and
// what the program's words mean.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "base/config.h"
#include "base/json.h"
#include "base/result.h"
#include "client/client.h"

namespace mainstay::cloud {
namespace json = boost::json;

inline const client::Resource kWorkspaces{"mainstay.dev", "v1", "workspaces", true, "Workspace"};
inline const client::Resource kStates{"mainstay.dev", "v1", "terraformstates", true, "TerraformState"};
inline const client::Resource kTerraformRuns{"mainstay.dev", "v1", "terraformruns", true, "TerraformRun"};
// The runs' pods, their tokens and their inputs: no team's namespace.
inline constexpr std::string_view kRunsNamespace = "mainstay-terraform";
inline constexpr std::string_view kRunLabel = "mainstay.dev/terraform-run";

inline constexpr std::size_t kMaxModuleFiles = 500, kMaxModule = 4u << 20, kMaxPlan = 1u << 20,
                             kMaxPlanText = 64u << 10, kMaxLogText = 16u << 10;

bool is_over(std::string_view phase);  // Planned, Applied, Discarded, Failed

// A name that may be a file of a module: relative, no part "..", nothing hidden from the reader.
base::Result<> check_module_path(std::string_view path);
// The node pulls a run's image with the platform's rights, and nobody else asks whose it is: of this registry a team's
// own, library's, and what is cached of other registries.
base::Result<> check_image(std::string_view image, std::string_view team, const base::Config& config);

struct PlanSummary {
  std::int64_t add = 0, change = 0, destroy = 0;
  std::string text;  // "1 to add, 0 to change, 0 to destroy"
};
// From what `terraform show` says of a plan. Both programs say it in the same words.
PlanSummary summary_of(std::string_view plan_text);

// `text` with every one of the secrets (of at least four characters, also line by line) replaced.
std::string masked(std::string text, const std::vector<std::string>& secrets);
std::string head_of(std::string text, std::size_t most);  // whole lines
std::string tail_of(std::string text, std::size_t most);

struct Outputs {
  json::object plain;      // values as the module gave them
  json::object sensitive;  // the same
};
// Of a state (version 4).
Outputs outputs_of(const json::value& state);
// A value as the text of an environment or a Secret: strings as they are, anything else as JSON.
std::string as_text(const json::value& value);

// `export NAME='value'` lines for the shell. The names are checked: an environment variable that the program itself or
// the loader listens to is refused.
base::Result<std::string> environment_file(const std::map<std::string, std::string>& variables);

// What decides whether a workspace is to run again.
std::string configuration_digest(const json::value& workspace, std::string_view commit);

struct PodRequest {
  std::string id;             // names the pod, its Secret and its account
  bool apply = false;         // else plan
  std::string flags;          // of plan: "-destroy"
  std::string image;          // "": the runner's, with `program` of this machine
  std::string program;        // "/usr/local/bin/terraform"
  std::string folder;         // of this machine: in/ and out/
  std::string state_address;  // as the pod reaches it
  std::int64_t minutes = 60;
};
std::string pod_name(const PodRequest& request);
json::value run_pod(const json::value& run, const PodRequest& request);

}  // namespace mainstay::cloud
