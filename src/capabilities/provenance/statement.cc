#include "capabilities/provenance/statement.h"

#include "base/encoding.h"
#include "base/strings.h"

namespace mainstay::provenance {

using base::ErrorCode;
using base::fail;
namespace json = base::json;

namespace {

constexpr std::size_t kMaxSubjects = 64;

std::string hex_of(const std::string& digest) { return digest.substr(digest.find(':') + 1); }

}  // namespace

std::string repository_url(std::string_view issuer, std::string_view team, std::string_view repository) {
  return fmt::format("{}/git/{}/{}.git", issuer, team, repository);
}

std::string signer_identity(std::string_view issuer, std::string_view team, std::string_view repository,
                            std::string_view workflow, std::string_view ref) {
  // Git allows in names what a URI does not.
  return fmt::format("{}//{}@{}", repository_url(issuer, team, repository), base::percent_encode(workflow, "/"),
                     base::percent_encode(ref, "/"));
}

json::object provenance_statement(const platform::BuildRecord& build, const std::string& issuer,
                                  const std::string& registry_host, const std::string& sbom_digest) {
  const std::string url = repository_url(issuer, build.team, build.repository);
  json::object parameters{{"repository", url}, {"ref", build.ref}, {"workflow", build.workflow}};
  if (!build.dockerfile.empty()) parameters["dockerfile"] = build.dockerfile;
  json::object definition{{"buildType", kBuildType}, {"externalParameters", std::move(parameters)}};
  definition["internalParameters"] = json::object{{"actor", build.actor}, {"run", build.team + "/" + build.run_name}};
  definition["resolvedDependencies"] = json::array{json::object{{"uri", fmt::format("git+{}@{}", url, build.ref)},
                                                                {"digest", json::object{{"gitCommit", build.commit}}}}};

  json::object metadata{{"invocationId", build.run_uid}};
  if (!build.started.empty()) metadata["startedOn"] = build.started;
  if (!build.finished.empty()) metadata["finishedOn"] = build.finished;
  json::object run{{"builder", json::object{{"id", issuer}}}, {"metadata", std::move(metadata)}};
  if (!sbom_digest.empty()) {
    run["byproducts"] = json::array{json::object{{"name", "sbom"},
                                                 {"mediaType", "application/spdx+json"},
                                                 {"digest", json::object{{"sha256", hex_of(sbom_digest)}}}}};
  }
  json::object subject{{"name", registry_host + "/" + build.image_repository},
                       {"digest", json::object{{"sha256", hex_of(build.image_digest)}}}};
  json::object statement{{"_type", kStatementType}};
  statement["subject"] = json::array{std::move(subject)};
  statement["predicateType"] = kSlsaPredicate;
  statement["predicate"] = json::object{{"buildDefinition", std::move(definition)}, {"runDetails", std::move(run)}};
  return statement;
}

std::string approval_identity(std::string_view issuer, const platform::ApprovalRecord& approval) {
  return fmt::format("{}/apis/mainstay.dev/v1/namespaces/{}/releases/{}//approve@{}", issuer, approval.team,
                     approval.release, base::percent_encode(approval.approver));
}

json::object approval_statement(const platform::ApprovalRecord& approval, const std::string& issuer,
                                const std::string& registry_host) {
  json::object predicate{{"approver", json::object{{"issuer", issuer}, {"user", approval.approver}}},
                         {"approvedAt", approval.approved_at},
                         {"environment", approval.environment},
                         {"release", approval.team + "/" + approval.release},
                         {"workload", approval.workload},
                         {"source", json::object{{"uri", repository_url(issuer, approval.team, approval.repository)},
                                                 {"digest", json::object{{"gitCommit", approval.commit}}}}},
                         {"configuration", json::object{{"sha256", hex_of(approval.configuration)}}}};
  if (!approval.comment.empty()) predicate["comment"] = approval.comment;
  json::object statement{{"_type", kStatementType}};
  statement["subject"] = json::array{json::object{{"name", registry_host + "/" + approval.image_repository},
                                                  {"digest", json::object{{"sha256", hex_of(approval.image_digest)}}}}};
  statement["predicateType"] = kApprovalPredicate;
  statement["predicate"] = std::move(predicate);
  return statement;
}

base::Result<Claims> read_statement(std::string_view payload) {
  const auto bad = [](std::string_view what) {
    return fail(ErrorCode::kInvalid, fmt::format("the provenance statement {}", what));
  };
  MAINSTAY_TRY(const auto value, base::parse_json(payload, 32));
  if (base::get_string(value, "_type") != kStatementType) return bad("is not an in-toto Statement v1");
  if (base::get_string(value, "predicateType") != kSlsaPredicate) return bad("is not SLSA provenance v1");
  Claims out;
  const auto& subjects = base::get_array(value, "subject");
  if (subjects.empty() || subjects.size() > kMaxSubjects) return bad("must name 1 to 64 subjects");
  for (const auto& subject : subjects) {
    const auto hex = base::get_string(subject, "digest.sha256");
    if (!hex.empty()) out.subjects.push_back("sha256:" + hex);
  }
  out.build_type = base::get_string(value, "predicate.buildDefinition.buildType");
  out.builder = base::get_string(value, "predicate.runDetails.builder.id");
  out.run_uid = base::get_string(value, "predicate.runDetails.metadata.invocationId");
  const auto* parameters = base::find(value, "predicate.buildDefinition.externalParameters");
  if (out.builder.empty() || parameters == nullptr) return bad("names no builder or no parameters");
  out.ref = base::get_string(*parameters, "ref");
  out.workflow = base::get_string(*parameters, "workflow");
  const auto& dependencies = base::get_array(value, "predicate.buildDefinition.resolvedDependencies");
  if (!dependencies.empty()) out.commit = base::get_string(dependencies.front(), "digest.gitCommit");

  // <builder>/git/<team>/<repository>.git
  std::string_view url;
  const std::string repository = base::get_string(*parameters, "repository");
  url = repository;
  const std::string prefix = out.builder + "/git/";
  if (!url.starts_with(prefix) || !url.ends_with(".git")) return bad("names a repository of another platform");
  url.remove_prefix(prefix.size());
  url.remove_suffix(4);
  const auto parts = base::split(url, '/');
  if (parts.size() != 2 || !base::check_dns_label(parts[0]) || parts[1].empty())
    return bad("names a malformed repository");
  out.team = parts[0];
  out.repository = parts[1];
  return out;
}

}  // namespace mainstay::provenance
