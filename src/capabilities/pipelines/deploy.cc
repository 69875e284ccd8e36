#include "capabilities/pipelines/deploy.h"

#include "base/log.h"
#include "base/status.h"
#include "base/strings.h"
#include "base/utf8.h"
#include "capabilities/pipelines/delivery/releases.h"
#include "capabilities/pipelines/progress.h"

namespace mainstay::pipelines {
namespace {

constexpr std::chrono::minutes kAttestLimit{3};
constexpr std::chrono::minutes kRolloutLimit{11};
constexpr std::chrono::seconds kTick{10};
constexpr std::size_t kMaxScore = 256u << 10;

// Messages end in a pod's log, whose bytes need not be UTF-8: the runner would not find the line's result.
std::string line(json::object value) { return base::utf8_text(base::to_json(json::value(std::move(value)))) + "\n"; }

// The first port that the image's configuration exposes ("8080/tcp"); 0 where it names none.
std::int64_t exposed_port(const json::value& config) {
  std::int64_t lowest = 0;
  for (const auto& entry : base::get_object(config, "config.ExposedPorts")) {
    const std::string_view text = entry.key();
    if (text.ends_with("/udp")) continue;
    std::int64_t port = 0;
    for (const char c : text.substr(0, text.find('/')))
      port = std::isdigit(static_cast<unsigned char>(c)) && port < 65536 ? port * 10 + (c - '0') : 65536;
    if (port > 0 && port < 65536 && (lowest == 0 || port < lowest)) lowest = port;
  }
  return lowest;
}

}  // namespace

Deployer::Deployer(platform::Host& host, std::shared_ptr<RunStore> store, std::shared_ptr<Attestations> attestations,
                   std::shared_ptr<Releases> releases)
    : host_(host),
      client_(host.client("pipelines")),
      store_(std::move(store)),
      attestations_(std::move(attestations)),
      releases_(std::move(releases)),
      changed_(std::make_shared<async::Event>(host.runtime().executor())) {
  resources_ = std::make_shared<DeployResources>(host, changed_);
}

void Deployer::start() {
  resources_->start();
  git_ = host_.find<platform::GitReader>();
  images_ = host_.find<platform::ImageStore>();
  for (const auto& resource : {client::resources::kDeployments, client::resources::kReplicaSets,
                               client::resources::kPods, client::resources::kWorkflowRuns})
    host_.caches().of(resource)->on_change(
        [changed = changed_](const client::ObjectPtr&, const client::ObjectPtr&) { changed->notify_all(); });
}

async::Task<net::Response> Deployer::handle(std::shared_ptr<api::RequestContext> context) {
  Request request;
  request.run = {context->params.at("namespace"), context->params.at("name")};
  check_speaks_for_run(context->user, request.run);
  const auto body = base::parse_json(co_await context->http->body->read_all(64u << 10), 8);
  if (!body || !body->is_object())
    throw base::bad_request("the request is a JSON object with environment, score and image");
  request.environment = base::get_string(*body, "environment");
  request.score = base::get_string(*body, "score");
  request.image = base::get_string(*body, "image");
  net::Response response{200,
                         {},
                         net::StreamBody{[self = shared_from_this(), request](net::BodyWriter& writer) {
                                           return stream(self, request, writer);
                                         },
                                         std::nullopt}};
  response.headers.set("Content-Type", "application/x-ndjson");
  co_return response;
}

async::Task<> Deployer::stream(std::shared_ptr<Deployer> self, Request request, net::BodyWriter& writer) {
  base::Result<Outcome> outcome = base::fail(base::ErrorCode::kInternal, "");
  try {
    outcome = co_await self->deploy(request, writer);
  } catch (const base::StatusError& error) {
    outcome = base::fail(base::ErrorCode::kInternal, error.message());
  }
  if (!outcome) {
    co_await writer.write(line({{"result", "Failed"}, {"message", outcome.error().message}}));
    co_return;
  }
  if (outcome->deployed) {
    co_await self->store_->change(request.run, [&](json::value& run) {
      json::value* all = base::find(run, "status.deployments");
      if (all == nullptr || !all->is_array()) {
        base::set(run, "status.deployments", json::array());
        all = base::find(run, "status.deployments");
      }
      for (const json::value& known : all->as_array())
        if (base::get_string(known, "namespace") == outcome->ns && base::get_string(known, "name") == outcome->name)
          return;
      all->as_array().push_back(
          json::object{{"namespace", outcome->ns}, {"name", outcome->name}, {"url", outcome->url}});
    });
  }
  co_await writer.write(line({{"result", outcome->deployed ? "Succeeded" : "Superseded"},
                              {"namespace", outcome->ns},
                              {"name", outcome->name},
                              {"url", outcome->url},
                              {"message", outcome->note}}));
}

base::Result<> Deployer::check_environment(const std::string& team, const std::string& environment) const {
  const auto ns = host_.caches().of(client::resources::kNamespaces)->get("", team + "-" + environment);
  if (ns && base::label(*ns, "mainstay.dev/team") == team &&
      base::label(*ns, "mainstay.dev/environment") == environment)
    return {};
  std::vector<std::string> names;
  if (const auto object = host_.caches().of(client::resources::kTeams)->get("", team))
    for (const json::value& known : base::get_array(*object, "spec.environments"))
      names.push_back(base::get_string(known, "name"));
  return base::fail(base::ErrorCode::kNotFound,
                    fmt::format("team {} has no environment \"{}\" (there are: {})", team, environment,
                                names.empty() ? "none" : base::join(names, ", ")));
}

std::string Deployer::superseded_by(const json::value& run) const {
  const std::string name = base::get_string(run, "metadata.name");
  for (const auto& other :
       host_.caches().of(client::resources::kWorkflowRuns)->list(base::get_string(run, "metadata.namespace"))) {
    const bool same = base::get_string(*other, "spec.repository") == base::get_string(run, "spec.repository") &&
                      base::get_string(*other, "spec.ref") == base::get_string(run, "spec.ref") &&
                      base::get_string(*other, "spec.workflow") == base::get_string(run, "spec.workflow");
    if (same && base::get_int(*other, "spec.number") > base::get_int(run, "spec.number") &&
        base::get_string(*other, "status.phase") != "Cancelled" &&
        (base::get_string(*other, "spec.rerunOf").empty() ||
         base::get_string(*other, "spec.commit") == base::get_string(run, "spec.commit")))
      return fmt::format("run {} is of a newer push", base::get_string(*other, "metadata.name"));
  }
  // A run made again has the newest number, whatever its commit: it deploys what is still the head of its branch.
  if (!base::get_string(run, "spec.rerunOf").empty()) {
    const auto repository =
        host_.caches()
            .of(client::resources::kRepositories)
            ->get(base::get_string(run, "metadata.namespace"), base::get_string(run, "spec.repository"));
    const std::string ref = base::get_string(run, "spec.ref");
    const json::value* head = repository ? base::find(*repository, {"status", "refs", ref, "sha"}) : nullptr;
    if (head != nullptr && head->is_string() && *head != json::value(base::get_string(run, "spec.commit")))
      return fmt::format("{} has moved on since this commit; to go back, use: mainstay release rollback", ref);
  }
  return "";
}

std::string Deployer::url(const std::string& workload, const std::string& environment, const std::string& team) const {
  const auto port = host_.config().https.port;
  return fmt::format("https://{}.{}.{}.{}{}", workload, environment, team, host_.config().domain,
                     port == 443 ? "" : fmt::format(":{}", port));
}

// The run once everything it built is attested: what is deployed before would be refused.
async::Task<base::Result<json::value>> Deployer::attested(Request request) {
  const auto deadline = std::chrono::steady_clock::now() + kAttestLimit;
  for (;;) {
    const json::value run = co_await client_.get(client::resources::kWorkflowRuns, request.run.ns, request.run.name);
    for (const json::value& image : base::get_array(run, "status.images"))
      if (std::string why = base::get_string(image, "message"); !why.empty())
        co_return base::fail(base::ErrorCode::kUnavailable, why);
    bool waits = false;
    if (attestations_->available())
      for (const json::value& image : base::get_array(run, "status.images"))
        waits = waits || base::get_string(image, "provenance").empty();
    if (!waits) co_return run;
    attestations_->begin(run);
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left.count() <= 0)
      co_return base::fail(base::ErrorCode::kTimeout, "the image was not attested within 3 minutes");
    co_await changed_->wait_for(std::min<std::chrono::nanoseconds>(left, kTick));
  }
}

std::string Deployer::host_suffix(const std::string& environment, const std::string& team) const {
  return fmt::format(".{}.{}.{}", environment, team, host_.config().domain);
}

async::Task<base::Result<Delivery>> Deployer::delivery_of(json::value run, Request request) {
  DeployTarget target;
  target.team = request.run.ns;
  target.environment = request.environment;
  target.repository = base::get_string(run, "spec.repository");
  target.commit = base::get_string(run, "spec.commit");
  target.run = request.run.name;
  target.host = host_suffix(target.environment, target.team);
  const json::array& images = base::get_array(run, "status.images");
  const json::value* image = images.empty() ? nullptr : &images[images.size() - 1];
  for (const json::value& built : images)
    if (!request.image.empty() && (base::get_string(built, "digest") == request.image ||
                                   base::get_string(built, "reference").ends_with(request.image)))
      image = &built;
  if (image != nullptr)
    target.image = fmt::format("{}/{}@{}", host_.config().registry_host(), base::get_string(*image, "repository"),
                               base::get_string(*image, "digest"));
  const std::string file = request.score.empty() ? "score.yaml" : request.score;
  auto text = co_await git_->read_file(target.team, target.repository, target.commit, file, kMaxScore);
  if (text) co_return Delivery{std::move(target), file, std::move(*text)};
  if (text.error().code != base::ErrorCode::kNotFound || !request.score.empty())
    co_return std::unexpected(text.error());
  if (target.image.empty())
    co_return base::fail(
        base::ErrorCode::kInvalid,
        "there is nothing to deploy: no step before this one built an image, and there is no score.yaml");
  if (images_) {
    if (auto found = platform::ImageReference::parse(target.image))
      if (auto content = co_await images_->image(*found)) target.exposed_port = exposed_port(content->config);
  }
  co_return Delivery{std::move(target), "", ""};
}

base::Result<RenderedWorkload> Deployer::render(const Delivery& delivery) {
  if (delivery.file.empty()) return render_default(delivery.target);
  return render_score(delivery.file, delivery.score, delivery.target);
}

async::Task<base::Result<RenderedWorkload>> Deployer::apply(Delivery delivery, net::BodyWriter* writer) {
  MAINSTAY_CO_TRY_VOID(check_environment(delivery.target.team, delivery.target.environment));
  MAINSTAY_CO_TRY(RenderedWorkload workload, render(delivery));
  if (!workload.resources.empty()) {
    MAINSTAY_CO_TRY(delivery.target.resources, co_await resources_->resolve(workload, delivery.target, writer));
    MAINSTAY_CO_TRY(workload, render(delivery));
  }
  if (!workload.service.is_null()) co_await client_.apply(client::resources::kServices, workload.service);
  co_await client_.apply(client::resources::kDeployments, workload.deployment);
  co_return workload;
}

async::Task<base::Result<Deployer::Outcome>> Deployer::deliver(Delivery delivery, net::BodyWriter* writer) {
  MAINSTAY_CO_TRY(RenderedWorkload workload, co_await apply(delivery, writer));
  if (writer != nullptr)
    co_await writer->write(line({{"line", fmt::format("{}/{} applied", workload.ns, workload.name)}}));
  MAINSTAY_CO_TRY_VOID(co_await wait(workload, delivery.target.run, writer));
  co_await resources_->settle(workload);
  const DeployTarget& target = delivery.target;
  co_return Outcome{true, workload.name, workload.ns,
                    workload.service.is_null() ? "" : url(workload.name, target.environment, target.team), ""};
}

async::Task<base::Result<Deployer::Outcome>> Deployer::deploy(Request request, net::BodyWriter& writer) {
  MAINSTAY_CO_TRY(const json::value run, co_await attested(request));
  if (request.environment.empty()) request.environment = base::get_string(run, "spec.environment", "dev");
  MAINSTAY_CO_TRY_VOID(check_environment(request.run.ns, request.environment));
  MAINSTAY_CO_TRY(Delivery delivery, co_await delivery_of(run, request));
  MAINSTAY_CO_TRY(const RenderedWorkload workload, render(delivery));
  Outcome outcome{false, workload.name, workload.ns, "", ""};
  // An older push must not overtake a newer one.
  if (std::string newer = superseded_by(run); !newer.empty()) {
    outcome.note = "not deployed: " + newer;
    co_return outcome;
  }
  const Releases::Recorded release = co_await releases_->record(run, delivery, workload.name);
  if (!release.waits.empty()) {
    outcome.note = release.waits;
    co_return outcome;
  }
  auto delivered = co_await deliver(delivery, &writer);
  if (!delivered && delivered.error().code == base::ErrorCode::kConflict) {
    co_await releases_->overtaken({request.run.ns, release.name}, request.environment, delivered.error().message);
    outcome.note = "not deployed: " + delivered.error().message;
    co_return outcome;
  }
  co_await releases_->settle({request.run.ns, release.name}, request.environment, delivered ? delivered->url : "",
                             delivered ? "" : delivered.error().message);
  co_return delivered;
}

async::Task<base::Result<>> Deployer::wait(RenderedWorkload workload, std::string run, net::BodyWriter* writer) {
  const auto deadline = std::chrono::steady_clock::now() + kRolloutLimit;
  std::string said;
  for (;;) {
    const auto deployment = co_await client_.find(client::resources::kDeployments, workload.ns, workload.name);
    if (!deployment)
      co_return base::fail(
          base::ErrorCode::kNotFound,
          fmt::format("the deployment {}/{} was deleted while it rolled out", workload.ns, workload.name));
    const std::string current =
        base::annotation(*base::find(*deployment, "spec.template"), "mainstay.dev/workflow-run");
    if (!current.empty() && current != run)
      co_return base::fail(base::ErrorCode::kConflict,
                           fmt::format("run {} deployed something else while this rolled out", current));
    const Rollout rollout =
        rollout_of(*deployment, host_.caches().of(client::resources::kReplicaSets)->list(workload.ns),
                   host_.caches().of(client::resources::kPods)->list(workload.ns), run);
    if (rollout.state == Rollout::State::kDone) co_return base::Result<>();
    if (rollout.state == Rollout::State::kFailed) {
      std::string why = fmt::format("{}/{}: {}", workload.ns, workload.name, rollout.message);
      if (!rollout.failed_pod.empty()) {
        if (const std::string probe = co_await last_unhealthy(workload.ns, rollout.failed_pod); !probe.empty())
          why += "\n" + probe;
        const std::string log = co_await last_lines(workload.ns, rollout.failed_pod);
        if (!log.empty()) {
          why += fmt::format("\nthe last lines of pod {}:\n{}", rollout.failed_pod, log);
        } else if (workload.port > 0 && !rollout.waits_for_room && rollout.message.contains("ready")) {
          why +=
              fmt::format("\nnothing answers on port {}: EXPOSE the port in the Dockerfile, or name it in score.yaml",
                          workload.port);
        }
      }
      if (rollout.old_serves) why += "\nwhat was deployed before goes on serving";
      co_return base::fail(base::ErrorCode::kUnavailable, why);
    }
    if (rollout.message != said) {
      said = rollout.message;
      if (writer != nullptr) co_await writer->write(line({{"line", said}}));
    }
    if (std::chrono::steady_clock::now() > deadline)
      co_return base::fail(base::ErrorCode::kTimeout, fmt::format("the rollout did not end: {}", rollout.message));
    // The runner sees in time whether anybody is still here.
    if (!co_await changed_->wait_for(kTick) && writer != nullptr) co_await writer->write("\n");
  }
}

async::Task<std::string> Deployer::last_unhealthy(std::string ns, std::string pod) {
  client::ListQuery query;
  query.field_selector = fmt::format("involvedObject.name={},reason=Unhealthy", pod);
  std::string newest, message;
  try {
    const json::value events = co_await client_.list(client::resources::kEvents, ns, query);
    for (const json::value& event : base::get_array(events, "items"))
      if (std::string at = base::get_string(event, "lastTimestamp"); at >= newest) {
        newest = std::move(at);
        message = base::get_string(event, "message").substr(0, 500);
      }
  } catch (const base::StatusError& error) {
    base::log::debug("pipelines", "events of {}/{}: {}", ns, pod, error.message());
  }
  co_return message;
}

async::Task<std::string> Deployer::last_lines(std::string ns, std::string pod) {
  std::string text;
  for (const char* previous : {"true", "false"}) {
    net::ClientRequest request;
    request.target =
        fmt::format("/api/v1/namespaces/{}/pods/{}/log?tailLines=20&limitBytes=8192&previous={}", ns, pod, previous);
    try {
      auto response = co_await client_.raw(std::move(request));
      text = co_await response.body->read_all(64u << 10);
      if (response.status == 200 && !base::trim(text).empty()) co_return std::string(base::trim(text));
    } catch (const base::StatusError& error) {
      base::log::debug("pipelines", "log of {}/{}: {}", ns, pod, error.message());
    }
  }
  co_return "";
}

}  // namespace mainstay::pipelines
