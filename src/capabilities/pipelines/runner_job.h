// One job: its steps in turn, their conditions and outputs, and what is reported of them.
#pragma once
#include <filesystem>
#include <memory>
#include <string>

#include "async/process.h"
#include "async/runtime.h"
#include "capabilities/pipelines/dockerfile.h"
#include "capabilities/pipelines/expression.h"
#include "capabilities/pipelines/runner_session.h"
#include "capabilities/pipelines/runner_text.h"

namespace mainstay::pipelines {

class JobRunner {
 public:
  struct Places {
    std::filesystem::path workspace, temp, secrets;
  };
  JobRunner(async::Runtime& runtime, std::shared_ptr<Session> session, std::shared_ptr<Reporter> reporter,
            json::value job, Places places);
  // True where the job succeeded. Reports its end.
  async::Task<bool> run();
  // The job is to stop: ends the step under way; steps with `always()` still run.
  void cancel();

 private:
  struct StepResult {
    bool ok = true, timed_out = false;
    int exit_code = 0;
    std::string detail, message;
    json::object outputs;
  };
  struct Current {  // of the step under way
    std::size_t index = 0;
    std::map<std::string, std::string> env;
    json::object with;
    std::string working_directory;
    std::chrono::nanoseconds limit{};
  };

  void prepare();
  void load_secrets();
  EvaluationContext context(const Current* current) const;
  base::Result<> add_env(const json::value* from, std::map<std::string, std::string>& to, const Current* current) const;
  async::Task<bool> step(std::size_t index);
  async::Task<base::Result<StepResult>> execute(const json::value& spec, Current current);
  async::Task<base::Result<StepResult>> run_script(const json::value& spec, Current current);
  base::Result<> read_files(StepResult& result);
  // Runs a command with the step's output handling: lines to the log, commands obeyed, the tail kept.
  struct Command {
    std::vector<std::string> argv;
    std::map<std::string, std::string> env;
    std::filesystem::path directory;
    bool obeys_commands = false;
    std::function<void(std::string_view)> on_line;
  };
  async::Task<base::Result<async::ExitStatus>> run_command(Command command, std::chrono::nanoseconds limit, Tail* tail,
                                                           json::object* outputs);
  void obey(const WorkflowCommand& command, json::object* outputs);
  void print(std::string_view line);
  void report_step(std::size_t index, json::object fields);
  std::map<std::string, std::string> base_env() const;
  std::string working_directory(std::string_view text) const;
  base::Result<std::string> hash_files(const std::vector<std::string>& patterns) const;

  // The built-in actions (runner_actions.cc, runner_build.cc).
  async::Task<base::Result<StepResult>> checkout(Current current);
  async::Task<base::Result<StepResult>> build_image(Current current);
  async::Task<base::Result<StepResult>> build_with_buildah(Current current, std::filesystem::path context,
                                                           std::filesystem::path dockerfile, std::string repository,
                                                           std::vector<std::string> tags);
  // The digest; nullopt where the Dockerfile needs buildah (runner_native.cc).
  async::Task<base::Result<std::optional<std::string>>> build_natively(std::filesystem::path context, Dockerfile file,
                                                                       std::map<std::string, std::string> build_args,
                                                                       std::string repository,
                                                                       std::vector<std::string> tags);
  async::Task<std::optional<json::value>> fetch_manifest(std::string repository, std::string reference);
  async::Task<std::optional<std::string>> layer_listing(std::string repository, std::string digest);
  async::Task<bool> put_blob(std::string repository, std::string digest, std::string content, std::string from);
  async::Task<base::Result<std::string>> tag_image(std::string repository, std::vector<std::string> tags);
  async::Task<base::Result<StepResult>> deploy(Current current);
  void report_image(const std::string& repository, const std::string& digest, const std::string& tag,
                    const std::string& dockerfile, const std::string& started);

  async::Runtime& runtime_;
  std::shared_ptr<Session> session_;
  std::shared_ptr<Reporter> reporter_;
  json::value job_;
  Places places_;
  Mask mask_;
  json::object secrets_, steps_;
  std::map<std::string, std::string> env_;  // of the workflow, the job and $GITHUB_ENV
  std::string path_;                        // what $GITHUB_PATH put in front
  Standing standing_ = Standing::kSuccess;
  bool cancelled_ = false;
  std::string stopped_commands_;  // ::stop-commands::<this>
  async::Process* running_ = nullptr;
  std::string summary_;
};

// Now, as reports have it.
std::string now_text();

}  // namespace mainstay::pipelines
