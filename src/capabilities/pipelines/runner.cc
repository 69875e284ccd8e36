#include "capabilities/pipelines/runner.h"

#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "capabilities/pipelines/job_pod.h"
#include "capabilities/pipelines/runner_job.h"

namespace mainstay::pipelines {
namespace {

constexpr std::string_view kAccount = "/var/run/secrets/kubernetes.io/serviceaccount";
constexpr std::string_view kSecrets = "/run/mainstay/secrets";

async::Task<> serve(async::Runtime& runtime, json::value job, std::string server, bool* succeeded) {
  auto session = Session::create(runtime.executor(), std::move(server), std::string(kAccount));
  if (!session) {
    std::fprintf(stderr, "runner: %s\n", session.error().message.c_str());
    co_return;
  }
  const std::string ns = base::get_string(job, "namespace"), run = base::get_string(job, "run");
  auto reporter = std::make_shared<Reporter>(runtime.executor(), *session, ns, run, base::get_string(job, "job"));
  const char* workspace = std::getenv("MAINSTAY_WORKSPACE");
  JobRunner runner(
      runtime, *session, reporter, std::move(job),
      {workspace != nullptr ? workspace : std::string(kWorkspace), "/tmp/mainstay-runner", std::string(kSecrets)});
  runtime.on_signal([&runner](int) { runner.cancel(); });
  reporter->on_stop([&runner] { runner.cancel(); });
  async::TaskGroup group(runtime.executor(), "runner");
  group.spawn("reports", reporter->run());
  std::exception_ptr fault;
  try {
    *succeeded = co_await runner.run();
  } catch (...) {
    fault = std::current_exception();
  }
  group.cancel();
  co_await group.join();
  if (fault) std::rethrow_exception(fault);
}

}  // namespace

int runner_main(int, char**) {
  const char* text = std::getenv("MAINSTAY_JOB");
  const char* server = std::getenv("MAINSTAY_SERVER");
  if (text == nullptr || server == nullptr) {
    std::fprintf(stderr,
                 "mainstay runner: runs the steps of a workflow's job inside its pod; MAINSTAY_JOB and MAINSTAY_SERVER "
                 "are not set here\n");
    return 2;
  }
  auto job = base::parse_json(text, 40);
  if (!job || !job->is_object()) {
    std::fprintf(stderr, "mainstay runner: MAINSTAY_JOB is not a job: %s\n",
                 job ? "not an object" : job.error().message.c_str());
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  bool succeeded = false;
  try {
    async::Runtime runtime(1);
    runtime.run(serve(runtime, std::move(*job), server, &succeeded));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "runner: %s\n", e.what());
    return 1;
  }
  return succeeded ? 0 : 1;
}

}  // namespace mainstay::pipelines
