#include "capabilities/cloud/resources/volume_driver.h"

#include "base/quantity.h"

namespace mainstay::cloud {
namespace json = boost::json;
using base::ErrorCode;
using base::fail;
namespace {

const client::Resource kVolumeClaims{"", "v1", "persistentvolumeclaims", true, "PersistentVolumeClaim"};
constexpr const char* kLabel = "mainstay.dev/resource-claim";

}  // namespace

async::Task<base::Result<platform::Provisioned>> VolumeDriver::provision(platform::ClaimRequest claim) {
  MAINSTAY_CO_TRY_VOID(platform::check_params(claim, {"size"}));
  std::string size = "1Gi";
  for (const json::object* from : {&claim.parameters, &claim.params})
    if (const json::value* wanted = from->if_contains("size")) {
      if (!wanted->is_string() || base::parse_quantity(wanted->as_string()).value_or(0) <= 0)
        co_return fail(ErrorCode::kInvalid, "params.size is not a quantity, as 5Gi");
      size = wanted->as_string();
    }
  // No owner: where the policy says Retain it outlives the claim, and the next one of this name finds it.
  auto volume = co_await client_.find(kVolumeClaims, claim.ns, claim.name);
  if (volume && base::label(*volume, kLabel) != claim.name)
    co_return fail(ErrorCode::kConflict,
                   fmt::format("there is a PersistentVolumeClaim {} already that is not this claim's", claim.name));
  if (!volume)
    volume = co_await client_.create(
        kVolumeClaims, claim.ns,
        json::value{{"apiVersion", "v1"},
                    {"kind", "PersistentVolumeClaim"},
                    {"metadata", {{"name", claim.name}, {"namespace", claim.ns}, {"labels", {{kLabel, claim.name}}}}},
                    {"spec",
                     {{"storageClassName", "local"},
                      {"accessModes", json::array{json::string("ReadWriteOnce")}},
                      {"resources", {{"requests", {{"storage", size}}}}}}}});
  const auto bytes = [](const std::string& text) { return base::parse_quantity(text).value_or(0); };
  if (const std::string held = base::get_string(*volume, "spec.resources.requests.storage"); bytes(held) < bytes(size))
    volume = co_await client_.merge_patch(kVolumeClaims, claim.ns, claim.name,
                                          {{"spec", {{"resources", {{"requests", {{"storage", size}}}}}}}});
  else if (bytes(held) > bytes(size) && claim.params.contains("size"))  // a class's is for volumes to come
    co_return fail(ErrorCode::kInvalid,
                   fmt::format("params.size: the volume has {}, and a volume does not shrink", held));
  if (base::get_string(*volume, "status.phase") != "Bound")
    co_return fail(ErrorCode::kUnavailable, "its volume is being made");
  platform::Provisioned out;
  out.outputs["source"] = claim.name;
  co_return out;
}

async::Task<base::Result<>> VolumeDriver::release(platform::ClaimRequest claim, bool keep) {
  if (keep) co_return base::Result<>{};
  const auto volume = co_await client_.find(kVolumeClaims, claim.ns, claim.name);
  if (volume && base::label(*volume, kLabel) == claim.name)
    co_await client_.remove(kVolumeClaims, claim.ns, claim.name);
  co_return base::Result<>{};
}

}  // namespace mainstay::cloud
