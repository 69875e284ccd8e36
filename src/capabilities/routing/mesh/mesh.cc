#include "capabilities/routing/mesh/mesh.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "capabilities/routing/mesh/controller.h"

namespace mainstay::embedded {
base::EmbeddedFiles mesh_files();
}

namespace mainstay::mesh {
namespace {

async::Task<> start_mesh(std::shared_ptr<MeshController> mesh) { co_await mesh->start(); }
async::Task<> check_policy(std::string domain, api::AdmissionRequest& request) {
  const auto faults = policy_faults(*request.object, domain);
  if (!faults.empty()) throw base::invalid("AuthorizationPolicy.mainstay.dev", request.name, faults);
  co_return;
}

api::AdmissionPlugin policy_admission(std::string domain) {
  api::AdmissionPlugin plugin;
  plugin.name = "authorization-policies";
  plugin.matches = [](const api::AdmissionRequest& request) {
    return request.type->group == "mainstay.dev" && request.type->plural == "authorizationpolicies" &&
           request.operation != api::Operation::kDelete;
  };
  plugin.admit = [domain = std::move(domain)](api::AdmissionRequest& request) { return check_policy(domain, request); };
  return plugin;
}

async::Task<platform::Health> ask_health(std::shared_ptr<MeshController> mesh) { co_return mesh->health(); }

}  // namespace

void register_mesh(platform::Host& host) {
  host.add_files(embedded::mesh_files());
  host.api().add_admission(policy_admission(host.config().domain));
  if (!host.config().compute) return;
  auto mesh = std::make_shared<MeshController>(host);
  host.provide<platform::SandboxNetwork>(mesh);
  host.on_start("mesh", [mesh] { return start_mesh(mesh); });
  platform::CapabilityInfo info;
  info.name = "mesh";
  info.title = "Ingress and traffic routing";
  info.number = 5;
  info.part = "mesh";
  info.provider = "built-in";
  info.engine = "node proxy";
  info.lost_without = "pods speak to each other in plain text, and nobody can prove who calls";
  info.health = [mesh] { return ask_health(mesh); };
  host.add_capability(std::move(info));
}

void mesh_down(const base::Config& config) {
  if (::geteuid() != 0) return;
  const std::string table = config.bridge + "-mesh";
  // Made and deleted: no error where it was never there.
  const std::string command = "add table ip " + table + "; delete table ip " + table;
  char* argv[] = {const_cast<char*>("nft"), const_cast<char*>(command.c_str()), nullptr};
  pid_t pid = 0;
  if (::posix_spawn(&pid, "/usr/sbin/nft", nullptr, nullptr, argv, environ) == 0) ::waitpid(pid, nullptr, 0);
}

}  // namespace mainstay::mesh
