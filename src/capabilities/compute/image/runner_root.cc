#include "capabilities/compute/image/runner_root.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/ids.h"
#include "base/log.h"
#include "capabilities/compute/fs.h"
#include "crypto/digest.h"
#include "platform/interfaces/images.h"

namespace mainstay::compute {
namespace fs = std::filesystem;
namespace {

constexpr const char* kPasswd =
    "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\nrunner:x:1001:1001:runner:/home/runner:/bin/bash\n";
constexpr const char* kGroup = "root:x:0:\ndaemon:x:1:\ntty:x:5:\nnogroup:x:65534:\nrunner:x:1001:\n";
constexpr const char* kNsswitch = "passwd: files\ngroup: files\nhosts: files dns\n";
// Links in /etc/ssl/certs and /etc/alternatives lead into /usr, which is the host's here too.
constexpr const char* kCopied[] = {"ssl/certs", "alternatives"};
constexpr const char* kLayoutVersion = "4";
constexpr const char* kUsrLocalBin = "/usr/local/bin";
constexpr const char* kHostLocalBin = "/opt/mainstay/host-bin";

std::string newest(const char* path) {
  struct stat info{};
  return ::stat(path, &info) == 0 ? fmt::format("{}:{}:{};", path, info.st_mtim.tv_sec, info.st_ino) : "";
}

base::Result<> copy_tree(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::create_directories(to, error);
  for (const auto& entry : fs::directory_iterator(from, error)) {
    std::error_code ignored;  // a dangling link or a special file is no loss
    if (entry.is_symlink(ignored)) {
      fs::copy_symlink(entry.path(), to / entry.path().filename(), ignored);
    } else if (entry.is_regular_file(ignored)) {
      fs::copy_file(entry.path(), to / entry.path().filename(), ignored);
    }
  }
  return {};
}

base::Result<> write_all(const fs::path& dir, std::initializer_list<std::pair<const char*, std::string>> files) {
  for (const auto& [name, content] : files) {
    MAINSTAY_TRY_VOID(base::make_directories((dir / name).parent_path(), 0755));
    MAINSTAY_TRY_VOID(write_light(dir / name, content, 0644));
  }
  return {};
}

void give_to_user_namespace(const fs::path& root) {
  std::error_code ignored;
  ::lchown(root.c_str(), kUserNamespaceBase, kUserNamespaceBase);
  for (fs::recursive_directory_iterator it(root, ignored), end; !ignored && it != end; it.increment(ignored))
    ::lchown(it->path().c_str(), kUserNamespaceBase, kUserNamespaceBase);
}

}  // namespace

RunnerRoot::RunnerRoot(const base::Config& config, std::string ca)
    : config_(config), ca_(std::move(ca)), base_(config.dir("pods") / ".runner") {}

base::Result<> RunnerRoot::make_containers_config(const fs::path& etc) const {
  const std::string registry = base::HostPort{config_.node_address(), config_.listen.port}.to_string();
  std::string mirrors;
  // Names users know lead to our own registry: what the API's address means outside, and the base images it keeps.
  if (registry != config_.registry_host())
    mirrors += fmt::format("[[registry]]\nprefix = \"{}\"\nlocation = \"{}\"\n", config_.registry_host(), registry);
  // Builds never leave the machine by themselves: public registries are reached through the platform's cache. The base
  // images that this platform has made go before those of docker.io.
  for (const auto& known : platform::kPublicRegistries)
    mirrors += fmt::format("[[registry]]\nprefix = \"{0}\"\nlocation = \"{1}/{0}\"\n", known.name, registry);
  mirrors += fmt::format(
      "[[registry]]\nprefix = \"docker.io/library\"\nlocation = \"{0}/docker.io/library\"\n"
      "[[registry.mirror]]\nlocation = \"{0}/library\"\n",
      registry);
  MAINSTAY_TRY_VOID(write_all(
      etc / "containers",
      {{"storage.conf",
        "[storage]\ndriver = \"overlay\"\ngraphroot = \"/var/lib/containers/storage\"\nrunroot = "
        "\"/run/containers/storage\"\n"
        "[storage.options.overlay]\nmountopt = \"nodev\"\n"},
       {"registries.conf",
        "unqualified-search-registries = [\"docker.io\"]\nshort-name-mode = \"disabled\"\n" + mirrors},
       // What a build may be based on is for the deploy policy to judge, by provenance; here nothing is trusted yet.
       {"policy.json", "{\"default\": [{\"type\": \"insecureAcceptAnything\"}]}\n"},
       // buildah's chroot isolation gives RUN these, and fails where the container does not hold one of them.
       {"containers.conf",
        "[containers]\ndefault_capabilities = [\"CHOWN\", \"DAC_OVERRIDE\", \"FOWNER\", \"FSETID\", \"SETGID\", "
        "\"SETUID\", \"SETFCAP\", \"KILL\"]\n"}}));
  for (const std::string& name : {registry, config_.registry_host()})
    MAINSTAY_TRY_VOID(write_all(etc / "containers" / "certs.d" / name, {{"ca.crt", ca_}}));
  return {};
}

base::Result<> RunnerRoot::make_etc(const fs::path& etc) const {
  MAINSTAY_TRY_VOID(write_all(etc, {{"passwd", kPasswd},
                                    {"group", kGroup},
                                    {"nsswitch.conf", kNsswitch},
                                    {"hosts", "127.0.0.1 localhost\n"},
                                    {"resolv.conf", ""},
                                    {"mtab", ""},
                                    {"subuid", "root:1:65535\n"},
                                    {"subgid", "root:1:65535\n"},
                                    {"ld.so.cache", slurp("/etc/ld.so.cache", 16u << 20)},
                                    {"debian_version", slurp("/etc/debian_version")}}));
  for (const char* name : kCopied) MAINSTAY_TRY_VOID(copy_tree(fs::path("/etc") / name, etc / name));
  // The platform's own CA beside the public ones: git, curl and the like trust the API without being told.
  const std::string bundle = slurp("/etc/ssl/certs/ca-certificates.crt", 16u << 20) + ca_;
  std::error_code ignored;
  fs::remove(etc / "ssl/certs/ca-certificates.crt", ignored);
  MAINSTAY_TRY_VOID(write_all(etc, {{"ssl/certs/ca-certificates.crt", bundle}, {"mainstay/ca.crt", ca_}}));
  fs::create_symlink("../usr/lib/os-release", etc / "os-release", ignored);
  fs::copy_file("/etc/ssl/openssl.cnf", etc / "ssl/openssl.cnf", ignored);
  fs::copy_file("/etc/mime.types", etc / "mime.types", ignored);
  fs::copy_file("/etc/services", etc / "services", ignored);
  fs::copy_file("/etc/protocols", etc / "protocols", ignored);
  return make_containers_config(etc);
}

base::Result<> RunnerRoot::make_root(const fs::path& root, bool builds) const {
  for (const char* dir : {"usr", "etc", "proc", "sys", "dev", "run", "tmp", "var/tmp", "var/lib/containers", "root",
                          "home/runner", "workspace", "opt/mainstay/bin", "opt/mainstay/host-bin", "mnt", "srv"})
    MAINSTAY_TRY_VOID(base::make_directories(root / dir, 0755));
  std::error_code ignored;
  for (const char* name : {"bin", "sbin", "lib", "lib64"})
    fs::create_symlink(std::string("usr/") + name, root / name, ignored);
  MAINSTAY_TRY_VOID(write_light(root / "opt/mainstay/bin/mainstay", "", 0755));  // a mount point
  ::chmod((root / "tmp").c_str(), 01777);
  ::chmod((root / "var/tmp").c_str(), 01777);
  ::chmod((root / "workspace").c_str(), 0777);
  ::chmod((root / "root").c_str(), 0700);
  ::lchown((root / "home/runner").c_str(), 1001, 1001);
  MAINSTAY_TRY_VOID(make_etc(root / "etc"));
  if (builds) give_to_user_namespace(root);
  return {};
}

// The running program, kept under a name of its own: an upgrade replaces the file that we were started from.
base::Result<> RunnerRoot::keep_program() {
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  struct stat info{};
  if (::stat("/proc/self/exe", &info) != 0) return errno_error("our own program");
  const fs::path dir = base_ / "bin";
  MAINSTAY_TRY_VOID(base::make_directories(dir, 0755));
  program_ = dir / fmt::format("mainstay-{}-{}", info.st_size, info.st_mtim.tv_sec);
  if (fs::exists(program_, error)) return {};
  const fs::path fresh = program_.string() + ".new" + base::random_hex(4);
  // A link keeps the bytes even where the build writes a new file over the name; a copy where that is another disk.
  if (::link(self.c_str(), fresh.c_str()) != 0) {
    fs::copy_file("/proc/self/exe", fresh, error);
    if (error)
      return base::fail(base::ErrorCode::kInternal,
                        fmt::format("cannot keep a copy of the program in {}: {}", dir.string(), error.message()));
    ::chmod(fresh.c_str(), 0755);
  }
  if (::rename(fresh.c_str(), program_.c_str()) != 0) return errno_error("keeping the program");
  return {};
}

// A directory to show in place of /usr/local/bin, which is read-only with the rest of /usr: links to what is there, and
// to us.
base::Result<> RunnerRoot::make_local_bin() const {
  const fs::path dir = home_ / "local-bin";
  MAINSTAY_TRY_VOID(base::make_directories(dir, 0755));
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(kUsrLocalBin, ignored)) {
    fs::path target = fs::path(kHostLocalBin) / entry.path().filename();
    std::error_code bad;
    if (entry.is_symlink(bad)) {
      target = fs::read_symlink(entry.path(), bad);
      if (target.is_relative()) target = (fs::path(kUsrLocalBin) / target).lexically_normal();
    }
    fs::create_symlink(target, dir / entry.path().filename(), bad);
  }
  fs::remove(dir / "mainstay", ignored);
  fs::create_symlink("/opt/mainstay/bin/mainstay", dir / "mainstay", ignored);
  return {};
}

base::Result<> RunnerRoot::prepare() {
  MAINSTAY_TRY_VOID(base::make_directories(base_, 0711));
  ::chmod(config_.dir("pods").c_str(), 0711);
  ::chmod(base_.c_str(), 0711);
  MAINSTAY_TRY_VOID(keep_program());
  const std::string content = std::string(kLayoutVersion) + ca_ + config_.registry_host() + config_.pod_server_url() +
                              newest("/etc/ssl/certs") + newest("/etc/alternatives") + newest("/etc/ld.so.cache") +
                              newest(kUsrLocalBin);
  id_ = "sha256:" + crypto::sha256_hex(content);
  const fs::path final = base_ / id_.substr(7, 16);
  if (fs::exists(final)) {
    home_ = final;
    return {};
  }
  home_ = base_ / (".new-" + base::random_hex(6));
  MAINSTAY_TRY_VOID(make_root(home_ / "root", false));
  MAINSTAY_TRY_VOID(make_root(home_ / "build", true));
  MAINSTAY_TRY_VOID(make_local_bin());
  ::chmod(home_.c_str(), 0755);
  if (::rename(home_.c_str(), final.c_str()) != 0) return errno_error("the runner image");
  home_ = final;
  return {};
}

std::vector<Mount> RunnerRoot::mounts() const {
  std::vector<Mount> out{
      {"/usr", "bind", "/usr", {"rbind", "rprivate", "ro", "nosuid", "nodev"}},
      {"/opt/mainstay/bin/mainstay", "bind", program_, {"bind", "rprivate", "ro", "nosuid", "nodev"}}};
  std::error_code ignored;
  if (fs::is_directory(kUsrLocalBin, ignored)) {
    out.push_back({kHostLocalBin, "bind", kUsrLocalBin, {"bind", "rprivate", "ro", "nosuid", "nodev"}});
    out.push_back({kUsrLocalBin, "bind", home_ / "local-bin", {"bind", "rprivate", "ro", "nosuid", "nodev"}});
  }
  return out;
}

ImageConfig RunnerRoot::config() const {
  ImageConfig out;
  out.env = {{"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/mainstay/bin"},
             {"HOME", "/root"},
             {"LANG", "C.UTF-8"}};
  out.command = {"/bin/sh"};
  return out;
}

}  // namespace mainstay::compute
