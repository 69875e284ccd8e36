// A workflow in GitHub Actions' syntax (docs.github.com, "Workflow syntax for GitHub Actions"), checked: what is not in
// this version is an error with its place, never silently different.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "capabilities/pipelines/positions.h"

namespace mainstay::pipelines {
namespace json = boost::json;

// Patterns of branches, tags or paths: `*`, `**`, `?`, `+`, `[…]`, and `!` that takes away again; the last match
// counts.
bool filter_matches(const std::vector<std::string>& patterns, std::string_view text);

struct PushFilter {
  std::optional<std::vector<std::string>> branches, branches_ignore, tags, tags_ignore, paths, paths_ignore;
};

struct Step {
  std::string id, name, uses, run, shell, working_directory, condition;
  json::object env, with;
  json::value continue_on_error, timeout_minutes;  // values or expressions
};

struct Job {
  std::string id, name, condition, environment, shell, working_directory;
  std::vector<std::string> needs;
  json::object env, outputs;
  json::value matrix;  // null, an object, or an expression
  json::value continue_on_error, timeout_minutes;
  bool fail_fast = true;
  std::int64_t max_parallel = 0;  // 0: no limit
  std::vector<Step> steps;
};

struct Workflow {
  std::string file, name;
  std::optional<PushFilter> push;  // what pushes start it
  bool dispatch = false;           // workflow_dispatch
  json::object env;
  std::vector<Job> jobs;           // in the file's order
  std::vector<std::string> notes;  // what is accepted and has no effect here
  const Job* job(std::string_view id) const;
};

// Errors read "<file>:<line>:<column>: <reason>", at most ten of them, one a line.
base::Result<Workflow> parse_workflow(std::string file, std::string_view text);

// Whether a push of `ref` starts it. `changed` are the paths the push changed; unknown (nullopt) counts as all.
bool push_starts(const Workflow& workflow, std::string_view ref,
                 const std::optional<std::vector<std::string>>& changed);

// The workflow of a repository that has a Dockerfile and none of its own. It deploys from `default_branch` only.
std::string default_workflow(std::string_view default_branch);

// What `uses:` may name, without a version: "actions/checkout", "build-image"…; the canonical short name, or "".
std::string builtin_action(std::string_view uses);
// Why a step cannot use an action, or give an action an input, and what to do instead; "" where it can.
std::string why_not_action(std::string_view uses);
std::string why_not_input(std::string_view uses, std::string_view input, std::string_view value);
bool known_shell(std::string_view shell);

// The combinations of an evaluated matrix, in GitHub's order, with include and exclude; {} once for no matrix.
base::Result<std::vector<json::object>> expand_matrix(const json::value& matrix);

}  // namespace mainstay::pipelines
