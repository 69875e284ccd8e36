// status: the seven capabilities, who provides them, how they are, and what is lost where one is absent.
#include "cli/output.h"
#include "cli/verbs.h"

namespace mainstay::cli {
namespace {

struct StatusOptions {
  std::string output;
};

async::Task<int> status(Session& session, const StatusOptions& o) {
  const json::value list = co_await session.client().list(client::resources::kCapabilities, "");
  if (!o.output.empty()) {
    print(format_object(list, o.output));
    co_return kDone;
  }
  std::vector<json::value> items(base::get_array(list, "items").begin(), base::get_array(list, "items").end());
  std::sort(items.begin(), items.end(), [](const json::value& a, const json::value& b) {
    return std::pair(base::get_int(a, "spec.number"), base::get_string(a, "metadata.name")) <
           std::pair(base::get_int(b, "spec.number"), base::get_string(b, "metadata.name"));
  });
  std::vector<std::vector<std::string>> rows;
  std::string lost;
  bool all_well = true;
  for (const json::value& c : items) {
    const std::string provider = base::get_string(c, "status.provider");
    const bool healthy = base::get_bool(c, "status.healthy");
    const bool absent = provider.empty() || provider == "none";
    const std::string part = base::get_string(c, "spec.part"), title = base::get_string(c, "spec.title");
    rows.push_back({std::to_string(base::get_int(c, "spec.number")), title, part.empty() ? "-" : part,
                    absent ? "-" : provider,
                    base::get_string(c, "status.engine", "-").empty() ? "-" : base::get_string(c, "status.engine", "-"),
                    absent    ? "absent"
                    : healthy ? "healthy"
                              : "unhealthy",
                    absent ? "" : base::get_string(c, "status.message")});
    if (absent)
      lost += fmt::format("without {}: {}\n", part.empty() ? title : part, base::get_string(c, "spec.lostWithout"));
    all_well = all_well && (healthy || absent);
  }
  print(format_table({"#", "CAPABILITY", "PART", "PROVIDER", "ENGINE", "HEALTH", "MESSAGE"}, rows));
  if (!lost.empty()) print("\n" + lost);
  co_return all_well ? kDone : kFailed;
}

}  // namespace

void add_status_verb(Command app, Context& context) {
  auto o = std::make_shared<StatusOptions>();
  Command sub =
      app.add_subcommand("status", "The seven capabilities and their health (exit code 1 where one is unhealthy)");
  sub.option("-o,--output", o->output, "json or yaml").one_of({"json", "yaml"});
  sub.callback([&context, o] { context.choose(&status, o); });
}

}  // namespace mainstay::cli
