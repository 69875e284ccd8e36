// image: base images from Debian's packages, for where no public registry can be reached.
#include <unistd.h>

#include <fstream>

#include "async/process.h"
#include "base/embedded.h"
#include "base/strings.h"
#include "cli/output.h"
#include "cli/registry_push.h"
#include "cli/verbs.h"

namespace mainstay::embedded {
base::EmbeddedFiles cli_files();
}

namespace mainstay::cli {
namespace fs = std::filesystem;
namespace {

struct ImageOptions {
  std::string name, suite = "bookworm", variant = "extract", packages;
};

std::pair<std::string, std::string> repository_and_tag(const std::string& name) {
  const auto colon = name.rfind(':');
  if (colon == std::string::npos || name.find('/') == std::string::npos || name.find('/', colon) != std::string::npos)
    throw Failure{
        kUsage,
        fmt::format("\"{}\" is not REPOSITORY:TAG with a team or `library` first, as in library/debian:bookworm-slim",
                    name)};
  return {name.substr(0, colon), name.substr(colon + 1)};
}

// What the packages of every image of ours include: a shell, the usual commands, roots of trust.
constexpr const char* kBasePackages = "base-files,dash,coreutils,libc6,libstdc++6,netbase,ca-certificates,tzdata";

async::Task<> debootstrap(const ImageOptions& o, fs::path folder) {
  const fs::path hook = folder / "hook.sh";
  {
    std::ofstream out(hook);
    out << embedded::cli_files()[0].content;
  }
  fs::permissions(hook, fs::perms::owner_all);
  async::ProcessOptions options;
  options.argv = {"mmdebstrap",
                  "--mode=root",
                  "--skip=check/qemu",
                  "--variant=" + o.variant,
                  "--aptopt=APT::Install-Recommends \"false\"",
                  "--aptopt=Acquire::Languages \"none\""};
  for (const char* left_out : {"doc", "man", "locale", "info"})
    options.argv.push_back(fmt::format("--dpkgopt=path-exclude=/usr/share/{}/*", left_out));
  std::string packages = o.variant == "extract" ? kBasePackages : "";
  if (!o.packages.empty()) packages += (packages.empty() ? "" : ",") + o.packages;
  if (!packages.empty()) options.argv.push_back("--include=" + packages);
  if (o.variant == "extract") {
    options.argv.push_back("--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr");
    options.argv.push_back("--extract-hook=" + hook.string());
  }
  options.argv.push_back(o.suite);
  options.argv.push_back(folder / "layer.tar");
  options.env = {{"LC_ALL", "C"}, {"TMPDIR", folder.string()}, {"SOURCE_DATE_EPOCH", "1700000000"}};
  for (const char* kept : {"http_proxy", "https_proxy", "no_proxy"}) {
    if (const char* value = std::getenv(kept)) options.env[kept] = value;
  }
  auto done = co_await async::run_process(std::move(options), "", std::chrono::minutes(15));
  if (!done) throw Failure{kFailed, "mmdebstrap: " + done.error().message + "; apt-get install mmdebstrap"};
  if (!done->status.ok()) {
    const std::string tail = done->err.size() > 3000 ? done->err.substr(done->err.size() - 3000) : done->err;
    throw Failure{kFailed, fmt::format("mmdebstrap failed (exit {}); it ended with:\n{}", done->status.code, tail)};
  }
}

async::Task<int> create(Session& session, const ImageOptions& o) {
  const auto [repository, tag] = repository_and_tag(o.name);
  if (::geteuid() != 0) throw Failure{kUsage, "image create unpacks Debian packages with their owners: run it as root"};
  char folder_name[] = "/var/tmp/mainstay-image-XXXXXX";
  if (::mkdtemp(folder_name) == nullptr) throw Failure{kFailed, "cannot make a folder in /var/tmp"};
  const fs::path folder = folder_name;
  struct Remove {
    fs::path folder;
    ~Remove() {
      std::error_code ignored;
      fs::remove_all(folder, ignored);
    }
  } remove{folder};
  co_await debootstrap(o, folder);
  NewImage image;
  image.repository = repository;
  image.tag = tag;
  image.layer_tar = folder / "layer.tar";
  image.config = {{"Env", json::array{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}},
                  {"Cmd", json::array{"/bin/sh"}}};
  image.comment = fmt::format("mainstay image create {} --suite {} --variant {} --packages {}", o.name, o.suite,
                              o.variant, o.packages);
  const std::string digest = co_await push_image(session, std::move(image));
  print(fmt::format("{}:{}@{}\n", repository, tag, digest));
  co_return kDone;
}

async::Task<int> exists(Session& session, const ImageOptions& o) {
  const auto [repository, tag] = repository_and_tag(o.name);
  co_return co_await image_exists(session, repository, tag) ? kDone : kNotFound;
}

}  // namespace

void add_image_verbs(Command app, Context& context) {
  Command image = app.add_subcommand("image", "Base images from Debian's packages").require_subcommand();
  auto o = std::make_shared<ImageOptions>();
  Command make = image.add_subcommand("create", "Make a base image from Debian's packages and push it (as root)");
  make.option("name", o->name, "REPOSITORY:TAG, as in library/debian:bookworm-slim").required();
  make.option("--suite", o->suite, "Debian's release").show_default();
  make.option("--packages", o->packages, "Further packages, comma separated");
  make.option("--variant", o->variant, "extract: just the packages, small; minbase: a Debian with apt and dpkg")
      .one_of({"extract", "minbase"})
      .show_default();
  make.callback([&context, o] { context.choose(&create, o); });
  Command there = image.add_subcommand("exists", "Exit code 0 where the image is in the registry, 4 where not");
  there.option("name", o->name, "REPOSITORY:TAG").required();
  there.callback([&context, o] { context.choose(&exists, o); });
}

}  // namespace mainstay::cli
