#include "capabilities/cloud/buckets/bucket_reconcile.h"

#include <algorithm>

#include "base/encoding.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/quantity.h"
#include "base/status.h"
#include "crypto/digest.h"

namespace mainstay::cloud {
namespace resources = client::resources;
using base::ErrorCode;
using base::fail;
namespace {

constexpr std::chrono::seconds kCountEvery{15};

std::string secret_value(const json::value& secret, std::string_view key) {
  const json::value* value = base::find(secret, {"data", key});
  if (value == nullptr || !value->is_string()) return "";
  auto plain = base::base64_decode(value->as_string());
  return plain ? *plain : "";
}

std::string endpoint(const base::Config& config) { return config.pod_server_url() + "/s3"; }

}  // namespace

std::string bucket_id(std::string_view namespace_uid, std::string_view name) {
  return crypto::sha256_hex(fmt::format("bucket/{}/{}", namespace_uid, name)).substr(0, 20);
}

std::string bucket_name(std::string_view name, std::string_view id) {
  std::string out(name.substr(0, 52));
  while (out.ends_with('-') || out.ends_with('.')) out.pop_back();
  std::ranges::replace(out, '.', '-');
  return out + "-" + std::string(id.substr(0, 10));
}

std::string access_key_of(std::string_view bucket_uid) {
  std::string out = "MS" + crypto::sha256_hex(bucket_uid).substr(0, 18);
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return out;
}

std::string bucket_secret_name(std::string_view bucket) { return std::string(bucket) + "-s3"; }

async::Task<> BucketKeys::start() {
  const auto self = shared_from_this();
  auto buckets = host_.caches().of(kBuckets), secrets = host_.caches().of(resources::kSecrets),
       namespaces = host_.caches().of(resources::kNamespaces);
  buckets->on_change([weak = weak_from_this()](const client::ObjectPtr& before, const client::ObjectPtr& after) {
    const auto keys = weak.lock();
    if (!keys) return;
    if (before && !after) keys->names_.erase(access_key_of(base::get_string(*before, "metadata.uid")));
    if (after)
      keys->names_[access_key_of(base::get_string(*after, "metadata.uid"))] = {
          base::get_string(*after, "metadata.namespace"), base::get_string(*after, "metadata.name")};
  });
  // The first signed request after `ready` finds its key.
  co_await buckets->synced();
  co_await secrets->synced();
  co_await namespaces->synced();
}

std::optional<BucketKey> BucketKeys::find(const std::string& access_key) const {
  const auto at = names_.find(access_key);
  if (at == names_.end()) return std::nullopt;
  const auto& [ns, name] = at->second;
  const auto bucket = host_.caches().of(kBuckets)->get(ns, name);
  const auto space = host_.caches().of(resources::kNamespaces)->get("", ns);
  const auto secret = host_.caches().of(resources::kSecrets)->get(ns, bucket_secret_name(name));
  if (!bucket || !space || !secret || !base::get_string(*bucket, "metadata.deletionTimestamp").empty())
    return std::nullopt;
  const std::string uid = base::get_string(*bucket, "metadata.uid");
  BucketKey out;
  out.secret = secret_value(*secret, "secret_key");
  // An emptied or short secret opens nothing.
  if (access_key_of(uid) != access_key || !reconcile::is_controlled_by(*secret, uid) || out.secret.size() < 16)
    return std::nullopt;
  out.id = bucket_id(base::get_string(*space, "metadata.uid"), name);
  out.bucket = bucket_name(name, out.id);
  if (const auto quota = base::parse_quantity(base::get_string(*bucket, "spec.quota", "10Gi")); quota && *quota > 0)
    out.quota = static_cast<std::uint64_t>(*quota);
  return out;
}

BucketReconciler::BucketReconciler(platform::Host& host, std::shared_ptr<S3Service> service)
    : host_(host), client_(host.client("buckets")), service_(std::move(service)) {}

async::Task<base::Result<>> BucketReconciler::provide(reconcile::Pass& pass, reconcile::Name name) {
  const auto ns = co_await client_.find(resources::kNamespaces, "", name.ns);
  if (!ns) co_return fail(ErrorCode::kUnavailable, "its namespace is not known yet");
  const std::string id = bucket_id(base::get_string(*ns, "metadata.uid"), name.name),
                    uid = base::get_string(pass.original(), "metadata.uid"), key = access_key_of(uid),
                    bucket = bucket_name(name.name, id), secret_name = bucket_secret_name(name.name);
  const auto present = co_await client_.find(resources::kSecrets, name.ns, secret_name);
  if (present && !reconcile::is_controlled_by(*present, uid))
    co_return fail(
        ErrorCode::kConflict,
        fmt::format("there is a Secret {} already that is not this bucket's; delete or rename it", secret_name));
  std::string secret = present ? secret_value(*present, "secret_key") : "";
  if (secret.size() < 16) secret = base::random_hex(20);
  json::object data;
  for (const auto& [entry, value] :
       std::initializer_list<std::pair<const char*, std::string>>{{"bucket", bucket},
                                                                  {"endpoint", endpoint(host_.config())},
                                                                  {"region", std::string(kS3Region)},
                                                                  {"access_key_id", key},
                                                                  {"secret_key", secret}})
    data[entry] = base::base64(value);
  if (!present || base::get_object(*present, "data") != data) {
    json::object owner = reconcile::owner_reference(pass.original());
    co_await client_.apply(
        resources::kSecrets,
        json::value{
            {"apiVersion", "v1"},
            {"kind", "Secret"},
            {"metadata",
             {{"name", secret_name}, {"namespace", name.ns}, {"ownerReferences", json::array{std::move(owner)}}}},
            {"type", "Opaque"},
            {"data", std::move(data)}});
  }
  const auto usage = co_await service_->usage(id);
  if (!usage) co_return std::unexpected(usage.error());
  json::value& object = pass.object();
  base::set(object, "status.bucket", json::value(bucket));
  base::set(object, "status.endpoint", json::value(endpoint(host_.config())));
  base::set(object, "status.region", json::value(std::string(kS3Region)));
  base::set(object, "status.accessKeyId", json::value(key));
  base::set(object, "status.secretName", json::value(secret_name));
  base::set(object, "status.objects", json::value(static_cast<std::int64_t>(usage->objects)));
  base::set(object, "status.bytes", json::value(static_cast<std::int64_t>(usage->bytes)));
  base::set(object, "status.observedGeneration", base::get_int(pass.original(), "metadata.generation"));
  pass.set_condition("Ready", true, "Provided", "the bucket can be used", host_.clock());
  co_return base::Result<>{};
}

async::Task<reconcile::Outcome> BucketReconciler::reconcile(reconcile::Name name) {
  const auto self = shared_from_this();
  const client::ObjectPtr object = host_.caches().of(kBuckets)->get(name.ns, name.name);
  if (!object) co_return reconcile::Outcome::done();
  reconcile::Pass pass(client_, kBuckets, object);
  if (pass.deleting()) {
    if (!pass.has_finalizer(kBucketFinalizer)) co_return reconcile::Outcome::done();
    if (base::get_string(*object, "spec.reclaimPolicy") != "Retain") {
      const auto ns = co_await client_.find(resources::kNamespaces, "", name.ns);
      if (!ns) throw base::unavailable("its namespace is not known yet");
      const auto dropped = co_await service_->drop_bucket(bucket_id(base::get_string(*ns, "metadata.uid"), name.name));
      if (!dropped) throw base::from_error(dropped.error());
    }
    pass.remove_finalizer(kBucketFinalizer);
    co_await pass.commit();
    co_return reconcile::Outcome::done();
  }
  if (!pass.has_finalizer(kBucketFinalizer)) {
    pass.add_finalizer(kBucketFinalizer);
    co_await pass.commit();
    co_return reconcile::Outcome::done();
  }
  const auto done = co_await provide(pass, name);
  if (!done) pass.set_condition("Ready", false, "NotYet", done.error().message, host_.clock());
  co_await pass.commit();
  if (!done) throw base::from_error(done.error());
  co_return reconcile::Outcome::after(kCountEvery);  // objects come and go by the S3 API alone
}

async::Task<base::Result<platform::Provisioned>> BucketDriver::provision(platform::ClaimRequest claim) {
  MAINSTAY_CO_TRY_VOID(platform::check_params(claim, {"quota"}));
  auto bucket = co_await client_.find(kBuckets, claim.ns, claim.name);
  if (bucket && !reconcile::is_controlled_by(*bucket, claim.uid))
    co_return fail(ErrorCode::kConflict,
                   fmt::format("there is a Bucket {} already that is not this claim's", claim.name));
  json::object spec;
  for (const json::object* from : {&claim.parameters, &claim.params})
    if (const json::value* quota = from->if_contains("quota"); quota != nullptr) {
      if (!quota->is_string() || base::parse_quantity(quota->as_string()).value_or(0) <= 0)
        co_return fail(ErrorCode::kInvalid, "params.quota is not a quantity, as 5Gi");
      spec["quota"] = *quota;
    }
  const json::object owner{{"apiVersion", "mainstay.dev/v1"},
                           {"kind", "ResourceClaim"},
                           {"name", claim.name},
                           {"uid", claim.uid},
                           {"controller", true},
                           {"blockOwnerDeletion", true}};
  bucket = co_await client_.apply(
      kBuckets, json::value{{"apiVersion", "mainstay.dev/v1"},
                            {"kind", "Bucket"},
                            {"metadata",
                             {{"name", claim.name}, {"namespace", claim.ns}, {"ownerReferences", json::array{owner}}}},
                            {"spec", std::move(spec)}});
  const auto secret = co_await client_.find(resources::kSecrets, claim.ns, bucket_secret_name(claim.name));
  if (!secret || !reconcile::condition_true(*bucket, "Ready"))
    co_return fail(ErrorCode::kUnavailable, "its bucket is being made");
  platform::Provisioned out;
  for (const char* key : {"bucket", "endpoint", "region", "access_key_id"})
    out.outputs[key] = secret_value(*secret, key);
  out.secrets["secret_key"] = secret_value(*secret, "secret_key");
  co_return out;
}

async::Task<base::Result<std::map<std::string, double>>> BucketDriver::measure(platform::ClaimRequest claim) {
  const auto bucket = co_await client_.find(kBuckets, claim.ns, claim.name);
  if (!bucket || !reconcile::is_controlled_by(*bucket, claim.uid))
    co_return fail(ErrorCode::kUnavailable, "its bucket is not there");
  co_return std::map<std::string, double>{
      {"size_bytes", static_cast<double>(base::get_int(*bucket, "status.bytes"))},
      {"objects", static_cast<double>(base::get_int(*bucket, "status.objects"))},
      {"limit_bytes",
       static_cast<double>(base::parse_quantity(base::get_string(*bucket, "spec.quota", "10Gi")).value_or(0))}};
}

async::Task<base::Result<>> BucketDriver::release(platform::ClaimRequest claim, bool keep) {
  const auto bucket = co_await client_.find(kBuckets, claim.ns, claim.name);
  if (!bucket || !reconcile::is_controlled_by(*bucket, claim.uid)) co_return base::Result<>{};
  if (keep) co_await client_.merge_patch(kBuckets, claim.ns, claim.name, {{"spec", {{"reclaimPolicy", "Retain"}}}});
  co_await client_.remove(kBuckets, claim.ns, claim.name);
  co_return base::Result<>{};
}

}  // namespace mainstay::cloud
