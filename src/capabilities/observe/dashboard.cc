#include "capabilities/observe/dashboard.h"

#include <fmt/format.h>

#include "base/status.h"
#include "capabilities/observe/logql.h"

namespace mainstay::observe {
namespace {
namespace json = boost::json;

constexpr std::size_t kMaxPanels = 200, kMaxTargets = 26, kMaxExpression = 8000;
constexpr std::string_view kTypes[] = {"timeseries", "stat", "table", "logs", "gauge",
                                       "bargauge",   "row",  "text",  "graph"};

std::unexpected<base::Error> wrong(std::string message) {
  return base::fail(base::ErrorCode::kInvalid, std::move(message));
}

// A query of logs without variables must parse; what variables stand for is known only when it is drawn.
base::Result<> check_target(const json::value& target, const std::string& where, bool logs) {
  const std::string expression = base::get_string(target, "expr");
  if (expression.empty() || expression.size() > kMaxExpression)
    return wrong(fmt::format("{}.expr: a query of 1 to {} characters", where, kMaxExpression));
  if (!logs || expression.find('$') != std::string::npos) return {};
  const auto parsed = parse_logql(expression);
  return parsed ? base::Result<>{} : wrong(fmt::format("{}.expr: {}", where, parsed.error().message));
}

base::Result<> check_panels(const json::value& holder, const std::string& where, std::size_t& count, bool nested) {
  const json::value* panels = base::find(holder, "panels");
  if (panels && !panels->is_array()) return wrong(where + "panels: a list");
  int index = 0;
  for (const auto& panel : base::get_array(holder, "panels")) {
    const std::string at = fmt::format("{}panels[{}]", where, index++), type = base::get_string(panel, "type");
    if (++count > kMaxPanels) return wrong(fmt::format("panels: at most {}", kMaxPanels));
    if (std::find(std::begin(kTypes), std::end(kTypes), type) == std::end(kTypes))
      return wrong(fmt::format("{}.type: \"{}\" is none of {}", at, type, fmt::join(kTypes, ", ")));
    const auto& targets = base::get_array(panel, "targets");
    if (targets.size() > kMaxTargets) return wrong(fmt::format("{}.targets: at most {}", at, kMaxTargets));
    int number = 0;
    for (const auto& target : targets)
      if (auto checked = check_target(target, fmt::format("{}.targets[{}]", at, number++), type == "logs"); !checked)
        return checked;
    if (type != "row") continue;
    if (nested) return wrong(at + ": a row within a row");
    if (auto checked = check_panels(panel, at + ".", count, true); !checked) return checked;
  }
  return {};
}

async::Task<> admit(api::AdmissionRequest& request) {
  const json::value* spec = base::find(*request.object, "spec");
  const auto checked = check_dashboard(spec ? *spec : json::value(json::object{}));
  if (!checked)
    throw base::invalid("Dashboard", request.name, {{"spec", "FieldValueInvalid", checked.error().message}});
  co_return;
}

}  // namespace

base::Result<> check_dashboard(const json::value& spec) {
  std::size_t count = 0;
  if (const std::string text = base::get_string(spec, "json"); !text.empty()) {
    const auto model = base::parse_json(text, 32);
    if (!model || !model->is_object()) return wrong("json: not a JSON object");
    if (base::get_string(*model, "title").empty()) return wrong("json: the dashboard has no title");
    return check_panels(*model, "json.", count, false);
  }
  if (base::get_string(spec, "title").empty()) return wrong("title: a dashboard has one");
  return check_panels(spec, "", count, false);
}

api::AdmissionPlugin dashboard_admission() {
  api::AdmissionPlugin plugin;
  plugin.name = "dashboards";
  plugin.matches = [](const api::AdmissionRequest& r) {
    return r.type && r.type->plural == "dashboards" && r.type->group == "mainstay.dev" &&
           r.operation != api::Operation::kDelete && r.subresource.empty();
  };
  plugin.admit = [](api::AdmissionRequest& r) { return admit(r); };
  return plugin;
}

}  // namespace mainstay::observe
