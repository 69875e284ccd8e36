#include "capabilities/pipelines/score.h"

#include "base/quantity.h"
#include "base/strings.h"
#include "base/yaml.h"
#include "capabilities/pipelines/positions.h"

namespace mainstay::pipelines {
namespace {

constexpr std::size_t kMaxScore = 256u << 10;
constexpr int kProgressDeadline = 60;

json::object labels(const std::string& workload) {
  return {{"app.kubernetes.io/name", workload}, {"app.kubernetes.io/managed-by", "mainstay"}};
}

json::object annotations(const DeployTarget& target) {
  return {{"mainstay.dev/repository", target.team + "/" + target.repository},
          {"mainstay.dev/commit", target.commit},
          {"mainstay.dev/workflow-run", target.run}};
}

json::value deployment(const std::string& name, const DeployTarget& target, json::array containers,
                       std::int64_t replicas) {
  json::object spec{
      {"selector", json::object{{"matchLabels", json::object{{"app.kubernetes.io/name", name}}}}},
      {"progressDeadlineSeconds", kProgressDeadline},
      {"revisionHistoryLimit", 5},
      // The old pods serve until the new ones do.
      {"strategy", json::object{{"type", "RollingUpdate"},
                                {"rollingUpdate", json::object{{"maxUnavailable", 0}, {"maxSurge", 1}}}}},
      {"template",
       json::object{{"metadata", json::object{{"labels", labels(name)}, {"annotations", annotations(target)}}},
                    {"spec", json::object{{"containers", std::move(containers)}}}}}};
  // Not named here, the number stays with whoever scaled the Deployment.
  if (replicas > 0) spec["replicas"] = replicas;
  return json::object{{"apiVersion", "apps/v1"},
                      {"kind", "Deployment"},
                      {"metadata", json::object{{"name", name},
                                                {"namespace", target.team + "-" + target.environment},
                                                {"labels", labels(name)},
                                                {"annotations", annotations(target)}}},
                      {"spec", std::move(spec)}};
}

json::value service(const std::string& name, const DeployTarget& target, json::array ports) {
  return json::object{{"apiVersion", "v1"},
                      {"kind", "Service"},
                      {"metadata", json::object{{"name", name},
                                                {"namespace", target.team + "-" + target.environment},
                                                {"labels", labels(name)},
                                                {"annotations", annotations(target)}}},
                      {"spec", json::object{{"selector", json::object{{"app.kubernetes.io/name", name}}},
                                            {"ports", std::move(ports)}}}};
}

// Replaces ${metadata.name} and its like; `$${` is a plain "${".
class Placeholders {
 public:
  Placeholders(const json::value& document, const DeployTarget& target, std::string workload)
      : document_(document), target_(target), workload_(std::move(workload)) {}

  base::Result<std::string> expand(std::string_view text) const {
    std::string out;
    while (!text.empty()) {
      const std::size_t at = text.find('$');
      out += text.substr(0, at);
      if (at == std::string_view::npos) break;
      text.remove_prefix(at);
      if (text.starts_with("$${")) {
        out += "${";
        text.remove_prefix(3);
      } else if (text.starts_with("${")) {
        const std::size_t end = text.find('}');
        if (end == std::string_view::npos)
          return base::fail(base::ErrorCode::kInvalid, "\"${\" without its closing brace");
        MAINSTAY_TRY(const std::string value, look_up(text.substr(2, end - 2)));
        out += value;
        text.remove_prefix(end + 1);
      } else {
        out += '$';
        text.remove_prefix(1);
      }
    }
    return out;
  }

 private:
  // "metadata.annotations.mainstay\.dev/commit" in its segments: a dot after a backslash is a plain one.
  static std::vector<std::string> segments(std::string_view name) {
    std::vector<std::string> out(1);
    for (std::size_t i = 0; i < name.size(); ++i) {
      if (name[i] == '\\' && i + 1 < name.size()) {
        out.back() += name[++i];
      } else if (name[i] == '.') {
        out.emplace_back();
      } else {
        out.back() += name[i];
      }
    }
    return out;
  }
  base::Result<std::string> look_up(std::string_view name) const {
    const std::vector<std::string> path = segments(name);
    if (name == "metadata.name") return workload_;
    if (path.size() >= 3 && path[0] == "metadata" && path[1] == "annotations") {
      // A key may come without its dots escaped.
      const std::string key = base::join({path.begin() + 2, path.end()}, ".");
      const json::value* found = base::find(document_, {"metadata", "annotations", key});
      if (found != nullptr && found->is_string()) return std::string(found->as_string());
      const json::object ours = annotations(target_);
      if (const json::value* own = ours.if_contains(key)) return std::string(own->as_string());
    } else if (path.size() == 2 && path[0] == "metadata") {
      const json::value* found = base::find(document_, {"metadata", path[1]});
      if (found != nullptr && found->is_string()) return std::string(found->as_string());
    } else if (path.size() == 3 && path[0] == "resources" && path[2] == "host") {
      const json::value* type = base::find(document_, {"resources", path[1], "type"});
      if (type != nullptr && *type == json::value("dns")) return workload_ + target_.host;
    }
    return base::fail(base::ErrorCode::kInvalid, fmt::format("there is no value for ${{{}}}", name));
  }

  const json::value& document_;
  const DeployTarget& target_;
  std::string workload_;
};

class Renderer {
 public:
  Renderer(std::string_view file, std::string_view text, const json::value& document, const DeployTarget& target)
      : file_(file), document_(document), target_(target), positions_(Positions::of(text)) {}

  base::Result<RenderedWorkload> run() {
    if (!document_.is_object()) return fault("", "a Score file is a mapping with apiVersion, metadata and containers");
    if (base::get_string(document_, "apiVersion") != "score.dev/v1b1")
      return fault("apiVersion", "apiVersion must be score.dev/v1b1");
    MAINSTAY_TRY_VOID(known("", document_, {"apiVersion", "metadata", "service", "containers", "resources"}));
    RenderedWorkload out;
    out.name = base::get_string(document_, "metadata.name");
    if (auto ok = base::check_dns_label(out.name); !ok)
      return fault("metadata.name", "metadata.name " + ok.error().message);
    out.ns = target_.team + "-" + target_.environment;
    MAINSTAY_TRY_VOID(resources());
    const Placeholders placeholders(document_, target_, out.name);
    placeholders_ = &placeholders;
    MAINSTAY_TRY(json::array ports, service_ports());
    const json::object& listed = base::get_object(document_, "containers");
    if (listed.empty()) return fault("containers", "containers must have at least one container");
    json::array containers;
    for (const auto& entry : listed) {
      MAINSTAY_TRY(json::object rendered, container(std::string(entry.key()), entry.value()));
      containers.push_back(std::move(rendered));
    }
    if (!ports.empty()) out.port = base::get_int(ports[0], "targetPort");
    add_ports(containers, ports);
    std::int64_t replicas = 0;
    if (const json::value* wanted = base::find(document_, {"metadata", "annotations", "mainstay.dev/replicas"})) {
      const std::string number = wanted->is_string() ? std::string(wanted->as_string()) : base::to_json(*wanted);
      const auto parsed = base::parse_quantity(number);
      if (!parsed || *parsed < 1 || *parsed > 100)
        return fault("metadata.annotations", "mainstay.dev/replicas must be 1 to 100");
      replicas = *parsed;
    }
    out.deployment = deployment(out.name, target_, std::move(containers), replicas);
    if (!ports.empty()) out.service = service(out.name, target_, std::move(ports));
    return out;
  }

 private:
  std::unexpected<base::Error> fault(const std::string& path, std::string what) const {
    const Position at = positions_.find(path);
    return base::fail(base::ErrorCode::kInvalid, fmt::format("{}:{}:{}: {}", file_, at.line, at.column, what));
  }
  base::Result<> known(const std::string& path, const json::value& object,
                       std::initializer_list<std::string_view> keys) const {
    if (!object.is_object()) return fault(path, fmt::format("{} must be a mapping", path));
    for (const auto& entry : object.as_object()) {
      if (std::ranges::find(keys, std::string_view(entry.key())) != keys.end()) continue;
      const std::string where = path.empty() ? std::string(entry.key()) : path + "." + std::string(entry.key());
      return fault(where, fmt::format("{} is not in this version", where));
    }
    return {};
  }
  base::Result<std::string> text(const std::string& path, const json::value& value) const {
    if (value.is_object() || value.is_array() || value.is_null())
      return fault(path, fmt::format("{} must be a text", path));
    const std::string plain = value.is_string() ? std::string(value.as_string()) : base::to_json(value);
    auto expanded = placeholders_->expand(plain);
    if (!expanded) return fault(path, fmt::format("{}: {}", path, expanded.error().message));
    return expanded;
  }

  base::Result<> resources() const {
    for (const auto& entry : base::get_object(document_, "resources")) {
      const std::string type = base::get_string(entry.value(), "type");
      // The workload's own name and its route exist without being asked for.
      if (type == "dns" || type == "route") continue;
      const std::string path = "resources." + std::string(entry.key());
      return fault(path, fmt::format("{}: resources of type \"{}\" are not in this version (there are dns and route); "
                                     "put addresses and credentials into variables",
                                     path, type));
    }
    return {};
  }
  base::Result<json::array> service_ports() const {
    json::array out;
    for (const auto& entry : base::get_object(document_, "service.ports")) {
      const std::string name(entry.key()), path = "service.ports." + name;
      MAINSTAY_TRY_VOID(known(path, entry.value(), {"port", "targetPort", "protocol"}));
      const std::int64_t port = base::get_int(entry.value(), "port"),
                         inner = base::get_int(entry.value(), "targetPort", port);
      if (port < 1 || port > 65535 || inner < 1 || inner > 65535)
        return fault(path, fmt::format("{}: ports are 1 to 65535", path));
      if (auto ok = base::check_dns_label(name); !ok || name.size() > 15)
        return fault(path, fmt::format("{}: the name must be a DNS label of at most 15 characters", path));
      const std::string protocol = base::get_string(entry.value(), "protocol", "TCP");
      if (protocol != "TCP" && protocol != "UDP")
        return fault(path, fmt::format("{}.protocol must be TCP or UDP", path));
      out.push_back(json::object{{"name", name}, {"port", port}, {"targetPort", inner}, {"protocol", protocol}});
    }
    return out;
  }
  base::Result<json::object> container(const std::string& name, const json::value& value) const {
    const std::string path = "containers." + name;
    if (auto ok = base::check_dns_label(name); !ok)
      return fault(path, fmt::format("{}: the name {}", path, ok.error().message));
    MAINSTAY_TRY_VOID(
        known(path, value, {"image", "command", "args", "variables", "resources", "livenessProbe", "readinessProbe"}));
    const json::object& object = value.as_object();
    json::object out{{"name", name}};
    if (!object.contains("image"))
      return fault(path, fmt::format("{}.image is missing (\".\" is the image built from this repository)", path));
    MAINSTAY_TRY(const std::string image, text(path + ".image", object.at("image")));
    if (image == "." && target_.image.empty())
      return fault(path + ".image", fmt::format("{}.image is \".\", and no step of this run built an image", path));
    out["image"] = image == "." ? target_.image : image;
    for (std::string_view list : {"command", "args"}) {
      const json::value* items = object.if_contains(list);
      if (items == nullptr) continue;
      const std::string where = fmt::format("{}.{}", path, list);
      if (!items->is_array()) return fault(where, where + " must be a list");
      json::array texts;
      for (const json::value& item : items->as_array()) {
        MAINSTAY_TRY(std::string expanded, text(where, item));
        texts.push_back(json::string(expanded));
      }
      out[list] = std::move(texts);
    }
    json::array variables;
    for (const auto& entry : base::get_object(value, "variables")) {
      MAINSTAY_TRY(std::string expanded,
                   text(fmt::format("{}.variables.{}", path, std::string_view(entry.key())), entry.value()));
      variables.push_back(json::object{{"name", entry.key()}, {"value", expanded}});
    }
    if (!variables.empty()) out["env"] = std::move(variables);
    MAINSTAY_TRY(json::object amounts, quantities(path, value));
    if (!amounts.empty()) out["resources"] = std::move(amounts);
    for (std::string_view probe : {"livenessProbe", "readinessProbe"}) {
      if (!object.contains(probe)) continue;
      MAINSTAY_TRY(json::object rendered, this->probe(fmt::format("{}.{}", path, probe), object.at(probe)));
      out[probe] = std::move(rendered);
    }
    return out;
  }
  base::Result<json::object> quantities(const std::string& path, const json::value& value) const {
    json::object out;
    for (std::string_view side : {"limits", "requests"}) {
      for (const auto& entry : base::get_object(value, fmt::format("resources.{}", side))) {
        const std::string where = fmt::format("{}.resources.{}.{}", path, side, std::string_view(entry.key()));
        if (entry.key() != "cpu" && entry.key() != "memory")
          return fault(where, where + " is not in this version (there are cpu and memory)");
        MAINSTAY_TRY(const std::string amount, text(where, entry.value()));
        if (auto ok = base::parse_quantity_milli(amount); !ok)
          return fault(where, fmt::format("{}: {}", where, ok.error().message));
        base::json::value& sides = out[side];
        if (!sides.is_object()) sides = json::object();
        sides.as_object()[entry.key()] = json::string(amount);
      }
    }
    return out;
  }
  base::Result<json::object> probe(const std::string& path, const json::value& value) const {
    MAINSTAY_TRY_VOID(known(path, value, {"httpGet", "exec"}));
    const json::value* get = value.as_object().if_contains("httpGet");
    if (get == nullptr) {
      const json::value* command = base::find(value, "exec.command");
      if (command == nullptr || !command->is_array()) return fault(path, path + " needs httpGet or exec.command");
      return json::object{{"exec", json::object{{"command", *command}}}, {"periodSeconds", 2}};
    }
    MAINSTAY_TRY_VOID(known(path + ".httpGet", *get, {"host", "scheme", "path", "port", "httpHeaders"}));
    const std::int64_t port = base::get_int(*get, "port");
    if (port < 1 || port > 65535) return fault(path + ".httpGet.port", path + ".httpGet.port must be 1 to 65535");
    MAINSTAY_TRY(const std::string where,
                 text(path + ".httpGet.path",
                      get->as_object().contains("path") ? get->as_object().at("path") : json::value("/")));
    json::object http{{"path", where}, {"port", port}};
    for (std::string_view key : {"scheme", "host", "httpHeaders"})
      if (const json::value* more = get->as_object().if_contains(key)) http[key] = *more;
    return json::object{{"httpGet", std::move(http)},
                        {"periodSeconds", 1},
                        {"failureThreshold", path.ends_with("livenessProbe") ? 10 : 3}};
  }
  // The first container serves; without a readiness probe of its own it is ready when its port answers.
  static void add_ports(json::array& containers, const json::array& ports) {
    if (ports.empty()) return;
    json::object& first = containers[0].as_object();
    json::array listed;
    for (const json::value& port : ports)
      listed.push_back(json::object{
          {"name", port.at("name")}, {"containerPort", port.at("targetPort")}, {"protocol", port.at("protocol")}});
    first["ports"] = std::move(listed);
    if (!first.contains("readinessProbe") && ports[0].at("protocol") == json::value("TCP"))
      first["readinessProbe"] =
          json::object{{"tcpSocket", json::object{{"port", ports[0].at("targetPort")}}}, {"periodSeconds", 1}};
  }

  std::string file_;
  const json::value& document_;
  const DeployTarget& target_;
  Positions positions_;
  const Placeholders* placeholders_ = nullptr;
};

}  // namespace

base::Result<RenderedWorkload> render_score(std::string_view file, std::string_view text, const DeployTarget& target) {
  auto document = base::parse_yaml(text, {.max_bytes = kMaxScore, .max_depth = 20, .max_nodes = 5000});
  if (!document) return base::fail(base::ErrorCode::kInvalid, fmt::format("{}: {}", file, document.error().message));
  return Renderer(file, text, *document, target).run();
}

RenderedWorkload render_default(const DeployTarget& target) {
  RenderedWorkload out;
  out.name = target.repository;
  out.ns = target.team + "-" + target.environment;
  out.port = target.exposed_port > 0 ? target.exposed_port : 8080;
  json::object container{
      {"name", out.name},
      {"image", target.image},
      {"env", json::array{json::object{{"name", "PORT"}, {"value", std::to_string(out.port)}}}},
      {"ports", json::array{json::object{{"name", "http"}, {"containerPort", out.port}, {"protocol", "TCP"}}}},
      {"readinessProbe", json::object{{"tcpSocket", json::object{{"port", out.port}}}, {"periodSeconds", 1}}}};
  out.deployment = deployment(out.name, target, json::array{std::move(container)}, 0);
  out.service =
      service(out.name, target,
              json::array{json::object{{"name", "http"}, {"port", 80}, {"targetPort", out.port}, {"protocol", "TCP"}}});
  return out;
}

}  // namespace mainstay::pipelines
