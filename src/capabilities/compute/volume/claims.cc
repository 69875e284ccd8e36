#include "capabilities/compute/volume/claims.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/files.h"
#include "base/log.h"
#include "base/status.h"
#include "base/strings.h"

namespace mainstay::compute {
namespace fs = std::filesystem;
namespace resources = client::resources;
namespace {

constexpr std::string_view kProtection = "kubernetes.io/pvc-protection";
constexpr const char* kClass = "local";

bool is_uid(std::string_view text) {
  return !text.empty() && text.size() <= 64 &&
         std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == '-'; });
}

class ClaimReconciler {
 public:
  explicit ClaimReconciler(platform::Host& host) : host_(host), client_(host.client("compute")) {}

  async::Task<reconcile::Outcome> reconcile(reconcile::Name name) {
    const client::ObjectPtr object = host_.caches().of(kVolumeClaims)->get(name.ns, name.name);
    if (!object) co_return reconcile::Outcome::done();
    reconcile::Pass pass(client_, kVolumeClaims, object);
    const std::string uid = base::get_string(*object, "metadata.uid");
    if (!is_uid(uid)) co_return reconcile::Outcome::done();
    if (pass.deleting()) {
      // The change of its last pod brings it here again.
      if (!pass.has_finalizer(kProtection) || in_use(name)) co_return reconcile::Outcome::done();
      const std::string failed = co_await host_.runtime().blocking([where = directory(uid)] {
        std::error_code error;
        fs::remove_all(where, error);
        return error ? error.message() : std::string();
      });
      if (!failed.empty()) throw base::internal_error(fmt::format("the volume of {}: {}", name.name, failed));
      pass.remove_finalizer(kProtection);
      co_await pass.commit();
      co_return reconcile::Outcome::done();
    }
    if (!pass.has_finalizer(kProtection)) {
      pass.add_finalizer(kProtection);
      co_await pass.commit();
      co_return reconcile::Outcome::done();
    }
    co_await bind(pass, uid);
    co_return reconcile::Outcome::done();
  }

 private:
  fs::path directory(const std::string& uid) const { return host_.config().dir("volumes") / uid; }

  bool in_use(const reconcile::Name& name) const {
    for (const auto& pod : host_.caches().of(resources::kPods)->list(name.ns)) {
      const auto claims = claims_of(*pod);
      if (std::ranges::find(claims, name.name) == claims.end()) continue;
      const std::string phase = base::get_string(*pod, "status.phase");
      if (phase != "Succeeded" && phase != "Failed") return true;
    }
    return false;
  }

  async::Task<> bind(reconcile::Pass& pass, std::string uid) {
    const std::string wanted = base::get_string(pass.original(), "spec.storageClassName", kClass);
    if (!wanted.empty() && wanted != kClass) {
      base::set(pass.object(), "status.phase", json::value("Pending"));
      pass.set_condition("Bound", false, "NoClass",
                         fmt::format("there is no storage class \"{}\"; {} is the only one", wanted, kClass),
                         host_.clock());
      co_await pass.commit();
      co_return;
    }
    const auto made =
        co_await host_.runtime().blocking([root = host_.config().dir("volumes"), uid]() -> base::Result<> {
          MAINSTAY_TRY_VOID(base::make_directories(root, 0711));
          MAINSTAY_TRY_VOID(base::make_directories(root / uid, 0777));
          // Whichever user the container runs as; nobody else gets here, DIR is closed.
          ::chmod((root / uid).c_str(), 0777);
          return {};
        });
    if (!made) throw base::from_error(made.error());
    base::set(pass.object(), "status.phase", json::value("Bound"));
    base::set(pass.object(), "status.accessModes", json::value(base::get_array(pass.original(), "spec.accessModes")));
    if (const json::value* size = base::find(pass.original(), "spec.resources.requests.storage"))
      base::set(pass.object(), "status.capacity.storage", *size);
    pass.set_condition("Bound", true, "Made", "pods can mount it", host_.clock());
    co_await pass.commit();
  }

  platform::Host& host_;
  client::ApiClient client_;
};

}  // namespace

std::vector<std::string> claims_of(const json::value& pod) {
  std::vector<std::string> out;
  for (const json::value& volume : base::get_array(pod, "spec.volumes"))
    if (std::string name = base::get_string(volume, "persistentVolumeClaim.claimName"); !name.empty())
      out.push_back(std::move(name));
  return out;
}

base::Result<fs::path> claim_directory(const fs::path& pod_directory, const json::value& volume,
                                       const EnvironmentSources& sources) {
  const std::string name = base::get_string(volume, "persistentVolumeClaim.claimName");
  const client::ObjectPtr claim = sources.volume_claim ? sources.volume_claim(name) : nullptr;
  if (!claim)
    return base::fail(base::ErrorCode::kNotFound, fmt::format("persistentvolumeclaim \"{}\" not found", name));
  const std::string uid = base::get_string(*claim, "metadata.uid");
  if (base::get_string(*claim, "status.phase") != "Bound" || !is_uid(uid) ||
      !base::get_string(*claim, "metadata.deletionTimestamp").empty())
    return base::fail(base::ErrorCode::kNotFound,
                      fmt::format("persistentvolumeclaim \"{}\" is not bound, or is being deleted", name));
  // DIR/pods/<pod's uid> beside DIR/volumes/<claim's uid>.
  return pod_directory.parent_path().parent_path() / "volumes" / uid;
}

void register_volume_claims(platform::Host& host) {
  auto claims = std::make_shared<ClaimReconciler>(host);
  reconcile::ControllerOptions options;
  options.name = "volume-claim";
  options.primary = kVolumeClaims;
  options.also = {{resources::kPods, [](const json::value& pod) {
                     std::vector<reconcile::Name> names;
                     for (std::string& name : claims_of(pod))
                       names.push_back({base::get_string(pod, "metadata.namespace"), std::move(name)});
                     return names;
                   }}};
  host.add_controller(options, [claims](reconcile::Name name) { return claims->reconcile(std::move(name)); });
}

}  // namespace mainstay::compute
