#include <fmt/format.h>

#include "base/status.h"
#include "capabilities/cloud/terraform/workspaces.h"

namespace mainstay::cloud {
using base::ErrorCode;
using base::fail;
namespace {

constexpr std::string_view kKeptAnnotation = "mainstay.dev/kept-of-claim";

std::string filled(std::string text, const platform::ClaimRequest& claim, const std::string& environment) {
  for (const auto& [key, value] : {std::pair<std::string, std::string>{"{namespace}", claim.ns},
                                   {"{name}", claim.name},
                                   {"{workload}", claim.workload},
                                   {"{environment}", environment}})
    for (std::size_t at = text.find(key); at != std::string::npos; at = text.find(key, at + value.size()))
      text.replace(at, key.size(), value);
  return text;
}

}  // namespace

base::Result<json::object> workspace_spec(const platform::ClaimRequest& claim, const std::string& environment) {
  json::object spec;
  const json::value* source = claim.parameters.if_contains("source");
  if (source == nullptr || !source->is_object())
    return fail(ErrorCode::kInvalid, "the class says nothing of its module: parameters.source");
  spec["source"] = *source;
  json::object inputs = claim.params;
  // What the class says, a claim does not change.
  if (const json::value* own = claim.parameters.if_contains("inputs"); own != nullptr && own->is_object())
    for (const auto& entry : own->as_object())
      inputs[entry.key()] = entry.value().is_string()
                                ? json::value(filled(std::string(entry.value().as_string()), claim, environment))
                                : entry.value();
  spec["inputs"] = std::move(inputs);
  for (const char* field : {"secretInputs", "driftCheck", "image", "timeoutMinutes"})
    if (const json::value* value = claim.parameters.if_contains(field)) spec[field] = *value;
  // One word for all environments, or one for each.
  std::string approval = "auto";
  if (const json::value* value = claim.parameters.if_contains("approval")) {
    if (value->is_object())
      approval = base::get_string(*value, environment, "auto");
    else
      approval = value->is_string() ? std::string(value->as_string()) : "";
  }
  if (approval != "auto" && approval != "manual" && approval != "independent")
    return fail(ErrorCode::kInvalid,
                fmt::format("the class's parameters.approval \"{}\" is none of auto, manual, independent", approval));
  spec["approval"] = approval;
  spec["runOnChange"] = true;
  spec["destroyOnDelete"] = true;
  return spec;
}

async::Task<base::Result<platform::Provisioned>> TerraformDriver::provision(platform::ClaimRequest claim) {
  const auto space = host_.caches().of(client::resources::kNamespaces)->get("", claim.ns);
  if (!space) co_return fail(ErrorCode::kUnavailable, "its namespace is not known yet");
  MAINSTAY_CO_TRY(json::object spec, workspace_spec(claim, base::label(*space, "mainstay.dev/environment")));
  auto workspace = co_await client_.find(kWorkspaces, claim.ns, claim.name);
  // What a Retain policy left behind is taken up again, by the same claim alone.
  const bool kept = workspace && base::annotation(*workspace, kKeptAnnotation) == claim.id &&
                    base::get_array(*workspace, "metadata.ownerReferences").empty();
  if (workspace && !kept && !reconcile::is_controlled_by(*workspace, claim.uid))
    co_return fail(ErrorCode::kConflict,
                   fmt::format("there is a Workspace {} already that is not this claim's", claim.name));
  const json::object owner{{"apiVersion", "mainstay.dev/v1"},
                           {"kind", "ResourceClaim"},
                           {"name", claim.name},
                           {"uid", claim.uid},
                           {"controller", true},
                           {"blockOwnerDeletion", true}};
  try {
    workspace = co_await client_.apply(kWorkspaces,
                                       json::object{{"apiVersion", "mainstay.dev/v1"},
                                                    {"kind", "Workspace"},
                                                    {"metadata", json::object{{"name", claim.name},
                                                                              {"namespace", claim.ns},
                                                                              {"ownerReferences", json::array{owner}}}},
                                                    {"spec", std::move(spec)}});
  } catch (const base::StatusError& error) {
    if (error.code() == 422 || error.code() == 400) co_return fail(ErrorCode::kInvalid, error.message());
    throw;
  }
  const std::string phase = base::get_string(*workspace, "status.phase");
  if (base::get_string(*workspace, "status.appliedConfiguration").empty() ||
      base::get_int(*workspace, "status.observedGeneration") != base::get_int(*workspace, "metadata.generation"))
    co_return fail(
        ErrorCode::kUnavailable,
        fmt::format("workspace {}: {}", claim.name,
                    phase.empty()
                        ? std::string("its first run is being made")
                        : fmt::format("run {} is {}: {}", base::get_string(*workspace, "status.lastRun"), phase,
                                      phase == "AwaitingApproval" ? "mainstay terraform show says what it would do"
                                                                  : "mainstay terraform show says more")));
  platform::Provisioned out;
  const std::string current = base::get_string(*workspace, "status.current");
  if (current.empty()) co_return out;
  const json::value state = co_await client_.get(kStates, claim.ns, current);
  const auto parsed = base::parse_json(base::get_string(state, "spec.state"), 64);
  if (!parsed) co_return std::unexpected(parsed.error());
  const Outputs outputs = outputs_of(*parsed);
  for (const auto& entry : outputs.plain) out.outputs[entry.key()] = as_text(entry.value());
  for (const auto& entry : outputs.sensitive) out.secrets[entry.key()] = as_text(entry.value());
  co_return out;
}

async::Task<base::Result<>> TerraformDriver::release(platform::ClaimRequest claim, bool keep) {
  const auto workspace = co_await client_.find(kWorkspaces, claim.ns, claim.name);
  if (!workspace || !reconcile::is_controlled_by(*workspace, claim.uid)) co_return base::Result<>{};
  if (keep) {
    // What is there stays, and so does its state: both are found again under the same name.
    co_await client_.merge_patch(
        kWorkspaces, claim.ns, claim.name,
        json::object{{"metadata", json::object{{"ownerReferences", nullptr},
                                               {"annotations", json::object{{kKeptAnnotation, claim.id}}}}},
                     {"spec", json::object{{"destroyOnDelete", false}, {"runOnChange", false}}}});
    co_return base::Result<>{};
  }
  if (base::get_string(*workspace, "metadata.deletionTimestamp").empty())
    co_await client_.remove(kWorkspaces, claim.ns, claim.name);
  co_return fail(ErrorCode::kUnavailable, fmt::format("workspace {} is destroying what it made: {}", claim.name,
                                                      base::get_string(*workspace, "status.phase")));
}

}  // namespace mainstay::cloud
