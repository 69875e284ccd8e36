// vuln: vulnerability data into the platform, and what is known against a team's images.
#include "base/strings.h"
#include "cli/file_body.h"
#include "cli/output.h"
#include "cli/verbs.h"

namespace mainstay::cli {
namespace {

const client::Resource kReports{"mainstay.dev", "v1", "imagereports", true, "ImageReport"};
constexpr std::uintmax_t kMaxFile = 512u << 20;

struct VulnOptions {
  std::vector<std::string> files;
  std::string team, name, severity, output;
};

// An import is answered when it is done, which takes a minute for the largest files.
constexpr std::chrono::minutes kImportLimit{15};

async::Task<int> import(Session& session, const VulnOptions& o) {
  net::ClientOptions options;
  options.tls.ca_pem = session.ca_pem();
  options.response_timeout = kImportLimit;
  auto client = net::Client::create(session.runtime().executor(), session.server(), options);
  if (!client) throw Failure{kUnreachable, client.error().message};
  const std::string token = co_await session.bearer_token();
  for (const std::string& file : o.files) {
    std::error_code unreadable;
    if (std::filesystem::file_size(file, unreadable) > kMaxFile && !unreadable)
      throw Failure{kFailed, fmt::format("{} is over 512 MiB: import the zips of single ecosystems instead", file)};
    net::ClientRequest request;
    request.method = "POST";
    request.target = "/provenance/v1/vulnerabilities";
    request.headers.set("Content-Type", "application/octet-stream");
    request.stream = file_body(file);
    request.headers.set("Authorization", "Bearer " + token);
    auto response = co_await (*client)->send(std::move(request));
    if (!response) throw Failure{kUnreachable, fmt::format("{}: {}", file, response.error().message)};
    const std::string body = co_await response->body->read_all(1u << 20);
    const auto answer = base::parse_json(body);
    if (response->status != 200)
      throw base::StatusError::from_json(response->status, answer ? *answer : json::value(body));
    if (!o.output.empty())
      print(format_object(*answer, o.output));
    else
      print(fmt::format("{}: {} advisories ({}), {} ranges of versions\n", file, base::get_int(*answer, "advisories"),
                        base::get_string(*answer, "format"), base::get_int(*answer, "ranges")));
  }
  co_return kDone;
}

std::string count(const json::value& report, const char* severity) {
  return std::to_string(base::get_int(report, fmt::format("status.summary.{}", severity)));
}

async::Task<int> list(Session& session, const VulnOptions& o) {
  const json::value reports = co_await session.client().list(kReports, o.team);
  if (!o.output.empty()) {
    print(format_object(reports, o.output));
    co_return kDone;
  }
  std::vector<std::vector<std::string>> rows;
  for (const json::value& report : base::get_array(reports, "items"))
    rows.push_back({base::get_string(report, "metadata.name"), base::get_string(report, "spec.repository"),
                    count(report, "critical"), count(report, "high"), count(report, "medium"), count(report, "low"),
                    std::to_string(base::get_int(report, "status.packages")),
                    age(base::get_string(report, "status.scannedAt"))});
  print(format_table({"REPORT", "IMAGE", "CRITICAL", "HIGH", "MEDIUM", "LOW", "PACKAGES", "SCANNED"}, rows));
  co_return kDone;
}

async::Task<int> show(Session& session, const VulnOptions& o) {
  const json::value report = co_await session.client().get(kReports, o.team, o.name);
  if (!o.output.empty()) {
    print(format_object(report, o.output));
    co_return kDone;
  }
  if (const std::string message = base::get_string(report, "status.message"); !message.empty()) print(message + "\n");
  if (base::get_int(report, "status.dataRevision") == 0)
    print("there is no vulnerability data yet: an administrator loads it with mainstay vuln import FILE\n");
  std::vector<std::vector<std::string>> rows;
  for (const json::value& f : base::get_array(report, "status.findings")) {
    if (!o.severity.empty() && base::get_string(f, "severity") != o.severity) continue;
    const std::string fixed = base::get_string(f, "fixedVersion");
    rows.push_back({base::get_string(f, "id"), base::get_string(f, "severity"), base::get_string(f, "package"),
                    base::get_string(f, "version"), fixed.empty() ? "-" : fixed, base::get_string(f, "link")});
  }
  print(format_table({"ID", "SEVERITY", "PACKAGE", "VERSION", "FIXED IN", "LINK"}, rows));
  co_return kDone;
}

}  // namespace

void add_vuln_verbs(Command app, Context& context) {
  auto o = std::make_shared<VulnOptions>();
  Command vuln = app.add_subcommand("vuln", "Known vulnerabilities of images");
  vuln.require_subcommand();
  Command load = vuln.add_subcommand("import",
                                     "Load vulnerability data from files: OSV (JSON or zip), or the "
                                     "Debian security tracker's JSON");
  load.option("files", o->files, "The files").required().existing_file();
  load.callback([&context, o] { context.choose(&import, o); });
  Command all = vuln.add_subcommand("list", "A team's images, with how many findings they have");
  all.callback([&context, o] { context.choose(&list, o); });
  Command one = vuln.add_subcommand("show", "The findings of one image");
  one.option("report", o->name, "The report's name, from vuln list").required();
  one.option("--severity", o->severity, "Only these")
      .one_of({"critical", "high", "medium", "low", "negligible", "unknown"});
  one.callback([&context, o] { context.choose(&show, o); });
  for (Command sub : {all, one}) sub.option("--team", o->team, "The team").required();
  for (Command sub : {load, all, one}) sub.option("-o,--output", o->output, "json or yaml").one_of({"json", "yaml"});
}

}  // namespace mainstay::cli
