#include "capabilities/cloud/resources/claim_reconcile.h"

#include "base/encoding.h"
#include "base/log.h"
#include "base/status.h"
#include "base/strings.h"
#include "capabilities/cloud/resources/claim_cost.h"

namespace mainstay::cloud {
namespace resources = client::resources;
using base::ErrorCode;
using base::fail;
using platform::ClaimRequest;
using platform::Provisioned;
namespace {

constexpr std::size_t kMostParams = 16u << 10;

std::string driver_name(const json::value& claim) { return base::get_string(claim, "status.driver"); }

std::map<std::string, std::string> decoded(const json::value& secret) {
  std::map<std::string, std::string> out;
  for (const auto& entry : base::get_object(secret, "data")) {
    if (!entry.value().is_string()) continue;
    if (auto plain = base::base64_decode(entry.value().as_string())) out.emplace(entry.key(), *std::move(plain));
  }
  return out;
}

json::array list_of(const std::vector<platform::ResourceBackup>& backups) {
  json::array out;
  for (const auto& backup : backups) out.push_back({{"name", backup.name}, {"bytes", backup.bytes}});
  return out;
}

}  // namespace

ClaimReconciler::ClaimReconciler(platform::Host& host, std::shared_ptr<platform::ResourceDrivers> drivers)
    : host_(host), client_(host.client("cloud")), drivers_(std::move(drivers)) {}

std::string ClaimReconciler::label_of_namespace(const std::string& ns, const char* label) const {
  const auto object = host_.caches().of(resources::kNamespaces)->get("", ns);
  return object ? base::label(*object, label) : "";
}

// Anew at each pass: prices change, and so may its class.
void ClaimReconciler::show_class(reconcile::Pass& pass, reconcile::Name name) {
  const auto cls = host_.caches().of(kResourceClasses)->get("", base::get_string(pass.object(), "status.class"));
  const auto prices = host_.caches().of(kPriceLists)->get("", "default");
  const json::value none = json::object();
  const json::value& of_class = cls ? *cls : none;
  const auto put = [&](std::string_view path, const std::string& text) {
    if (!text.empty()) base::set(pass.object(), path, json::value(text));
  };
  if (cls) {
    base::erase(pass.object(), "status.parameters");
    if (const json::object& own = base::get_object(*cls, "spec.parameters"); !own.empty())
      base::set(pass.object(), "status.parameters", own);
  }
  put("status.monthlyCost", claim_cost(pass.object(), of_class, prices ? *prices : none));
  put("status.url", claim_dashboard(name, driver_name(pass.object()), label_of_namespace(name.ns, "mainstay.dev/team"),
                                    base::get_string(of_class, "spec.dashboard"), host_.config().server_url()));
}

std::shared_ptr<platform::ResourceDriver> ClaimReconciler::driver_of(const json::value& claim) const {
  return drivers_->find(driver_name(claim));
}

async::Task<base::Result<ClaimRequest>> ClaimReconciler::request_of_object(const json::value& claim) {
  ClaimRequest out;
  out.ns = base::get_string(claim, "metadata.namespace");
  out.name = base::get_string(claim, "metadata.name");
  out.uid = base::get_string(claim, "metadata.uid");
  out.workload = base::get_string(claim, "spec.workload");
  out.params = base::get_object(claim, "spec.params");
  const auto ns = host_.caches().of(resources::kNamespaces)->get("", out.ns);
  // Without it the id would be another: what is there would not be found.
  if (!ns) co_return fail(ErrorCode::kUnavailable, fmt::format("the namespace {} is not known yet", out.ns));
  out.id = claim_id(base::get_string(*ns, "metadata.uid"), out.name);
  // A class that has gone leaves what it provided as it is.
  const auto cls = host_.caches().of(kResourceClasses)->get("", base::get_string(claim, "status.class"));
  out.parameters = cls ? base::get_object(*cls, "spec.parameters") : base::get_object(claim, "status.parameters");
  const std::string uid = out.uid;
  if (const auto secret = co_await client_.find(resources::kSecrets, out.ns, out.name))
    if (reconcile::is_controlled_by(*secret, uid)) out.credentials = decoded(*secret);
  co_return out;
}

async::Task<base::Result<ClaimRequest>> ClaimReconciler::request_of(reconcile::Name name) {
  const auto claim = co_await client_.find(kResourceClaims, name.ns, name.name);
  if (!claim) co_return fail(ErrorCode::kNotFound, fmt::format("resourceclaims \"{}\" not found", name.name));
  if (base::get_string(*claim, "status.phase") != "Ready")
    co_return fail(ErrorCode::kUnavailable, fmt::format("the claim {} is not ready", name.name));
  co_return co_await request_of_object(*claim);
}

base::Result<> ClaimReconciler::bind(reconcile::Pass& pass, reconcile::Name name) {
  if (!driver_name(pass.original()).empty()) return {};
  MAINSTAY_TRY(const client::ObjectPtr chosen,
               choose_class(host_.caches().of(kResourceClasses)->list(), base::get_string(pass.original(), "spec.type"),
                            base::get_string(pass.original(), "spec.class"),
                            label_of_namespace(name.ns, "mainstay.dev/environment")));
  const std::string driver = base::get_string(*chosen, "spec.driver");
  if (!drivers_->find(driver))
    return fail(ErrorCode::kInvalid,
                fmt::format("class {} names the driver \"{}\", which is not here (there are: {})",
                            base::get_string(*chosen, "metadata.name"), driver, base::join(drivers_->names(), ", ")));
  const auto put = [&](std::string_view path, const std::string& text) {
    base::set(pass.object(), path, json::value(text));
  };
  put("status.class", base::get_string(*chosen, "metadata.name"));
  put("status.driver", driver);
  put("status.reclaimPolicy", base::get_string(*chosen, "spec.reclaimPolicy", "Delete"));
  return {};
}

async::Task<base::Result<>> ClaimReconciler::keep_secret(const json::value& claim, const Provisioned& made) {
  const std::string ns = base::get_string(claim, "metadata.namespace"), name = base::get_string(claim, "metadata.name");
  json::object data;
  for (const auto* values : {&made.outputs, &made.secrets})
    for (const auto& [key, value] : *values) data[key] = base::base64(value);
  json::object owner = reconcile::owner_reference(claim);
  const auto present = co_await client_.find(resources::kSecrets, ns, name);
  if (present && !reconcile::is_controlled_by(*present, base::get_string(claim, "metadata.uid")))
    co_return fail(ErrorCode::kConflict,
                   fmt::format("there is a Secret {} already that is not this claim's; delete or rename it", name));
  if (present && base::get_object(*present, "data") == data) co_return base::Result<>{};
  co_await client_.apply(resources::kSecrets,
                         json::value{{"apiVersion", "v1"},
                                     {"kind", "Secret"},
                                     {"metadata",
                                      {{"name", name},
                                       {"namespace", ns},
                                       {"labels", {{kClaimLabel, name}, {"app.kubernetes.io/managed-by", "mainstay"}}},
                                       {"ownerReferences", json::array{std::move(owner)}}}},
                                     {"type", "Opaque"},
                                     {"data", std::move(data)}});
  co_return base::Result<>{};
}

async::Task<base::Result<>> ClaimReconciler::provide(reconcile::Pass& pass, reconcile::Name name) {
  MAINSTAY_CO_TRY_VOID(bind(pass, name));
  const auto driver = driver_of(pass.object());
  if (!driver)
    co_return fail(ErrorCode::kUnavailable, fmt::format("the driver {} is not here", driver_name(pass.object())));
  show_class(pass, name);
  // Durable before there is anything to clean up.
  if (driver_name(pass.original()).empty()) co_return base::Result<>{};
  MAINSTAY_CO_TRY(ClaimRequest request, co_await request_of_object(pass.original()));
  base::Result<Provisioned> provided;
  try {
    provided = co_await driver->provision(request);
  } catch (const base::StatusError& error) {
    if (error.code() != 403) throw;
    provided = fail(ErrorCode::kUnavailable, error.message());  // a quota: its owner is to be told
  }
  MAINSTAY_CO_TRY(const Provisioned made, std::move(provided));
  MAINSTAY_CO_TRY_VOID(co_await keep_secret(pass.original(), made));
  json::object outputs;
  json::array secret_keys;
  for (const auto& [key, value] : made.outputs) outputs[key] = value;
  for (const auto& [key, value] : made.secrets) secret_keys.emplace_back(key);
  base::set(pass.object(), "status.outputs", std::move(outputs));
  base::set(pass.object(), "status.secretOutputs", std::move(secret_keys));
  base::set(pass.object(), "status.secretName", json::value(name.name));
  json::array backups = list_of(co_await driver->backups(std::move(request)));
  if (!backups.empty()) base::set(pass.object(), "status.backups", std::move(backups));
  base::set(pass.object(), "status.phase", "Ready");
  pass.set_condition("Ready", true, "Provided", "it can be used; the Secret of the same name says how", host_.clock());
  co_return base::Result<>{};
}

async::Task<> ClaimReconciler::release(reconcile::Pass& pass, reconcile::Name name) {
  if (!pass.has_finalizer(kClaimFinalizer)) co_return;
  const auto driver = driver_of(pass.original());
  if (!driver_name(pass.original()).empty()) {
    const bool keep = base::get_string(pass.original(), "status.reclaimPolicy") == "Retain";
    base::Result<> done = fail(ErrorCode::kUnavailable, "its driver is not here");
    if (driver) {
      auto request = co_await request_of_object(pass.original());
      if (request) {
        done = co_await driver->release(*std::move(request), keep);
      } else {
        done = std::unexpected(request.error());
      }
    }
    if (!done) {
      pass.set_condition("Ready", false, "CannotRelease", done.error().message, host_.clock());
      co_await pass.commit();
      throw base::from_error(done.error());
    }
    base::log::info("cloud", "resource {}/{} released ({})", name.ns, name.name, keep ? "its data stays" : "deleted");
  }
  pass.remove_finalizer(kClaimFinalizer);
  co_await pass.commit();
}

async::Task<reconcile::Outcome> ClaimReconciler::reconcile(reconcile::Name name) {
  const auto self = shared_from_this();
  const client::ObjectPtr object = host_.caches().of(kResourceClaims)->get(name.ns, name.name);
  if (!object) co_return reconcile::Outcome::done();
  reconcile::Pass pass(client_, kResourceClaims, object);
  if (pass.deleting()) {
    co_await release(pass, name);
    co_return reconcile::Outcome::done();
  }
  if (!pass.has_finalizer(kClaimFinalizer)) {
    pass.add_finalizer(kClaimFinalizer);
    co_await pass.commit();
    co_return reconcile::Outcome::done();
  }
  base::set(pass.object(), "status.observedGeneration", base::get_int(*object, "metadata.generation"));
  const auto done = co_await provide(pass, name);
  if (done) {
    if (base::get_string(pass.object(), "status.phase").empty()) {
      base::set(pass.object(), "status.phase", "Pending");
      pass.set_condition("Ready", false, "Bound", "it is being made", host_.clock());
    }
    co_await pass.commit();
    co_return reconcile::Outcome::done();
  }
  const bool for_good = done.error().code == ErrorCode::kInvalid;
  base::set(pass.object(), "status.phase", json::value(for_good ? "Failed" : "Pending"));
  pass.set_condition("Ready", false, for_good ? "Refused" : "NotYet", done.error().message, host_.clock());
  co_await pass.commit();
  if (!for_good) throw base::from_error(done.error());
  co_return reconcile::Outcome::done();
}

async::Task<> ClaimReconciler::show_backups(reconcile::Name name) {
  const auto self = shared_from_this();
  const auto claim = co_await client_.find(kResourceClaims, name.ns, name.name);
  if (!claim) co_return;
  const auto driver = driver_of(*claim);
  auto request = co_await request_of_object(*claim);
  if (!driver || !request) co_return;
  json::array backups = list_of(co_await driver->backups(*std::move(request)));
  co_await client_.merge_patch(kResourceClaims, name.ns, name.name, {{"status", {{"backups", std::move(backups)}}}},
                               "status");
}

namespace {

async::Task<> admit(platform::Host* host, api::AdmissionRequest& request) {
  const auto refuse = [&](std::string field, std::string why) {
    return base::invalid("ResourceClaim", request.name, {{std::move(field), "FieldValueInvalid", std::move(why)}});
  };
  if (request.operation == api::Operation::kCreate) {
    if (auto ok = base::check_dns_label(base::get_string(*request.object, "metadata.name", request.name)); !ok)
      throw refuse("metadata.name", ok.error().message);
    const client::ObjectPtr ns = host->caches().of(resources::kNamespaces)->get("", request.ns);
    if (!ns || base::label(*ns, "mainstay.dev/environment").empty())
      throw base::forbidden(
          fmt::format("resourceclaims \"{}\" is forbidden: {} is no environment of a team; make it in one, as shop-dev",
                      request.name, request.ns));
  }
  if (request.old_object != nullptr && request.operation == api::Operation::kUpdate)
    for (const char* field : {"spec.type", "spec.class"})
      if (base::get_string(*request.object, field) != base::get_string(*request.old_object, field))
        throw refuse(field, "cannot be changed; make another claim");
  if (base::to_json(json::value(base::get_object(*request.object, "spec.params"))).size() > kMostParams)
    throw refuse("spec.params", "at most 16 KiB");
  co_return;
}

}  // namespace

api::AdmissionPlugin claim_admission(platform::Host& host) {
  api::AdmissionPlugin plugin;
  plugin.name = "resource-claims";
  plugin.matches = [](const api::AdmissionRequest& r) {
    return r.type->plural == kResourceClaims.plural && r.type->group == kResourceClaims.group &&
           r.subresource.empty() && r.operation != api::Operation::kDelete;
  };
  plugin.admit = [host = &host](api::AdmissionRequest& request) { return admit(host, request); };
  return plugin;
}

}  // namespace mainstay::cloud
