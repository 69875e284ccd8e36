#include "capabilities/cloud/terraform/module.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "crypto/digest.h"
#include "platform/interfaces/images.h"

namespace mainstay::cloud {
using base::ErrorCode;
using base::fail;
namespace {

// The token and the inputs come by file: a process list shows none of them. The plan that is applied is the one that
// was planned; where the platform is away for a while (a restart), the backend's client tries again.
constexpr std::string_view kScript = R"SH(umask 077
say() { echo "mainstay: $*"; }
run() {
  account=/var/run/secrets/kubernetes.io/serviceaccount
  inputs=/run/mainstay/inputs
  cd /work && cp -R /run/mainstay/in/. . || return 90
  . "$inputs/environment"
  tf="$MAINSTAY_PROGRAM"
  if [ -z "$tf" ]; then
    tf=$(command -v terraform || command -v tofu) || { say "the image has neither terraform nor tofu in its PATH"; return 91; }
  fi
  export HOME=/work/.home TF_IN_AUTOMATION=1 TF_INPUT=0 CHECKPOINT_DISABLE=1
  mkdir -p "$HOME"
  export TF_HTTP_ADDRESS="$MAINSTAY_STATE" TF_HTTP_LOCK_ADDRESS="$MAINSTAY_STATE" TF_HTTP_UNLOCK_ADDRESS="$MAINSTAY_STATE"
  export TF_HTTP_RETRY_MAX=60 TF_HTTP_RETRY_WAIT_MIN=1 TF_HTTP_RETRY_WAIT_MAX=5
  TF_HTTP_USERNAME=run
  TF_HTTP_PASSWORD=$(cat "$account/token")
  TF_HTTP_CLIENT_CA_CERTIFICATE_PEM=$(cat "$account/ca.crt")
  export TF_HTTP_USERNAME TF_HTTP_PASSWORD TF_HTTP_CLIENT_CA_CERTIFICATE_PEM
  "$tf" version || return 92
  "$tf" init -input=false -no-color || return 93
  if [ "$MAINSTAY_STAGE" = apply ]; then
    cp "$inputs/plan" /work/mainstay.tfplan || return 94
    "$tf" apply -input=false -no-color -lock-timeout=60s /work/mainstay.tfplan
    return $?
  fi
  "$tf" plan -input=false -no-color -lock-timeout=60s -detailed-exitcode -out=/work/mainstay.tfplan $MAINSTAY_FLAGS -var-file="$inputs/inputs.tfvars.json"
  code=$?
  [ "$code" = 0 ] || [ "$code" = 2 ] || return "$code"
  "$tf" show -no-color /work/mainstay.tfplan > /run/mainstay/out/plan.txt || return 95
  cp /work/mainstay.tfplan /run/mainstay/out/plan || return 96
  return "$code"
}
{ run; echo $? > /run/mainstay/out/code; } 2>&1 | tee /run/mainstay/out/log
)SH";

bool is_name(std::string_view text) {
  return !text.empty() && !std::isdigit(static_cast<unsigned char>(text.front())) &&
         std::ranges::all_of(text, [](unsigned char c) { return std::isalnum(c) || c == '_'; });
}

std::int64_t number_before(std::string_view line, std::string_view words) {
  const auto at = line.find(words);
  if (at == std::string_view::npos) return 0;
  std::size_t begin = at;
  while (begin > 0 && std::isdigit(static_cast<unsigned char>(line[begin - 1]))) --begin;
  std::int64_t out = 0;
  for (const char c : line.substr(begin, std::min<std::size_t>(at - begin, 9))) out = out * 10 + (c - '0');
  return out;
}

json::object env(std::string_view name, const std::string& value) { return {{"name", name}, {"value", value}}; }
json::object mount(std::string_view name, std::string_view path, bool read_only) {
  return {{"name", name}, {"mountPath", path}, {"readOnly", read_only}};
}
json::object host_path(std::string_view name, const std::string& path, std::string_view type) {
  return {{"name", name}, {"hostPath", json::object{{"path", path}, {"type", type}}}};
}

}  // namespace

bool is_over(std::string_view phase) {
  return phase == "Planned" || phase == "Applied" || phase == "Discarded" || phase == "Failed";
}

base::Result<> check_module_path(std::string_view path) {
  const auto bad = [&](std::string_view why) {
    return fail(ErrorCode::kInvalid, fmt::format("the module's file \"{}\": {}", path, why));
  };
  if (path.empty() || path.size() > 500) return bad("a name has 1 to 500 bytes");
  if (path.front() == '/') return bad("a name is relative");
  if (path.find('\0') != std::string_view::npos) return bad("no zero bytes");
  for (const std::string_view part : base::split(path, '/'))
    if (part.empty() || part == "." || part == "..") return bad("no empty parts, no \".\" and no \"..\"");
  return {};
}

base::Result<> check_image(std::string_view image, std::string_view team, const base::Config& config) {
  MAINSTAY_TRY(const auto reference, platform::ImageReference::parse(image));
  if (!config.is_own_registry(reference.registry)) return {};
  const std::string owner = reference.repository.substr(0, reference.repository.find('/'));
  if (owner == "library" || owner.contains('.') || (!team.empty() && owner == team)) return {};
  return fail(ErrorCode::kForbidden, fmt::format("the image {} belongs to {}", image, owner));
}

PlanSummary summary_of(std::string_view plan_text) {
  PlanSummary out;
  for (const std::string_view line : base::split(plan_text, '\n')) {
    if (!line.starts_with("Plan: ")) continue;
    out.add = number_before(line, " to add");
    out.change = number_before(line, " to change");
    out.destroy = number_before(line, " to destroy");
  }
  out.text = fmt::format("{} to add, {} to change, {} to destroy", out.add, out.change, out.destroy);
  return out;
}

std::string masked(std::string text, const std::vector<std::string>& secrets) {
  constexpr std::string_view kMask = "***";
  std::vector<std::string_view> all;
  for (const std::string& secret : secrets)
    for (const std::string_view line : base::split(secret, '\n'))
      if (base::trim(line).size() >= 4) all.push_back(base::trim(line));
  // The longest first: of one that is a part of another, nothing is left.
  std::ranges::sort(all, std::ranges::greater(), &std::string_view::size);
  for (const std::string_view secret : all)
    for (std::size_t at = text.find(secret); at != std::string::npos; at = text.find(secret, at + kMask.size()))
      text.replace(at, secret.size(), kMask);
  return text;
}

std::string head_of(std::string text, std::size_t most) {
  if (text.size() <= most) return text;
  const auto end = text.rfind('\n', most);
  text.resize(end == std::string::npos || end == 0 ? most : end + 1);
  return text + "(cut here)\n";
}

std::string tail_of(std::string text, std::size_t most) {
  if (text.size() <= most) return text;
  const auto begin = text.find('\n', text.size() - most);
  return "(cut here)\n" + text.substr(begin == std::string::npos ? text.size() - most : begin + 1);
}

Outputs outputs_of(const json::value& state) {
  Outputs out;
  for (const auto& entry : base::get_object(state, "outputs")) {
    const json::value* value = base::find(entry.value(), "value");
    if (value == nullptr) continue;
    (base::get_bool(entry.value(), "sensitive") ? out.sensitive : out.plain)[entry.key()] = *value;
  }
  return out;
}

std::string as_text(const json::value& value) {
  return value.is_string() ? std::string(value.as_string()) : base::to_json(value);
}

base::Result<std::string> environment_file(const std::map<std::string, std::string>& variables) {
  std::string out;
  for (const auto& [name, value] : variables) {
    if (!is_name(name))
      return fail(ErrorCode::kInvalid, fmt::format("secretInputs: \"{}\" is no name of an environment variable", name));
    for (const std::string_view own : {"TF_HTTP_", "TF_CLI_", "TF_LOG", "LD_", "MAINSTAY_"})
      if (name.starts_with(own))
        return fail(ErrorCode::kInvalid, fmt::format("secretInputs: {} is the platform's own to set", name));
    if (value.find('\0') != std::string::npos)
      return fail(ErrorCode::kInvalid, fmt::format("secretInputs: the value for {} has a zero byte", name));
    std::string quoted;
    for (const char c : value) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    out += fmt::format("export {}='{}'\n", name, quoted);
  }
  return out;
}

std::string configuration_digest(const json::value& workspace, std::string_view commit) {
  json::object what;
  for (const char* field : {"source", "inputs", "secretInputs", "image"})
    if (const json::value* value = base::find(workspace, std::string("spec.") + field)) what[field] = *value;
  what["commit"] = commit;
  return crypto::sha256_hex(base::to_json(json::value(std::move(what)))).substr(0, 20);
}

std::string pod_name(const PodRequest& request) {
  return fmt::format("{}-{}", request.id, request.apply ? "apply" : "plan");
}

json::value run_pod(const json::value& run, const PodRequest& request) {
  const bool own_program = request.image.empty();
  constexpr std::string_view kProgram = "/run/mainstay/program";
  json::array mounts{mount("work", "/work", false), mount("in", "/run/mainstay/in", true),
                     mount("out", "/run/mainstay/out", false), mount("inputs", "/run/mainstay/inputs", true)};
  json::array volumes{
      json::object{{"name", "work"}, {"emptyDir", json::object{}}},
      host_path("in", request.folder + "/in", "Directory"), host_path("out", request.folder + "/out", "Directory"),
      json::object{{"name", "inputs"}, {"secret", json::object{{"secretName", request.id}, {"defaultMode", 0400}}}}};
  if (own_program) {
    mounts.push_back(mount("program", kProgram, true));
    volumes.push_back(host_path("program", request.program, "File"));
  }
  json::object container{
      {"name", "terraform"},
      {"image", own_program ? std::string("mainstay.dev/runner") : request.image},
      {"command", json::array{"/bin/sh", "-c", kScript}},
      {"env",
       json::array{env("MAINSTAY_PROGRAM", own_program ? std::string(kProgram) : ""),
                   env("MAINSTAY_STATE", request.state_address),
                   env("MAINSTAY_STAGE", request.apply ? "apply" : "plan"), env("MAINSTAY_FLAGS", request.flags)}},
      {"resources", json::object{{"requests", json::object{{"cpu", "100m"}, {"memory", "64Mi"}}},
                                 {"limits", json::object{{"memory", "1Gi"}}}}},
      {"securityContext",
       json::object{{"allowPrivilegeEscalation", false}, {"capabilities", json::object{{"drop", json::array{"ALL"}}}}}},
      {"volumeMounts", std::move(mounts)}};
  return json::object{
      {"apiVersion", "v1"},
      {"kind", "Pod"},
      {"metadata", json::object{{"name", pod_name(request)},
                                {"namespace", kRunsNamespace},
                                {"labels", json::object{{kRunLabel, request.id}}},
                                {"annotations", json::object{{"mainstay.dev/terraform-run-of",
                                                              base::get_string(run, "metadata.namespace") + "/" +
                                                                  base::get_string(run, "metadata.name")}}}}},
      {"spec", json::object{{"serviceAccountName", request.id},
                            {"restartPolicy", "Never"},
                            {"terminationGracePeriodSeconds", 30},
                            {"activeDeadlineSeconds", request.minutes * 60},
                            {"enableServiceLinks", false},
                            {"containers", json::array{std::move(container)}},
                            {"volumes", std::move(volumes)}}}};
}

}  // namespace mainstay::cloud
