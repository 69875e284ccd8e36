#include "capabilities/pipelines/push_lines.h"

#include <algorithm>

#include "base/clock.h"
#include "base/strings.h"
#include "capabilities/pipelines/run_store.h"

namespace mainstay::pipelines {

std::string took(std::string_view from, std::string_view to) {
  const auto a = base::parse_rfc3339(from), b = base::parse_rfc3339(to);
  if (!a || !b) return "";
  const double seconds = std::max(0.0, std::chrono::duration<double>(*b - *a).count());
  if (seconds < 10) return fmt::format("{:.2f}s", seconds);
  if (seconds < 100) return fmt::format("{:.1f}s", seconds);
  return fmt::format("{}m{:02}s", static_cast<int>(seconds) / 60, static_cast<int>(seconds) % 60);
}

void RunLines::add(std::vector<std::string>& out, const std::string& key, std::string line) {
  if (!said_.insert(key).second) return;
  for (std::string_view part : base::split(line, '\n')) out.push_back(prefix_ + std::string(part));
}

void RunLines::steps(const json::value& run, std::vector<std::string>& out) {
  const json::array& jobs = base::get_array(run, "status.jobs");
  for (std::size_t j = 0; j < jobs.size(); ++j) {
    const std::string job = base::get_string(jobs[j], "name");
    const json::array& steps = base::get_array(jobs[j], "steps");
    for (std::size_t i = 0; i < steps.size(); ++i) {
      const std::string phase = base::get_string(steps[i], "phase"), name = base::get_string(steps[i], "name");
      const std::string label = jobs.size() > 1 ? fmt::format("{} / {}", job, name) : name;
      const std::string time = took(base::get_string(steps[i], "startedAt"), base::get_string(steps[i], "finishedAt"));
      const std::string detail = base::get_string(steps[i], "detail"), message = base::get_string(steps[i], "message");
      const std::string key = fmt::format("{}/{}", j, i);
      if (phase == "Succeeded") {
        add(out, key, fmt::format("{:<9} {:>6}{}", label, time, detail.empty() ? "" : "  " + detail));
      } else if (phase == "Failed" || phase == "Cancelled") {
        const bool ignored = base::get_bool(steps[i], "ignored");
        std::string line = fmt::format("{:<9} {:>6}  {}{}", label, time,
                                       phase == "Cancelled" ? "CANCELLED"
                                       : ignored            ? "failed (continue-on-error)"
                                                            : "FAILED",
                                       detail.empty() ? "" : "  " + detail);
        if (!message.empty()) line += "\n" + message;
        add(out, key, line);
      }
    }
    const std::string phase = base::get_string(jobs[j], "phase"), message = base::get_string(jobs[j], "message");
    if (phase == "Failed" && !message.empty())
      add(out, fmt::format("job {}", j), fmt::format("job {} FAILED: {}", job, message));
    if (phase == "Skipped" && jobs.size() > 1) add(out, fmt::format("job {}", j), fmt::format("job {} skipped", job));
  }
}

void RunLines::images(const json::value& run, std::vector<std::string>& out) {
  for (const json::value& image : base::get_array(run, "status.images")) {
    const std::string digest = base::get_string(image, "digest");
    if (!base::get_string(image, "sbom").empty())
      add(out, "scan " + digest,
          fmt::format("{:<9} {:>6}  {} packages", "scan", base::get_string(image, "scannedIn"),
                      base::get_int(image, "packages")));
    if (!base::get_string(image, "provenance").empty())
      add(out, "attest " + digest,
          fmt::format("{:<9} {:>6}  signed provenance", "attest", base::get_string(image, "attestedIn")));
    if (const std::string message = base::get_string(image, "message"); !message.empty())
      add(out, "image " + digest, fmt::format("FAILED {}", message));
  }
}

std::vector<std::string> RunLines::next(const json::value& run) {
  std::vector<std::string> out;
  const std::string name = base::get_string(run, "metadata.name");
  if (prefixed_) prefix_ = fmt::format("[{}] ", base::get_string(run, "spec.workflow"));
  add(out, "run",
      fmt::format("run {} of {}", name,
                  base::get_string(run, "spec.workflow") == "default" ? "the default workflow"
                                                                      : base::get_string(run, "spec.workflow")));
  for (const json::value& note : base::get_array(run, "status.notes"))
    if (note.is_string()) add(out, "note " + std::string(note.as_string()), "note: " + std::string(note.as_string()));
  // Steps and what happens beside them, in the order they ended: images are attested while the next step begins.
  images(run, out);
  steps(run, out);
  const std::string phase = base::get_string(run, "status.phase");
  if (!is_final(phase)) return out;
  finished_ = true;
  const std::string time = took(base::get_string(run, "status.startedAt"), base::get_string(run, "status.finishedAt"));
  if (phase == "Succeeded") {
    for (const json::value& deployed : base::get_array(run, "status.deployments"))
      if (const std::string url = base::get_string(deployed, "url"); !url.empty()) add(out, "url " + url, url);
    if (base::get_array(run, "status.deployments").empty()) add(out, "end", fmt::format("succeeded in {}", time));
  } else {
    // A failure that a step's own lines have told of needs no second telling.
    const std::string message = base::get_string(run, "status.message");
    const bool untold = base::get_array(run, "status.jobs").empty();
    add(out, "end",
        fmt::format("*** run {} {} after {} ***", name, phase == "Failed" ? "FAILED" : "was CANCELLED", time));
    if (!message.empty() && untold) add(out, "why", message);
  }
  return out;
}

}  // namespace mainstay::pipelines
