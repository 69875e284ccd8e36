#include "daemon/up.h"

#include <malloc.h>

#include <csignal>
#include <cstdio>
#include <exception>

#include "async/runtime.h"
#include "base/files.h"
#include "base/log.h"
#include "cli/command.h"
#include "daemon/capabilities.h"
#include "daemon/preflight.h"
#include "platform/platform.h"

namespace mainstay::daemon {
namespace {

struct Flags {
  std::string data_dir = "/var/lib/mainstay";
  std::string listen = "127.0.0.1:6443", http = "127.0.0.1:8080", https = "127.0.0.1:8443";
  std::string dns = "127.0.0.1:5353";
  std::string url, mesh_certificate_lifetime = "1h";
  std::string domain = "localhost", log_format = "text", log_level = "info";
  bool no_compute = false, preflight_only = false;
};

void declare(cli::Command app, Flags& flags, base::Config& config) {
  app.option("--data-dir", flags.data_dir, "All state lives below it").show_default();
  app.option("--listen", flags.listen, "The API's address: Kubernetes, git, OCI, OIDC").show_default();
  app.option("--url", flags.url,
             "How others reach the API, where that is not --listen: https://NAME[:PORT]. The issuer of tokens and "
             "the first part of images' names");
  app.option("--http", flags.http, "The edge's plain address, which redirects to TLS").show_default();
  app.option("--https", flags.https, "The edge's TLS address, where workloads are served").show_default();
  app.option("--domain", flags.domain, "Workloads are served below it").show_default();
  app.option("--dns", flags.dns, "The name server's address for others than pods, or off").show_default();
  app.option("--pod-cidr", config.pod_cidr, "Addresses for pods").show_default();
  app.option("--service-cidr", config.service_cidr, "Addresses for services").show_default();
  app.option("--bridge", config.bridge, "The name of the pods' bridge").show_default();
  app.option("--master-passphrase-file", config.master_passphrase_file,
             "A file (0600) with the passphrase that protects the master key; from its first use on it is needed at "
             "each start")
      .env("MAINSTAY_MASTER_PASSPHRASE_FILE");
  app.option("--mesh-certificate-lifetime", flags.mesh_certificate_lifetime,
             "How long a workload's certificate in the mesh is valid; renewed at half of it")
      .show_default();
  app.flag("--no-compute", flags.no_compute, "Serve the API without running pods (needs no root)");
  app.flag("--preflight", flags.preflight_only, "Check this machine, say what is to mend, and end");
  app.option("--log-format", flags.log_format, "text or json").one_of({"text", "json"}).show_default();
  app.option("--log-level", flags.log_level, "debug, info, warn or error")
      .one_of({"debug", "info", "warn", "error"})
      .show_default();
}

base::Result<> resolve(const Flags& flags, base::Config& config) {
  config.data_dir = std::filesystem::absolute(flags.data_dir);
  config.domain = flags.domain;
  config.compute = !flags.no_compute;
  if (!config.master_passphrase_file.empty())
    config.master_passphrase_file = std::filesystem::absolute(config.master_passphrase_file);
  MAINSTAY_TRY(config.listen, base::HostPort::parse(flags.listen));
  if (!flags.url.empty()) {
    MAINSTAY_TRY(config.url, base::parse_endpoint_url(flags.url));
  } else if (config.listen.any()) {
    return base::fail(base::ErrorCode::kInvalid,
                      fmt::format("--listen {0} names no address that others could use: add --url https://NAME:{1}, by "
                                  "which they reach this machine (it goes into tokens, certificates, kubeconfigs and "
                                  "images' names), or give --listen one address of this machine",
                                  config.listen.to_string(), config.listen.port));
  }
  MAINSTAY_TRY(const auto lifetime, base::parse_duration(flags.mesh_certificate_lifetime));
  config.mesh_certificate_lifetime = std::chrono::duration_cast<std::chrono::seconds>(lifetime);
  if (config.mesh_certificate_lifetime < std::chrono::seconds(10) ||
      config.mesh_certificate_lifetime > std::chrono::hours(24 * 30))
    return base::fail(base::ErrorCode::kInvalid, "--mesh-certificate-lifetime: from 10s to 720h");
  MAINSTAY_TRY(config.http, base::HostPort::parse(flags.http));
  MAINSTAY_TRY(config.https, base::HostPort::parse(flags.https));
  if (flags.dns == "off") {
    config.dns.port = 0;
  } else {
    MAINSTAY_TRY(config.dns, base::HostPort::parse(flags.dns));
  }
  return {};
}

// Prints the findings; true where none stands in the way.
bool passes(const std::vector<Finding>& findings) {
  bool passes = true;
  for (const Finding& finding : findings) {
    std::fprintf(stderr, "%s: %s\n  mend: %s\n", finding.fatal ? "preflight" : "preflight (warning)",
                 finding.what.c_str(), finding.mend.c_str());
    passes = passes && !finding.fatal;
  }
  return passes;
}

// What `mainstay down` must know of this start to find all that it left: names and networks, nothing secret.
void remember_settings(const base::Config& config) {
  const boost::json::value settings = {
      {"bridge", config.bridge}, {"podCidr", config.pod_cidr}, {"serviceCidr", config.service_cidr}};
  if (auto written = base::write_file(config.dir("run") / "settings.json", boost::json::serialize(settings)); !written)
    throw std::runtime_error(written.error().message);
}

int serve(const base::Config& config) {
  async::Runtime runtime;
  platform::Platform platform(runtime, config);
  remember_settings(config);
  // Nothing may pin the folder we were started in, and conmon leaves its `oom` mark where it was started.
  std::filesystem::current_path(config.dir("run"));
  for (const auto registered : capabilities()) platform.register_capability(registered);
  runtime.on_signal([&platform](int) { platform.stop(); });
  runtime.run(platform.run());
  return 0;
}

}  // namespace

int up_main(int argc, char** argv) {
  cli::CommandLine line(
      "Serves the platform in the foreground; prints a line that begins with `ready` when it answers.", "mainstay up");
  Flags flags;
  base::Config config;
  declare(line.root(), flags, config);
  if (const auto exit = line.parse(argc, argv)) return exit->print();
  base::log::set_json(flags.log_format == "json");
  base::log::set_level(flags.log_level == "debug"   ? base::log::Level::kDebug
                       : flags.log_level == "warn"  ? base::log::Level::kWarn
                       : flags.log_level == "error" ? base::log::Level::kError
                                                    : base::log::Level::kInfo);
  if (auto resolved = resolve(flags, config); !resolved) {
    std::fprintf(stderr, "mainstay up: %s\n", resolved.error().message.c_str());
    return 2;
  }
  if (!passes(preflight(config))) return 3;
  if (flags.preflight_only) {
    std::puts("preflight passed");
    return 0;
  }
  // Two arenas are enough for one loop and a small pool, and keep memory at rest low.
  ::mallopt(M_ARENA_MAX, 2);
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return serve(config);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "mainstay up: %s\n", e.what());
    return 1;
  }
}

}  // namespace mainstay::daemon
