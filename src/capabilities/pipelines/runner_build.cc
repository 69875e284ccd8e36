// The built-in action build-image: a Dockerfile to an image in the platform's registry.
#include <unistd.h>

#include "base/encoding.h"
#include "base/files.h"
#include "base/strings.h"
#include "capabilities/pipelines/dockerfile.h"
#include "capabilities/pipelines/runner_job.h"
#include "crypto/digest.h"

namespace mainstay::pipelines {
namespace fs = std::filesystem;
namespace {

constexpr int kTries = 4;

std::string text_of(const json::object& with, std::string_view key, std::string_view fallback = "") {
  const json::value* value = with.if_contains(key);
  return value != nullptr && value->is_string() && !value->as_string().empty() ? std::string(value->as_string())
                                                                               : std::string(fallback);
}

std::map<std::string, std::string> build_args_of(const json::object& with) {
  std::map<std::string, std::string> out;
  const std::string text = text_of(with, "build-args");
  for (std::string_view line : base::split(text, '\n')) {
    line = base::trim(line);
    if (const auto equals = line.find('='); equals != std::string_view::npos)
      out[std::string(line.substr(0, equals))] = line.substr(equals + 1);
  }
  return out;
}

// A tag from a branch's name: what a tag cannot hold becomes a dash.
std::string tag_of(std::string_view ref) {
  for (std::string_view prefix : {"refs/heads/", "refs/tags/"})
    if (ref.starts_with(prefix)) ref.remove_prefix(prefix.size());
  std::string out;
  for (const char c : ref.substr(0, 120))
    out += std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '-' ? c : '-';
  if (out.empty() || out.front() == '.' || out.front() == '-') out = "b" + out;
  return out;
}

bool registry_trouble(const std::string& output) {
  for (std::string_view mark :
       {"connection refused", "connection reset", "EOF", "503 Service Unavailable", "502 Bad Gateway", "i/o timeout",
        "broken pipe", "TLS handshake", "no route to host", "closed network connection"})
    if (output.contains(mark)) return true;
  return false;
}

}  // namespace

void JobRunner::report_image(const std::string& repository, const std::string& digest, const std::string& tag,
                             const std::string& dockerfile, const std::string& started) {
  reporter_->report(
      {{"images", json::array{json::object{
                      {"repository", repository},
                      {"digest", digest},
                      {"reference", fmt::format("{}/{}:{}", base::get_string(job_, "registry"), repository, tag)},
                      {"dockerfile", dockerfile},
                      {"startedAt", started},
                      {"finishedAt", now_text()}}}}});
}

async::Task<base::Result<JobRunner::StepResult>> JobRunner::build_image(Current current) {
  const std::string started = now_text();
  const fs::path context =
      (fs::path(current.working_directory) / text_of(current.with, "context", ".")).lexically_normal();
  const std::string name = text_of(current.with, "dockerfile", text_of(current.with, "file", "Dockerfile"));
  const fs::path dockerfile = (fs::path(name).is_absolute() ? fs::path(name) : context / name).lexically_normal();
  auto text = base::read_file(dockerfile, 1u << 20);
  if (!text)
    co_return base::fail(
        base::ErrorCode::kNotFound,
        fmt::format("there is no {} in {}; is a checkout step missing before this one?", name, context.string()));
  auto parsed = parse_dockerfile(*text);
  if (!parsed) co_return base::fail(base::ErrorCode::kInvalid, fmt::format("{}: {}", name, parsed.error().message));
  std::string image = text_of(current.with, "image", base::get_string(job_, "repository"));
  if (image.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789._-/") != std::string::npos)
    co_return base::fail(base::ErrorCode::kInvalid, fmt::format("build-image: \"{}\" is not an image's name", image));
  const std::string repository = base::get_string(job_, "namespace") + "/" + image;
  const std::vector<std::string> tags{base::get_string(job_, "commit").substr(0, 12),
                                      tag_of(base::get_string(job_, "ref"))};
  StepResult result;
  // Most Dockerfiles only copy files and set metadata: that needs neither a container nor the base unpacked.
  if (text_of(current.with, "target").empty()) {
    MAINSTAY_CO_TRY(const auto native,
                    co_await build_natively(context, *parsed, build_args_of(current.with), repository, tags));
    if (native) result.outputs["digest"] = *native;
  }
  if (result.outputs.empty()) {
    MAINSTAY_CO_TRY(result, co_await build_with_buildah(current, context, dockerfile, repository, tags));
  }
  if (!result.ok) co_return result;
  const std::string digest = base::get_string(json::value(result.outputs), "digest");
  report_image(repository, digest, tags[0], dockerfile.lexically_relative(places_.workspace), started);
  result.detail = fmt::format("{}@{}", repository, digest.substr(0, 19));
  result.outputs["image"] = fmt::format("{}/{}@{}", base::get_string(job_, "registry"), repository, digest);
  result.outputs["repository"] = repository;
  result.outputs["tag"] = tags[0];
  print(fmt::format("{}@{}", repository, digest));
  co_return result;
}

async::Task<base::Result<JobRunner::StepResult>> JobRunner::build_with_buildah(Current current, fs::path context,
                                                                               fs::path dockerfile,
                                                                               std::string repository,
                                                                               std::vector<std::string> tags) {
  const std::string file = dockerfile.lexically_relative(context);
  auto parsed = parse_dockerfile(base::read_file(dockerfile, 1u << 20).value_or(""));
  const fs::path folder = places_.temp / "build";
  MAINSTAY_CO_TRY_VOID(base::make_directories(folder, 0700));
  const std::string auth = base::to_json(json::object{
      {"auths", json::object{{session_->host(), json::object{{"auth", base::base64("token:" + session_->token())}}},
                             {base::get_string(job_, "registry"),
                              json::object{{"auth", base::base64("token:" + session_->token())}}}}}});
  MAINSTAY_CO_TRY_VOID(base::write_file(folder / "auth.json", auth, 0600));
  std::map<std::string, std::string> env = base_env();
  for (const auto& [key, value] : std::initializer_list<std::pair<const char*, std::string>>{
           {"BUILDAH_ISOLATION", "chroot"},
           {"TMPDIR", "/var/tmp"},
           {"XDG_RUNTIME_DIR", "/run"},
           {"HOME", "/root"},
           {"REGISTRY_AUTH_FILE", (folder / "auth.json").string()},
           {"_CONTAINERS_USERNS_CONFIGURED", "done"},
           {"_CONTAINERS_ROOTLESS_UID", "0"}})
    env[key] = value;
  // Straight into the registry: no copy stays in local storage but the base's layers.
  std::vector<std::string> build{
      "buildah",        "build",
      "--isolation",    "chroot",
      "--network",      "host",
      "--pull=missing", "--layers=false",
      "--format",       "oci",
      "--file",         dockerfile.string(),
      "--tag",          fmt::format("docker://{}/{}:{}", session_->host(), repository, tags[0])};
  for (const auto& [key, value] : build_args_of(current.with))
    build.insert(build.end(), {"--build-arg", fmt::format("{}={}", key, value)});
  build.insert(build.end(), {"--label", "org.opencontainers.image.revision=" + base::get_string(job_, "commit")});
  if (std::string target = text_of(current.with, "target"); !target.empty())
    build.insert(build.end(), {"--target", target});
  build.push_back(context.string());
  StepResult result;
  for (int attempt = 1;; ++attempt) {
    std::size_t step = 0;
    Tail tail(40, 8u << 10);
    Command command{build, env, context, false, [&](std::string_view line) {
                      if (const std::size_t n = step_of_line(line); n > 0) step = n;
                    }};
    MAINSTAY_CO_TRY(const async::ExitStatus status,
                    co_await run_command(std::move(command), current.limit, &tail, nullptr));
    if (status.ok()) break;
    if (attempt < kTries && !cancelled_ && registry_trouble(tail.text())) {
      MAINSTAY_CO_TRY_VOID(co_await session_->wait_until_up());
      continue;
    }
    result.ok = false;
    result.exit_code = status.code;
    result.message = tail.text();
    if (const Instruction* at = parsed ? parsed->step(step) : nullptr)
      result.message += fmt::format("\n{}:{}: {} {}", file, at->line, at->keyword,
                                    at->arguments.substr(0, at->arguments.find('\n')).substr(0, 200));
    result.message += fmt::format("\nbuildah failed with exit code {}", status.code);
    co_return result;
  }
  MAINSTAY_CO_TRY(const std::string digest, co_await tag_image(repository, tags));
  result.outputs["digest"] = digest;
  co_return result;
}

// Gives the image at the first tag the others as well; returns its digest.
async::Task<base::Result<std::string>> JobRunner::tag_image(std::string repository, std::vector<std::string> tags) {
  constexpr std::string_view kAccept =
      "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, "
      "application/vnd.oci.image.index.v1+json";
  net::ClientRequest get;
  get.target = fmt::format("/v2/{}/manifests/{}", repository, tags[0]);
  get.headers.set("Accept", std::string(kAccept));
  MAINSTAY_CO_TRY(const Answer manifest, co_await session_->send(std::move(get)));
  if (manifest.status != 200)
    co_return base::fail(base::ErrorCode::kUnavailable,
                         fmt::format("the registry answers {} for {}:{}: {}", manifest.status, repository, tags[0],
                                     manifest.body.substr(0, 300)));
  for (std::size_t i = 1; i < tags.size(); ++i) {
    net::ClientRequest put;
    put.method = "PUT";
    put.target = fmt::format("/v2/{}/manifests/{}", repository, tags[i]);
    put.headers.set("Content-Type", std::string(manifest.headers.get("Content-Type")));
    put.body = manifest.body;
    MAINSTAY_CO_TRY(const Answer stored, co_await session_->send(std::move(put)));
    if (stored.status != 201)
      co_return base::fail(
          base::ErrorCode::kUnavailable,
          fmt::format("the registry answers {} to the tag {}: {}", stored.status, tags[i], stored.body.substr(0, 300)));
  }
  co_return "sha256:" + crypto::sha256_hex(manifest.body);
}

}  // namespace mainstay::pipelines
