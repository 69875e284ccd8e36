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
  json::object out{{"mainstay.dev/repository", target.team + "/" + target.repository},
                   {"mainstay.dev/commit", target.commit},
                   {"mainstay.dev/workflow-run", target.run}};
  if (!target.requested_at.empty()) out[kRequestedAt] = target.requested_at;
  return out;
}

json::value deployment(const std::string& name, const DeployTarget& target, json::array containers, json::array volumes,
                       std::int64_t replicas) {
  // Score's variables are all there are: a service named redis would set REDIS_PORT to a URL.
  json::object pod{{"enableServiceLinks", false}, {"containers", std::move(containers)}};
  if (!volumes.empty()) pod["volumes"] = std::move(volumes);
  json::object spec{
      {"selector", json::object{{"matchLabels", json::object{{"app.kubernetes.io/name", name}}}}},
      {"progressDeadlineSeconds", kProgressDeadline},
      {"revisionHistoryLimit", 5},
      // The old pods serve until the new ones do.
      {"strategy", json::object{{"type", "RollingUpdate"},
                                {"rollingUpdate", json::object{{"maxUnavailable", 0}, {"maxSurge", 1}}}}},
      {"template",
       json::object{{"metadata", json::object{{"labels", labels(name)}, {"annotations", annotations(target)}}},
                    {"spec", std::move(pod)}}}};
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
  // A text in pieces: each is plain, or the value of one placeholder.
  struct Piece {
    ResourceValue value;
    bool placeholder = false;
  };

  Placeholders(const json::value& document, const DeployTarget& target, std::string workload)
      : document_(document), target_(target), workload_(std::move(workload)) {}

  base::Result<std::vector<Piece>> pieces(std::string_view text) const {
    std::vector<Piece> out;
    const auto plain = [&out](std::string_view more) {
      if (out.empty() || out.back().placeholder) out.emplace_back();
      out.back().value.text += more;
    };
    while (!text.empty()) {
      const std::size_t at = text.find('$');
      if (at != 0) plain(text.substr(0, at));
      if (at == std::string_view::npos) break;
      text.remove_prefix(at);
      if (text.starts_with("$${")) {
        plain("${");
        text.remove_prefix(3);
      } else if (text.starts_with("${")) {
        const std::size_t end = text.find('}');
        if (end == std::string_view::npos)
          return base::fail(base::ErrorCode::kInvalid, "\"${\" without its closing brace");
        MAINSTAY_TRY(ResourceValue value, look_up(text.substr(2, end - 2)));
        out.push_back({std::move(value), true});
        text.remove_prefix(end + 1);
      } else {
        plain("$");
        text.remove_prefix(1);
      }
    }
    return out;
  }

  base::Result<std::string> expand(std::string_view text) const {
    MAINSTAY_TRY(const std::vector<Piece> all, pieces(text));
    std::string out;
    for (const Piece& piece : all) {
      if (!piece.value.reference.empty())
        return base::fail(base::ErrorCode::kInvalid,
                          fmt::format("{} of {} is kept by reference: it can be used in variables only",
                                      piece.value.key, piece.value.object));
      out += piece.value.text;
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
  static ResourceValue text_value(std::string text) { return {std::move(text), "", "", ""}; }
  base::Result<ResourceValue> look_up(std::string_view name) const {
    const std::vector<std::string> path = segments(name);
    if (name == "metadata.name") return text_value(workload_);
    if (path.size() >= 3 && path[0] == "metadata" && path[1] == "annotations") {
      // A key may come without its dots escaped.
      const std::string key = base::join({path.begin() + 2, path.end()}, ".");
      const json::value* found = base::find(document_, {"metadata", "annotations", key});
      if (found != nullptr && found->is_string()) return text_value(std::string(found->as_string()));
      const json::object ours = annotations(target_);
      if (const json::value* own = ours.if_contains(key)) return text_value(std::string(own->as_string()));
    } else if (path.size() == 2 && path[0] == "metadata") {
      const json::value* found = base::find(document_, {"metadata", path[1]});
      if (found != nullptr && found->is_string()) return text_value(std::string(found->as_string()));
    } else if ((path.size() == 2 || path.size() == 3) && path[0] == "resources") {
      return output(name, path[1], path.size() == 3 ? path[2] : "source");
    }
    return base::fail(base::ErrorCode::kInvalid, fmt::format("there is no value for ${{{}}}", name));
  }
  base::Result<ResourceValue> output(std::string_view placeholder, const std::string& resource,
                                     const std::string& key) const {
    const json::value* type = base::find(document_, {"resources", resource, "type"});
    if (type == nullptr)
      return base::fail(base::ErrorCode::kInvalid,
                        fmt::format("there is no value for ${{{}}}: resources has no \"{}\"", placeholder, resource));
    if (*type == json::value("dns") && key == "host") return text_value(workload_ + target_.host);
    if (!target_.resources) return text_value("");
    const auto known = target_.resources->find(resource);
    std::vector<std::string> names;
    if (known != target_.resources->end()) {
      if (const auto at = known->second.find(key); at != known->second.end()) return at->second;
      for (const auto& [own, value] : known->second) names.push_back(own);
    }
    return base::fail(base::ErrorCode::kInvalid,
                      fmt::format("there is no value for ${{{}}} (of {} there are: {})", placeholder, resource,
                                  names.empty() ? "none" : base::join(names, ", ")));
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
    const Placeholders placeholders(document_, target_, out.name);
    placeholders_ = &placeholders;
    MAINSTAY_TRY(out.resources, resources(out.name));
    MAINSTAY_TRY(json::array ports, service_ports());
    const json::object& listed = base::get_object(document_, "containers");
    if (listed.empty()) return fault("containers", "containers must have at least one container");
    json::array containers, volumes;
    for (const auto& entry : listed) {
      MAINSTAY_TRY(json::object rendered, container(std::string(entry.key()), entry.value(), volumes));
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
    out.deployment = deployment(out.name, target_, std::move(containers), std::move(volumes), replicas);
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

  // Placeholders in params, at any depth.
  base::Result<json::value> filled(const std::string& path, const json::value& value) const {
    if (value.is_string()) {
      MAINSTAY_TRY(std::string expanded, text(path, value));
      return json::value(expanded);
    }
    if (value.is_object()) {
      json::object out;
      for (const auto& entry : value.as_object()) {
        MAINSTAY_TRY(out[entry.key()], filled(path, entry.value()));
      }
      return json::value(std::move(out));
    }
    if (value.is_array()) {
      json::array out;
      for (const json::value& item : value.as_array()) {
        MAINSTAY_TRY(json::value one, filled(path, item));
        out.push_back(std::move(one));
      }
      return json::value(std::move(out));
    }
    return value;
  }
  base::Result<std::vector<ResourceRequest>> resources(const std::string& workload) const {
    std::vector<ResourceRequest> out;
    for (const auto& entry : base::get_object(document_, "resources")) {
      ResourceRequest request;
      request.name = entry.key();
      const std::string path = "resources." + request.name;
      MAINSTAY_TRY_VOID(known(path, entry.value(), {"type", "class", "metadata", "params"}));
      request.type = base::get_string(entry.value(), "type");
      if (request.type.empty()) return fault(path, path + ".type is missing (postgres, redis, s3, volume, dns, …)");
      if (auto ok = base::check_dns_label(request.name); !ok)
        return fault(path, fmt::format("{}: the name {}", path, ok.error().message));
      if (workload.size() + 1 + request.name.size() > 63)
        return fault(path,
                     fmt::format("{}: the workload's name, a dash and this name have at most 63 characters", path));
      request.cls = base::get_string(entry.value(), "class");
      if (request.cls == "default") request.cls.clear();  // as Score names it where none is meant
      MAINSTAY_TRY(const json::value params, filled(path + ".params", base::get_object(entry.value(), "params")));
      request.params = params.as_object();
      out.push_back(std::move(request));
    }
    return out;
  }
  // A text with outputs that are kept by reference: those become variables of their own, which the kubelet puts in.
  base::Result<> variable(const std::string& path, const std::string& name, const json::value& value,
                          json::array& out) const {
    if (value.is_object() || value.is_array() || value.is_null())
      return fault(path, fmt::format("{} must be a text", path));
    auto pieces = placeholders_->pieces(value.is_string() ? std::string(value.as_string()) : base::to_json(value));
    if (!pieces) return fault(path, fmt::format("{}: {}", path, pieces.error().message));
    const auto refer = [](const std::string& as, const ResourceValue& to) {
      return json::object{
          {"name", as},
          {"valueFrom", json::object{{to.reference, json::object{{"name", to.object}, {"key", to.key}}}}}};
    };
    const bool referring =
        std::ranges::any_of(*pieces, [](const Placeholders::Piece& p) { return !p.value.reference.empty(); });
    if (referring && pieces->size() == 1) {
      out.push_back(refer(name, pieces->front().value));
      return {};
    }
    std::string text;
    for (const auto& piece : *pieces) {
      if (piece.value.reference.empty()) {
        for (const char c : piece.value.text) text += referring && c == '$' ? "$$" : std::string(1, c);
        continue;
      }
      std::string helper = "MAINSTAY_" + piece.value.object + "_" + piece.value.key;
      for (char& c : helper)
        c = std::isalnum(static_cast<unsigned char>(c)) ? static_cast<char>(std::toupper(static_cast<unsigned char>(c)))
                                                        : '_';
      const bool there =
          std::ranges::any_of(out, [&](const json::value& known) { return base::get_string(known, "name") == helper; });
      if (!there) out.push_back(refer(helper, piece.value));
      text += "$(" + helper + ")";
    }
    out.push_back(json::object{{"name", name}, {"value", text}});
    return {};
  }
  // A map by path in the container, or (as Score had it first) a list with `target`.
  base::Result<json::array> mounts(const std::string& path, const json::value& listed, json::array& volumes) const {
    std::vector<std::pair<std::string, const json::value*>> all;
    if (listed.is_object()) {
      for (const auto& entry : listed.as_object()) all.emplace_back(entry.key(), &entry.value());
    } else if (listed.is_array()) {
      for (const json::value& entry : listed.as_array()) all.emplace_back(base::get_string(entry, "target"), &entry);
    } else {
      return fault(path, path + " must be a mapping from paths in the container");
    }
    json::array out;
    for (const auto& [target, entry] : all) {
      MAINSTAY_TRY_VOID(known(path, *entry, {"source", "target", "path", "readOnly", "read_only"}));
      if (!target.starts_with('/')) return fault(path, path + ": the path in the container must begin with /");
      MAINSTAY_TRY(const std::string source, text(path, json::value(base::get_string(*entry, "source"))));
      if (target_.resources && source.empty()) return fault(path, path + ": source is missing, as ${resources.data}");
      json::object mount{{"name", source}, {"mountPath", target}};
      if (base::get_bool(*entry, "readOnly") || base::get_bool(*entry, "read_only")) mount["readOnly"] = true;
      if (std::string sub = base::get_string(*entry, "path"); !sub.empty()) mount["subPath"] = sub;
      out.push_back(std::move(mount));
      const json::object volume{{"name", source}, {"persistentVolumeClaim", json::object{{"claimName", source}}}};
      if (std::ranges::find(volumes, json::value(volume)) == volumes.end()) volumes.push_back(volume);
    }
    return out;
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
  base::Result<json::object> container(const std::string& name, const json::value& value, json::array& volumes) const {
    const std::string path = "containers." + name;
    if (auto ok = base::check_dns_label(name); !ok)
      return fault(path, fmt::format("{}: the name {}", path, ok.error().message));
    MAINSTAY_TRY_VOID(
        known(path, value,
              {"image", "command", "args", "variables", "resources", "livenessProbe", "readinessProbe", "volumes"}));
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
      MAINSTAY_TRY_VOID(variable(fmt::format("{}.variables.{}", path, std::string_view(entry.key())), entry.key(),
                                 entry.value(), variables));
    }
    if (const json::value* listed = object.if_contains("volumes")) {
      MAINSTAY_TRY(json::array mounted, mounts(path + ".volumes", *listed, volumes));
      if (!mounted.empty()) out["volumeMounts"] = std::move(mounted);
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
    MAINSTAY_TRY_VOID(known(path + ".httpGet", *get, {"scheme", "path", "port", "httpHeaders"}));
    const std::int64_t port = base::get_int(*get, "port");
    if (port < 1 || port > 65535) return fault(path + ".httpGet.port", path + ".httpGet.port must be 1 to 65535");
    MAINSTAY_TRY(const std::string where,
                 text(path + ".httpGet.path",
                      get->as_object().contains("path") ? get->as_object().at("path") : json::value("/")));
    json::object http{{"path", where}, {"port", port}};
    for (std::string_view key : {"scheme", "httpHeaders"})
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
  out.deployment = deployment(out.name, target, json::array{std::move(container)}, {}, 0);
  out.service =
      service(out.name, target,
              json::array{json::object{{"name", "http"}, {"port", 80}, {"targetPort", out.port}, {"protocol", "TCP"}}});
  return out;
}

}  // namespace mainstay::pipelines
