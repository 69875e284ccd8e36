#include "capabilities/pipelines/progress.h"

#include "base/status.h"

namespace mainstay::pipelines {
namespace {

constexpr std::size_t kMaxMessage = 16u << 10;
constexpr std::size_t kMaxOutputs = 64u << 10;
constexpr std::string_view kExtra = "mainstay.dev/workflow-run";

std::string cut(std::string text) {
  if (text.size() > kMaxMessage) text = "…" + text.substr(text.size() - kMaxMessage);
  // A cut may have fallen into a character: its rest goes.
  std::size_t at = text.starts_with("…") ? 3 : 0;
  while (at < text.size() && at > 0 && (static_cast<unsigned char>(text[at]) & 0xc0) == 0x80) text.erase(at, 1);
  return text;
}

void copy_text(const json::value& from, std::string_view key, json::object& to) {
  const json::value* value = from.is_object() ? from.as_object().if_contains(key) : nullptr;
  if (value != nullptr && value->is_string()) to[key] = cut(std::string(value->as_string()));
}

bool is_phase(std::string_view phase) { return phase == "Pending" || phase == "Running" || is_final(phase); }

void apply_steps(json::object& job, const json::value& report) {
  json::value* steps = job.if_contains("steps");
  if (steps == nullptr || !steps->is_array()) return;
  for (const json::value& said : base::get_array(report, "steps")) {
    const std::int64_t index = base::get_int(said, "index", -1);
    if (index < 0 || index >= static_cast<std::int64_t>(steps->as_array().size())) continue;
    json::object& step = steps->as_array()[static_cast<std::size_t>(index)].as_object();
    if (const std::string phase = base::get_string(said, "phase"); is_phase(phase)) step["phase"] = phase;
    for (std::string_view key : {"name", "startedAt", "finishedAt", "detail", "message"}) copy_text(said, key, step);
    if (const json::value* code = said.as_object().if_contains("exitCode"); code != nullptr && code->is_int64())
      step["exitCode"] = *code;
    if (base::get_bool(said, "ignored")) step["ignored"] = true;
  }
}

void apply_images(json::value& run, const json::value& report) {
  for (const json::value& said : base::get_array(report, "images")) {
    const std::string digest = base::get_string(said, "digest"), repository = base::get_string(said, "repository");
    // A run speaks for images of its own team only.
    if (digest.empty() || !repository.starts_with(base::get_string(run, "metadata.namespace") + "/")) continue;
    json::value* images = base::find(run, "status.images");
    if (images == nullptr || !images->is_array()) {
      base::set(run, "status.images", json::array());
      images = base::find(run, "status.images");
    }
    if (images->as_array().size() >= 50 || find_entry(images->as_array(), "digest", digest) != nullptr) continue;
    json::object image;
    for (std::string_view key : {"repository", "digest", "reference", "dockerfile", "startedAt", "finishedAt"})
      copy_text(said, key, image);
    images->as_array().push_back(std::move(image));
  }
}

}  // namespace

void check_speaks_for_run(const api::UserInfo& user, const reconcile::Name& run) {
  if (user.in_group(api::kMastersGroup) || user.in_group(api::kAdminGroup)) return;
  const auto extra = user.extra.find(std::string(kExtra));
  if (extra != user.extra.end() && std::ranges::find(extra->second, run.ns + "/" + run.name) != extra->second.end())
    return;
  throw base::forbidden(fmt::format("only a job of workflow run {}/{} may report for it", run.ns, run.name));
}

bool apply_report(json::value& run, const json::value& report, std::string_view now) {
  if (is_final(base::get_string(run, "status.phase"))) return false;
  json::object* job = find_entry(jobs_of(run), "name", base::get_string(report, "job"));
  if (job == nullptr || is_final(text_in(*job, "phase"))) return false;
  apply_images(run, report);
  apply_steps(*job, report);
  const std::string phase = base::get_string(report, "phase");
  if (phase == "Running" && text_in(*job, "startedAt").empty()) (*job)["startedAt"] = now;
  if (is_phase(phase) && !is_final(phase)) (*job)["phase"] = phase;
  if (const json::value* outputs = report.as_object().if_contains("outputs");
      outputs != nullptr && outputs->is_object()) {
    if (base::to_json(*outputs).size() <= kMaxOutputs) (*job)["outputs"] = *outputs;
  }
  if (is_final(phase)) finish_job(*job, phase, cut(base::get_string(report, "message")), now);
  return true;
}

async::Task<net::Response> handle_progress(std::shared_ptr<RunStore> store,
                                           std::shared_ptr<api::RequestContext> context) {
  const reconcile::Name name{context->params.at("namespace"), context->params.at("name")};
  check_speaks_for_run(context->user, name);
  const std::string body = co_await context->http->body->read_all(kMaxReport);
  auto report = base::parse_json(body, 16);
  if (!report || !report->is_object()) throw base::bad_request("a report is a JSON object");
  bool goes_on = true;
  co_await store->change(name, [&](json::value& run) { goes_on = apply_report(run, *report, store->now()); });
  co_return net::Response::json(200, json::object{{"continue", goes_on}});
}

}  // namespace mainstay::pipelines
